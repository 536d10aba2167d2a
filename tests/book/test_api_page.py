"""Every public name has a docstring that tells of its parameters, and stands on book/api.md."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import bncourse

PAGE = Path(__file__).parents[2] / "book" / "api.md"
INTERNAL = ("bncourse.checks", "bncourse.kernels")  # for who carries on the work, not for readers


def public_modules():
    """Modules that a reader imports: not what a package shows under its own name anyway."""
    found = []
    for module in pkgutil.walk_packages(bncourse.__path__, "bncourse."):
        parent = module.name.rpartition(".")[0]
        shown = parent != "bncourse" and hasattr(importlib.import_module(parent), "__all__")
        if (
            not shown
            and not module.name.endswith("__main__")
            and not module.name.startswith(INTERNAL)
        ):
            found.append(module.name)
    return found


def public_names(module_name):
    module = importlib.import_module(module_name)
    defined = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module_name
    ]
    return [(f"{module_name}.{n}", getattr(module, n)) for n in getattr(module, "__all__", defined)]


def callables():
    """Public functions, classes, and what classes define themselves."""
    for module in public_modules():
        for path, value in public_names(module):
            yield path, value
            for name, method in vars(value).items() if inspect.isclass(value) else ():
                method = getattr(method, "__func__", method)
                if not name.startswith("_") and inspect.isfunction(method):
                    yield f"{path}.{name}", method


def is_code(value):
    return inspect.isclass(value) or inspect.isfunction(value)


CALLABLES = {path: value for path, value in callables() if is_code(value)}


def parameters(value):
    try:
        names = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    given = [p.name for p in names if p.kind not in variadic and not p.name.startswith("_")]
    return [name for name in given if name not in ("self", "cls")]


@pytest.mark.parametrize("path", CALLABLES)
def test_the_docstring_tells_of_every_parameter(path):
    value = CALLABLES[path]
    text = inspect.getdoc(value) or ""
    assert len(text) > 20, f"{path} has no docstring"
    owner = path.rpartition(".")[0]
    if owner in CALLABLES:  # `dy` and `cache` of every layer are told once, in the base class
        text += inspect.getdoc(CALLABLES[owner]) or ""
        for base in CALLABLES[owner].__mro__[1:-1]:
            text += inspect.getdoc(getattr(base, value.__name__, None)) or ""
    for reference in re.findall(r":(?:func|meth):`~?(?:\w+\.)*(\w+)`", text):
        # "As in :func:`that_one`" is telling, too: a click away.
        named = [v for p, v in CALLABLES.items() if p.rpartition(".")[2] == reference]
        text += "".join(inspect.getdoc(v) or "" for v in named)
    missing = [p for p in parameters(value) if not re.search(rf"\b{re.escape(p)}\b", text)]
    assert not missing, f"the docstring of {path} does not mention {missing}"


@pytest.mark.parametrize("module", public_modules())
def test_the_page_shows_every_public_module(module):
    text = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"automodule:: (\S+)", text)
    inside = [name for name in shown if name.startswith(module + ".")]
    names = public_names(module)
    assert module in shown or inside or not names, f"{PAGE.name} has no automodule:: {module}"


def test_the_page_shows_only_modules_that_exist():
    for module in re.findall(r"automodule:: (\S+)", PAGE.read_text(encoding="utf-8")):
        importlib.import_module(module)


def test_a_list_of_members_is_complete():
    """Where the page picks members by name, it picks all that are public."""
    text = PAGE.read_text(encoding="utf-8")
    for module, members in re.findall(r"automodule:: (\S+)\s+:members: (\S.*)", text):
        named = {name.strip() for name in members.split(",")}
        public = {path.rpartition(".")[2] for path, value in public_names(module) if is_code(value)}
        assert named == public, module

"""Every public name has a docstring that tells of its parameters, and a place in the reference."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import bncourse

BOOK = Path(__file__).parents[2] / "book"
TEXT = "\n".join(p.read_text("utf-8") for p in [BOOK / "api.md", *sorted(BOOK.glob("api/*.md"))])
INTERNAL = (
    "bncourse.bench",
    "bncourse.checks",
    "bncourse.kernels",
)  # for who carries on the work, not for readers


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


def shown():
    """Dotted names in the reference: all of a module, the members named, or one by one."""
    names = set()
    for module, members in re.findall(r"automodule:: (\S+)(?:\s+:members:(.*))?", TEXT):
        picked = [n.strip() for n in members.split(",") if n.strip()]
        if f"automodule:: {module}\n   :members:" in TEXT and not picked:
            picked = [path.rpartition(".")[2] for path, _ in public_names(module)]
        names |= {f"{module}.{n}" for n in picked}
    for block in re.split(r"currentmodule:: ", TEXT)[1:]:
        module, rest = block.split(maxsplit=1)
        rest = rest.split("```")[0]
        names |= {f"{module}.{n}" for n in re.findall(r"auto(?:function|class):: (\S+)", rest)}
    return names


@pytest.mark.parametrize("module", public_modules())
def test_the_reference_shows_every_public_name(module):
    public = {path for path, value in public_names(module) if is_code(value)}
    assert public <= shown(), f"not in book/api: {sorted(public - shown())}"


def test_the_reference_shows_only_what_exists():
    for path in shown():
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path

"""What an experiment is: a function from a config and a seed to series of numbers, and its grid."""

import ast
import hashlib
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from bncourse import checks


@dataclass(frozen=True)
class Experiment:
    """A function, and the grid of configs and seeds that it is run on.

    Attributes
    ----------
    name : str
        In lower case, with hyphens: that of the command line and of the recorded file.
    title : str
        What is compared, in half a line.
    run : callable
        ``run(config, seed)`` returns a dict of series: numbers, or arrays of numbers, of any
        shape, by name. It is defined in a module, so that another process can import it, and
        draws its random numbers from ``seed`` alone. NaN and infinity are results.
    configs : sequence of dict
        What differs from run to run: plain values (numbers, text, booleans, lists) by name.
        ``"data"``, if there is one, names the data set: ``"digits"``, ``"mnist"`` or
        ``"fashion-mnist"``.
    seeds : sequence of int
        Each config is run with each of them.
    quick : sequence of dict
        Configs of a version that takes a minute, on data that need no download.
    quick_seeds : sequence of int
        Seeds of that version.
    version : int
        Raise it when something *outside* of the experiment's module changes its numbers.
    chapter : str
        Slug of the chapter that tells it, such as ``"why/two-nets"``.
    shows : str
        The series whose last value sums up a run, in tables.

    Raises
    ------
    TypeError, ValueError
        If one of them is not what it must be.
    """

    name: str
    title: str
    run: Callable
    configs: tuple
    seeds: tuple = (0, 1, 2)
    quick: tuple = ()
    quick_seeds: tuple = (0,)
    version: int = 1
    chapter: str = ""
    shows: str = ""

    def __post_init__(self):
        if not (isinstance(self.name, str) and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name)):
            raise ValueError(f"name must be words in lower case and hyphens, not {self.name!r}")
        if not callable(self.run):
            raise TypeError(f"run must be a function, not {type(self.run).__name__}")
        checks.integer("version", self.version, 1)
        for name in ("configs", "quick"):
            object.__setattr__(self, name, _plain_configs(name, getattr(self, name)))
        for name in ("seeds", "quick_seeds"):
            seeds = tuple(checks.integer(name, seed) for seed in getattr(self, name))
            if not seeds or len(set(seeds)) < len(seeds):
                raise ValueError(f"{name} must hold different numbers, at least one, not {seeds}")
            object.__setattr__(self, name, seeds)

    @cached_property
    def code(self):
        """Digest of the module that defines ``run``, the same whatever its comments and layout.

        Other experiments that it imports from are digested with it.
        """
        outlines = _outlines(self.run.__module__)
        return _digest(json.dumps(outlines, sort_keys=True))

    def cells(self, quick=False):
        """One :class:`Cell` for each config and seed, seeds running fastest.

        ``quick`` takes the minute-long version; a ``ValueError`` if there is none.
        """
        configs, seeds = (self.quick, self.quick_seeds) if quick else (self.configs, self.seeds)
        if not configs:
            raise ValueError(f"the experiment {self.name} has no {'quick version' * quick}configs")
        return [
            Cell(self.name, self.version, self.code, self.run, config, seed)
            for config in configs
            for seed in seeds
        ]


@dataclass(frozen=True)
class Cell:
    """One run of an experiment: one config with one seed. It can be sent to another process.

    Attributes
    ----------
    name, version, code, run
        Of its :class:`Experiment`.
    config : dict
    seed : int
    """

    name: str
    version: int
    code: str
    run: Callable
    config: dict
    seed: int

    @property
    def key(self):
        """Digest of all that decides the numbers: nothing computed by older code passes for it."""
        decides = [self.name, self.version, self.code, self.config, self.seed]
        return _digest(json.dumps(decides, sort_keys=True))

    def __str__(self):
        settings = [f"{name}={value}" for name, value in self.config.items()]
        return ", ".join([*settings, f"seed={self.seed}"])


def _plain_configs(name, configs):
    try:
        plain = tuple(json.loads(json.dumps(config, allow_nan=False)) for config in configs)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must hold dicts of plain values: {error}") from None
    if not all(isinstance(config, dict) for config in plain):
        raise TypeError(f"{name} must hold dicts of plain values, not {list(configs)!r}")
    if len({json.dumps(config, sort_keys=True) for config in plain}) < len(plain):
        raise ValueError(f"{name} must differ from each other, but one is there twice")
    return plain


def _outlines(module, known=None):
    """Outline of a ``module``, by name, and of the experiments that it imports from."""
    known = {} if known is None else known
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    known[module] = _without_comments(tree)
    for other in _imported(tree) - {__name__}:
        if other.startswith(f"{__package__}.") and other in sys.modules and other not in known:
            _outlines(other, known)
    return known


def _imported(tree):
    """Dotted names in ``from a import b``, both ``a`` and ``a.b``, which may be a module too."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    names = {f"{node.module}.{alias.name}" for node in found for alias in node.names}
    return names | {node.module for node in found}


def _without_comments(tree):
    """What a module does: its syntax tree, without docstrings and without the grid.

    The grid is compared by its values, and titles may change at any time.
    """
    tree.body = [node for node in tree.body if not _assigns_experiment(node)]
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            node.body = [part for part in node.body if not _is_text(part)]
    return _outline(tree)


def _assigns_experiment(node):
    names = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(name, ast.Name) and name.id == "EXPERIMENT" for name in names)


def _is_text(node):
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)


def _outline(node):
    """Nested lists for a syntax tree, the same from each Python: newer ones add empty fields."""
    if isinstance(node, list):
        return [_outline(part) for part in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [[name, _outline(v)] for name, v in ast.iter_fields(node) if v is not None and v != []]
    return [type(node).__name__, *fields]


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]

"""All arrays of a network in another library's names and layouts, and back again."""

from collections.abc import Mapping

import numpy as np

from bncourse import arrays
from bncourse.interop.batch_norm import CONVENTIONS
from bncourse.interop.layouts import laid_out
from bncourse.interop.variance import as_kept

_WEIGHTS = {"torch": ("weight", "bias"), "keras": ("kernel", "bias"), "flax": ("kernel", "bias")}
STATISTICS = ("running_mean", "running_var")


def name_of(library, name):
    """Their name of what a layer of ours calls ``name``."""
    if name in ("w", "b"):
        return _WEIGHTS[library][name == "b"]
    return CONVENTIONS[library].arrays[name]


def held(net, library, count):
    """All arrays of ``net`` in their layout: prefix, layer, our name, array."""
    for prefix, layer, layout in laid_out(net, library):
        for name in (*layer.parameter_names, *STATISTICS):
            value = getattr(layer, name, None)
            if value is None:
                continue
            a = np.array(layout.there(name, arrays.to(value, "numpy")))
            if name == "running_var":
                kept = CONVENTIONS[library].variance
                a = as_kept(a, layer.variance, kept, _count(count, prefix))
            yield prefix, layer, name, a


def fill(net, library, found, count, counters=()):
    """Load ``found``, arrays by prefix and their name, or raise and change nothing."""
    ours, problems, left = dict(counters), [], dict(found)
    for prefix, layer, layout in laid_out(net, library):
        for name in (*layer.parameter_names, *STATISTICS):
            now = getattr(layer, name, None)
            if now is None:
                continue
            key = prefix + name_of(library, name)
            if key not in left:
                problems.append(f"{key} is missing")
                continue
            new = np.asarray(left.pop(key))
            wanted = layout.there(name, arrays.to(now, "numpy")).shape
            if new.shape != wanted:
                problems.append(f"{key} is {new.shape}, not {wanted}")
                continue
            new = layout.back(name, new)
            if name == "running_var":
                kept = CONVENTIONS[library].variance
                new = as_kept(new, kept, layer.variance, _count(count, prefix))
            ours[prefix + name] = new
    problems += [f"there is no place for {key}" for key in left]
    if problems:
        raise ValueError("this does not fit the network: " + "; ".join(problems))
    net.load_state_dict(ours)


def _count(count, prefix):
    if not isinstance(count, Mapping):
        return count
    name = prefix.rstrip(".")
    if name not in count:
        raise ValueError(f"count must say how many values the batch norm {name!r} had in a batch")
    return count[name]


def check_dict(name, value):
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict of arrays, not {type(value).__name__}")

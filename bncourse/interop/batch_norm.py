"""One batch norm, its arrays and its options, in the words of another library."""

from typing import NamedTuple

import numpy as np

from bncourse import arrays, checks
from bncourse.interop.variance import as_kept
from bncourse.nn.batch_norm import BatchNorm


class Convention(NamedTuple):
    """What a library calls the arrays of a batch norm, and what its options mean."""

    arrays: dict  # their names by ours
    eps: str  # name of eps
    defaults: dict  # of the options that change the numbers
    variance: str  # which one is kept
    of_the_old: bool  # whether momentum is the weight of the old statistics
    switches: tuple  # of scale and shift, if they have one each


def _names(gamma, beta, mean, var):
    return {"gamma": gamma, "beta": beta, "running_mean": mean, "running_var": var}


CONVENTIONS = {
    "torch": Convention(
        _names("weight", "bias", "running_mean", "running_var"),
        "eps",
        {"eps": 1e-5, "momentum": 0.1},
        "unbiased",
        False,
        (),
    ),
    "keras": Convention(
        _names("gamma", "beta", "moving_mean", "moving_variance"),
        "epsilon",
        {"epsilon": 1e-3, "momentum": 0.99, "axis": -1},
        "biased",
        True,
        ("scale", "center"),
    ),
    "flax": Convention(
        _names("scale", "bias", "mean", "var"),
        "epsilon",
        {"epsilon": 1e-5, "momentum": 0.99, "axis": -1},
        "biased",
        True,
        ("use_scale", "use_bias"),
    ),
    "onnx": Convention(
        _names("scale", "B", "input_mean", "input_var"),
        "epsilon",
        {"epsilon": 1e-5, "momentum": 0.9},
        "biased",
        True,
        (),
    ),
}


def batch_norm_from(library, state, **options):
    """A :class:`~bncourse.nn.BatchNorm` that does what another library's does.

    In evaluation it gives the same outputs, and in training its statistics move alike: the weight
    of a new batch, ``eps``, the axis and the variance that is kept are those of the other.

    Parameters
    ----------
    library : {"torch", "keras", "flax", "onnx"}
    state : dict
        Arrays of shape (C,) by their names: ``weight, bias, running_mean, running_var`` (PyTorch,
        also ``num_batches_tracked``), ``gamma, beta, moving_mean, moving_variance`` (Keras),
        ``scale, bias, mean, var`` (Flax), ``scale, B, input_mean, input_var`` (ONNX). Without a
        scale or a shift the layer has none; without both statistics it does not track them.
    **options
        By their names: ``momentum``; ``eps`` (PyTorch) or ``epsilon``; ``axis`` (Keras, Flax).
        What is not given has the default of that library, not ours.

    Returns
    -------
    BatchNorm
        In training mode, as all new layers.

    Raises
    ------
    TypeError
        If an option has another name.
    ValueError
        If the library is none of the four, a name in ``state`` is not one of its names, or
        shapes differ.
    """
    convention = _convention(library)
    unknown = set(options) - set(convention.defaults)
    if unknown:
        raise TypeError(
            f"options of {library} are {sorted(convention.defaults)}, not {sorted(unknown)}"
        )
    options = convention.defaults | options
    found = {name: np.asarray(state[s]) for name, s in convention.arrays.items() if s in state}
    counter = {"num_batches_tracked"} if library == "torch" else set()
    left = set(state) - set(convention.arrays.values()) - counter
    if left:
        raise ValueError(f"state holds {sorted(left)}, which {library} does not name so")
    shapes = {a.shape for a in found.values()}
    if len(shapes) != 1 or len(shape := shapes.pop()) < 1:
        raise ValueError(f"state must hold arrays of one shape (C,), not of {_shapes(found)}")
    if ("running_mean" in found) != ("running_var" in found):
        raise ValueError("state must hold both statistics or none")
    affine = {(True, True): True, (True, False): "gamma", (False, True): "beta"}
    momentum = options["momentum"]
    axis = options.get("axis", 1)
    layer = BatchNorm(
        shape if isinstance(axis, (tuple, list)) else shape[0],
        eps=options[convention.eps],
        momentum=_turned("momentum", momentum) if convention.of_the_old else momentum,
        affine=affine.get(("gamma" in found, "beta" in found), False),
        track_running_stats="running_mean" in found,
        axis=axis,
        variance=convention.variance,
        dtype=np.result_type(*found.values()),
    )
    if "num_batches_tracked" in state:
        found["num_batches_tracked"] = np.asarray(state["num_batches_tracked"])
    layer.load_state_dict(found)
    return layer


def batch_norm_to(layer, library, count=None):
    """Arrays and options of a batch norm, by the names of another library.

    Parameters
    ----------
    layer : BatchNorm
    library : {"torch", "keras", "flax", "onnx"}
    count : int, optional
        Values that a channel had in each batch; converts the running variance, see
        :mod:`bncourse.interop`.

    Returns
    -------
    state : dict
        Copies of its arrays, as NumPy arrays. ONNX, which has no switches, gets ones for a scale
        that is not there, and zeros for a shift.
    options : dict
        What to pass to the other library's layer; 1 minus ``momentum`` where it means that.

    Raises
    ------
    TypeError
        If ``layer`` is no :class:`~bncourse.nn.BatchNorm`.
    ValueError
        If the other library cannot do the same: an average over all batches (``momentum=None``)
        is PyTorch's only, and PyTorch has no shift without a scale. The message says which.
    """
    convention = _convention(library)
    if not isinstance(layer, BatchNorm):
        raise TypeError(f"layer must be a BatchNorm, not {type(layer).__name__}")
    _check_possible(layer, library, convention)
    held = {name: getattr(layer, name) for name in convention.arrays}
    if library == "onnx":
        ones = np.ones_like(arrays.to(held["running_mean"], "numpy"))
        defaults = {"gamma": ones, "beta": 0 * ones}
        held |= {name: value for name, value in defaults.items() if held[name] is None}
    state = {
        convention.arrays[name]: np.array(arrays.to(value, "numpy"))
        for name, value in held.items()
        if value is not None
    }
    if layer.track_running_stats:
        name = convention.arrays["running_var"]
        state[name] = as_kept(state[name], layer.variance, convention.variance, count)
    momentum = layer.momentum
    options = {convention.eps: layer.eps}
    options["momentum"] = 1 - momentum if convention.of_the_old else momentum
    if "axis" in convention.defaults:
        options["axis"] = layer.axis
    for switch, value in zip(convention.switches, (layer.gamma, layer.beta), strict=False):
        options[switch] = value is not None
    if library == "torch":
        options |= {"affine": layer.gamma is not None}
        options |= {"track_running_stats": layer.track_running_stats}
        if layer.gamma is not None and layer.beta is None:
            options["bias"] = False
        if layer.track_running_stats:
            state["num_batches_tracked"] = np.asarray(layer.num_batches_tracked)
    return state, options


def _check_possible(layer, library, convention):
    problem = None
    if layer.num_features is None:
        problem = "has no size yet: give it an input first"
    elif library != "torch" and not layer.track_running_stats:
        problem = f"does not track statistics, which {library} always does"
    elif library != "torch" and layer.momentum is None:
        problem = f"has momentum=None, an average over all batches, which {library} does not have"
    elif library == "torch" and layer.gamma is None and layer.beta is not None:
        problem = "has a shift without a scale, which PyTorch does not have: set gamma to ones"
    elif "axis" not in convention.defaults and layer.axis != 1:
        problem = f"has its channels on axis {layer.axis}, in {library} they are on axis 1"
    elif library == "keras" and not isinstance(layer.axis, int):
        problem = f"has channels on the axes {layer.axis}, in Keras they are on one"
    if problem:
        raise ValueError(f"this batch norm {problem}")


def _convention(library):
    if library not in CONVENTIONS:
        raise ValueError(f"library must be one of {sorted(CONVENTIONS)}, not {library!r}")
    return CONVENTIONS[library]


def _turned(name, weight_of_the_old):
    return 1 - checks.number(name, weight_of_the_old, 0, 1)


def _shapes(found):
    return ", ".join(f"{name} {a.shape}" for name, a in found.items()) or "none at all"

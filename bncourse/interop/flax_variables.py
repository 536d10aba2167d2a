"""Networks from and to the variables of Flax."""

from collections.abc import Mapping

from bncourse.interop.filling import STATISTICS, check_dict, fill, held, name_of
from bncourse.nn.layers import Sequential

_KINDS = {"Conv2d": "Conv", "ConvTranspose2d": "ConvTranspose"}  # others are called alike


def to_flax(net, count=None, compact=False):
    """Arrays of a network as the variables of a Flax (linen) module.

    Parameters
    ----------
    net, count
        As in :func:`to_torch`; channels are last, as in :func:`to_keras`.
    compact : bool
        Names as ``Dense_0, BatchNorm_0, Dense_1``, which a compact module gives, instead of
        ``layers_0, layers_1, ...``, which ``Sequential`` gives to those of its layers that hold
        something, by their position.

    Returns
    -------
    dict
        ``{"params": ..., "batch_stats": ...}``, nested dicts of NumPy arrays.
    """
    variables = {"params": {}, "batch_stats": {}}
    paths = _flax_paths(net, compact)
    for _, layer, name, array in held(net, "flax", count):
        there = variables["batch_stats" if name in STATISTICS else "params"]
        for part in paths[id(layer)]:
            there = there.setdefault(part, {})
        there[name_of("flax", name)] = array
    return variables


def from_flax(net, variables, count=None, compact=False):
    """Fill a network with the variables of a Flax (linen) module of the same layers.

    Its batch norms have ``momentum=0.99`` unless told otherwise: make ours with
    ``momentum=0.01, variance="biased"``.

    Parameters
    ----------
    net : Module
        All of its arrays are replaced, or none; its maps have channels on axis 1.
    variables : dict
        ``{"params": ..., "batch_stats": ...}``, nested.
    count : int or dict, optional
        As in :func:`to_torch`.
    compact : bool
        As in :func:`to_flax`.

    Returns
    -------
    Module
        ``net``.

    Raises
    ------
    TypeError
        If ``variables`` is no dict.
    ValueError
        If a name is missing, has no place, or a shape does not fit; all are listed.
    """
    check_dict("variables", variables)
    paths = {"/".join(path): prefix for prefix, path in _prefixes(net, compact)}
    found = {}
    for collection in variables.values():
        for path, name, array in _leaves(collection):
            found[paths.get(path, path + "/") + name] = array
    fill(net, "flax", found, count)
    return net


def _prefixes(net, compact):
    """Our prefix and Flax's path of each layer that holds something."""
    seen = {}
    for prefix, layer in net.modules():
        if layer.children() or not layer.parameter_names:
            continue
        kind = _KINDS.get(type(layer).__name__, type(layer).__name__)
        number = seen[kind] = seen.get(kind, -1) + 1
        yield prefix, (f"{kind}_{number}",) if compact else tuple(_steps(net, prefix))


def _steps(net, prefix):
    for name in prefix.rstrip(".").split("."):
        if not name:
            return
        yield f"layers_{name}" if isinstance(net, Sequential) else name
        net = net.children()[name]


def _flax_paths(net, compact):
    layers = dict(net.modules())
    return {id(layers[prefix]): path for prefix, path in _prefixes(net, compact)}


def _leaves(tree, path=()):
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        else:
            yield "/".join(path), name, value

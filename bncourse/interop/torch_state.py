"""Networks from and to PyTorch's state dicts."""

import numpy as np

from bncourse.interop.filling import check_dict, fill, held, name_of


def to_torch(net, count=None):
    """Arrays of a network under the names of PyTorch's state dict.

    ``{name: torch.from_numpy(a) for name, a in to_torch(net).items()}`` is what
    ``load_state_dict`` of a ``torch.nn.Sequential`` of the same layers takes.

    Parameters
    ----------
    net : Module
        Of layers of this package; not changed.
    count : int or dict, optional
        Values that a channel had in each batch, N H W for images; or one such number by the name
        of each batch norm, as ``{"1": 64}``. It converts the running variances, see
        :mod:`bncourse.interop`.

    Returns
    -------
    dict
        NumPy arrays by dotted name, with copies of all parameters and statistics.
    """
    state = {}
    for prefix, layer, name, array in held(net, "torch", count):
        state[prefix + name_of("torch", name)] = array
        if name == "running_var":
            state[prefix + "num_batches_tracked"] = np.asarray(layer.num_batches_tracked)
    return state


def from_torch(net, state, count=None):
    """Fill a network with what PyTorch's ``state_dict()`` of the same layers holds.

    ``eps`` and ``momentum`` are no part of a state dict: make ``net`` with those of the other.

    Parameters
    ----------
    net : Module
        Of layers of this package. All of its arrays are replaced, or none.
    state : dict
        By dotted name; NumPy arrays, or tensors that ``numpy.asarray`` takes.
        ``num_batches_tracked`` may be missing; then it is 0.
    count : int or dict, optional
        As in :func:`to_torch`.

    Returns
    -------
    Module
        ``net``.

    Raises
    ------
    TypeError
        If ``state`` is no dict.
    ValueError
        If a name is missing, has no place, or a shape does not fit; all are listed.
    """
    check_dict("state", state)
    found = dict(state)
    counters = {n: found.pop(n) for n in list(found) if n.endswith("num_batches_tracked")}
    places = {prefix + name_of("torch", name) for prefix, _, name, _ in held(net, "torch", None)}
    known = {n for n in counters if n.removesuffix("num_batches_tracked") + "running_var" in places}
    found |= {n: a for n, a in counters.items() if n not in known}
    fill(net, "torch", found, count, {n: np.asarray(counters[n]) for n in known})
    return net

"""Networks from and to Keras' lists of weights."""

from bncourse.interop.filling import fill, held, name_of


def to_keras(net, count=None):
    """Arrays of a network as the list that Keras' ``set_weights`` takes.

    Keras has channels last: weights of convolutions are (h, w, in, out), and the rows of a dense
    layer after :class:`~bncourse.nn.Flatten` are reordered for maps that are flattened so.

    Parameters
    ----------
    net, count
        As in :func:`to_torch`.

    Returns
    -------
    list of array
        Layer by layer: weights and bias; scale and shift, moving mean and moving variance.
    """
    return [array for *_, array in held(net, "keras", count)]


def from_keras(net, weights, count=None):
    """Fill a network with what Keras' ``get_weights()`` of the same layers returns.

    Its batch norms have ``momentum=0.99`` and ``epsilon=1e-3`` unless told otherwise: make ours
    with ``momentum=0.01, eps=1e-3, variance="biased"``.

    Parameters
    ----------
    net : Module
        All of its arrays are replaced, or none; its maps have channels on axis 1.
    weights : list of array
    count : int or dict, optional
        As in :func:`to_torch`.

    Returns
    -------
    Module
        ``net``.

    Raises
    ------
    TypeError
        If ``weights`` is no list.
    ValueError
        If there are more or fewer of them, or a shape does not fit.
    """
    if not isinstance(weights, (list, tuple)):
        raise TypeError(f"weights must be a list of arrays, not {type(weights).__name__}")
    names = [prefix + name_of("keras", name) for prefix, _, name, _ in held(net, "keras", None)]
    if len(names) != len(weights):
        raise ValueError(f"weights holds {len(weights)} arrays, but net has {len(names)}: {names}")
    fill(net, "keras", dict(zip(names, weights, strict=True)), count)
    return net

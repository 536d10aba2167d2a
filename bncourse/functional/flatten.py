"""Flattening: from maps to the rows that a dense layer takes."""

from math import prod

from bncourse import arrays


def flatten_forward(x):
    """One row for each example: from shape (N, ...) to (N, D), in row-major order.

    Parameters
    ----------
    x : array
        Real floating point, with at least one axis.

    Returns
    -------
    y : array, shape (N, D)
        A view of ``x`` where its library can make one.
    cache : array
        ``x`` itself, for :func:`flatten_backward`; its values are not needed.

    Raises
    ------
    TypeError
        If ``x`` is not real floating point.
    ValueError
        If ``x`` has no axis.
    """
    xp = arrays.namespace(x=x)
    arrays.check_real("x", x)
    if x.ndim == 0:
        raise ValueError("x must have at least one axis, that of the examples, not 0")
    return xp.reshape(x, (x.shape[0], prod(x.shape[1:]))), x


def flatten_backward(dy, cache):
    """Gradient of :func:`flatten_forward`: ``dy`` of shape (N, D), back in the shape of ``x``.

    ``cache`` comes from :func:`flatten_forward`.
    """
    arrays.check_real("cache", cache)
    xp = arrays.check_upstream(dy, (cache.shape[0], prod(cache.shape[1:])), cache)
    return xp.reshape(dy, cache.shape)

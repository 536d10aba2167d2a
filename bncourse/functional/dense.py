"""The fully connected layer: a matrix product and a bias."""

from typing import Any, NamedTuple

from bncourse import arrays


class DenseCache(NamedTuple):
    """What :func:`dense_forward` hands to :func:`dense_backward`.

    Attributes
    ----------
    x, w, b : array or None
        Input, weights and bias as they were given. They are not copied: change them in place only
        after going back.
    """

    x: Any
    w: Any
    b: Any


def dense_forward(x, w, b=None):
    r"""Fully connected layer: :math:`y = x W + b`.

    Parameters
    ----------
    x : array, shape (N, D)
    w : array, shape (D, H)
    b : array, shape (H,), optional

    Returns
    -------
    y : array, shape (N, H)
    cache : DenseCache
        For :func:`dense_backward`.

    Raises
    ------
    TypeError
        If the arguments live in different libraries or are not real floating point.
    ValueError
        If the shapes do not fit.
    """
    arrays.namespace(x=x, w=w, b=b)
    for name, value in (("x", x), ("w", w), ("b", b)):
        if name != "b" or b is not None:
            arrays.check_real(name, value)
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[0]:
        raise ValueError(
            f"x has shape {tuple(x.shape)} and w {tuple(w.shape)}: (N, D) and (D, H) are needed"
        )
    if b is not None and tuple(b.shape) != (w.shape[1],):
        raise ValueError(f"b has shape {tuple(b.shape)}, but w asks for {(w.shape[1],)}")
    y = x @ w
    if b is not None:
        y = y + b
    return y, DenseCache(x, w, b)


def dense_backward(dy, cache, input_gradient=True):
    r"""Gradients of :func:`dense_forward`.

    .. math::

        \mathrm{dx} = \mathrm{dy}\,W^\top, \qquad
        \mathrm{dw} = x^\top \mathrm{dy}, \qquad
        \mathrm{db} = \sum_i \mathrm{dy}_i

    Parameters
    ----------
    dy : array, shape (N, H)
    cache : DenseCache
    input_gradient : bool
        Whether ``dx`` is wanted. Below the first layer of a network nobody asks for it, and it
        costs as much as ``dw``.

    Returns
    -------
    dx, dw, db : array
        ``db`` is ``None`` if there was no bias, ``dx`` if it is not wanted.

    Raises
    ------
    TypeError, ValueError
        If ``dy`` is not real floating point, or not of the library and shape of ``y``.
    """
    arrays.check_cache(cache, DenseCache, "dense_forward")
    x, w, b = cache
    xp = arrays.check_upstream(dy, (x.shape[0], w.shape[1]), x)
    db = None if b is None else xp.sum(dy, axis=0)
    return dy @ w.T if input_gradient else None, x.T @ dy, db

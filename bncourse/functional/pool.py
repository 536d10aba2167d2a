"""Pooling: one number for each window, the largest or the mean; and the mean of whole maps."""

from itertools import product
from math import prod
from typing import Any, NamedTuple

from bncourse import arrays, kernels
from bncourse.functional.masking import keep
from bncourse.functional.windows import at, counts, inner, pad, per_axis
from bncourse.kernels import pooling


class MaxPoolCache(NamedTuple):
    """What :func:`max_pool_forward` hands to :func:`max_pool_backward`.

    Attributes
    ----------
    index : array of int
        In the shape of ``y``: which element of its window is the largest, in row-major order.
    dtype : dtype
        That of ``x``.
    size, kernel, stride, padding : tuple of int
        Spatial shape of ``x``, and the options, one number per spatial axis.
    """

    index: Any
    dtype: Any
    size: tuple
    kernel: tuple
    stride: tuple
    padding: tuple


class AvgPoolCache(NamedTuple):
    """Shape and dtype of an input, and the options of :func:`avg_pool_forward`.

    Attributes
    ----------
    x : array
        The input; its values are not needed.
    kernel, stride, padding : tuple of int
        One number per spatial axis.
    """

    x: Any
    kernel: tuple
    stride: tuple
    padding: tuple


def max_pool_forward(x, kernel, stride=None, padding=0):
    r"""Largest element of each window.

    .. math::

        y_{n,c,p,q} = \max_{i < kh,\; j < kw}\; x_{n,\,c,\,p s + i - a,\,q s + j - a}

    with stride :math:`s` and padding :math:`a`; what lies outside of ``x`` is never the largest.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Real floating point input. It is not changed. One or three spatial axes will do too.
    kernel : int or tuple of int
        Size of the window; one number for each spatial axis, or one for all.
    stride : int or tuple of int, optional
        Step between windows; by default that of ``kernel``, so that they do not overlap.
    padding : int or tuple of int
        At most half of ``kernel``, so that each window holds an element of ``x``.

    Returns
    -------
    y : array, shape (N, C, P, Q)
        ``P = (H + 2 padding - kh) // stride + 1``, and likewise Q; in the dtype of ``x``. Rows at
        the end that fill no window are left out. A NaN is the largest of its window.
    cache : MaxPoolCache
        For :func:`max_pool_backward`.

    Raises
    ------
    TypeError
        If ``x`` is not real floating point, or an option is no whole number.
    ValueError
        If ``x`` has no spatial axes, a window does not fit, or an option is out of range.

    Notes
    -----
    Source: Ranzato et al. (2007).
    """
    xp, kernel, stride, padding = _options(x, kernel, stride, padding)
    count = counts(x.shape, kernel, stride, padding)
    dtype = xp.uint8 if prod(kernel) <= 256 else xp.int32
    if _compiled(x) and pooling.worth_it(x, count, stride, padding):
        y, index = pooling.forward(x, kernel, stride, padding, count, dtype)
        return y, MaxPoolCache(index, x.dtype, tuple(x.shape[2:]), kernel, stride, padding)
    framed = pad(x, padding, -float("inf"))
    y = index = None
    for k, offset in enumerate(product(*map(range, kernel))):
        # Copied even where a view would do: it is read three times, and faster in one piece.
        value = xp.asarray(framed[at(offset, stride, count)], copy=True)
        if y is None:
            y = value
            index = xp.zeros(y.shape, dtype=dtype, device=arrays.compat.device(x))
            continue
        larger = ~(value <= y) & (y == y)  # so that a NaN comes first, and the first of them
        index = xp.maximum(index, xp.astype(larger, dtype) * k)
        y = xp.maximum(y, value)
    return y, MaxPoolCache(index, x.dtype, tuple(x.shape[2:]), kernel, stride, padding)


def max_pool_backward(dy, cache):
    r"""Gradient of :func:`max_pool_forward`: all of ``dy`` to the largest element of its window.

    Where several are equally large, the first in row-major order takes it, and the others
    nothing. An element that is the largest of several windows adds up what it gets.

    Parameters
    ----------
    dy : array, shape (N, C, P, Q)
        Upstream gradient, in the shape of ``y``; real floating point. It is not changed.
    cache : MaxPoolCache
        From :func:`max_pool_forward`. It is not changed and may be used again.

    Returns
    -------
    dx : array
        In the shape and dtype of ``x``.

    Raises
    ------
    TypeError, ValueError
        If ``dy`` is not real floating point, or not of the library and shape of ``y``, or
        ``cache`` is none.
    """
    arrays.check_cache(cache, MaxPoolCache, "max_pool_forward")
    index, dtype, size, kernel, stride, padding = cache
    xp = arrays.check_upstream(dy, index.shape, index)
    dy = xp.astype(dy, dtype, copy=False)
    if _compiled(dy) and index.flags.c_contiguous:
        return pooling.backward(dy, index, size, kernel, stride, padding)
    return _lay_back(dy, size, kernel, stride, padding, index)


def avg_pool_forward(x, kernel, stride=None, padding=0):
    r"""Mean of each window.

    .. math::

        y_{n,c,p,q} = \frac{1}{kh\,kw} \sum_{i < kh,\; j < kw}
        x_{n,\,c,\,p s + i - a,\,q s + j - a}

    with stride :math:`s` and padding :math:`a`. Outside of its borders ``x`` is 0, and these
    zeros are counted, as PyTorch does by default.

    Parameters
    ----------
    x, kernel, stride, padding
        As in :func:`max_pool_forward`.

    Returns
    -------
    y : array, shape (N, C, P, Q)
        As in :func:`max_pool_forward`; float16 is summed in float32.
    cache : AvgPoolCache
        For :func:`avg_pool_backward`.

    Raises
    ------
    TypeError, ValueError
        As :func:`max_pool_forward`.

    Notes
    -----
    Source: LeCun et al. (1998), subsampling.
    """
    xp, kernel, stride, padding = _options(x, kernel, stride, padding)
    count = counts(x.shape, kernel, stride, padding)
    framed = pad(xp.astype(x, xp.result_type(x.dtype, xp.float32), copy=False), padding)
    total = None
    for offset in product(*map(range, kernel)):
        value = framed[at(offset, stride, count)]
        total = xp.asarray(value, copy=True) if total is None else total + value
    y = xp.astype(total / prod(kernel), x.dtype, copy=False)
    return y, AvgPoolCache(x, kernel, stride, padding)


def avg_pool_backward(dy, cache):
    r"""Gradient of :func:`avg_pool_forward`: each element of ``dy`` in equal parts to its window.

    Parameters, result and errors as :func:`max_pool_backward`, with an :class:`AvgPoolCache`.
    """
    arrays.check_cache(cache, AvgPoolCache, "avg_pool_forward")
    x, kernel, stride, padding = cache
    shape = (*x.shape[:2], *counts(x.shape, kernel, stride, padding))
    xp = arrays.check_upstream(dy, shape, x)
    part = xp.astype(dy, xp.result_type(x.dtype, xp.float32), copy=False) / prod(kernel)
    dx = _lay_back(part, tuple(x.shape[2:]), kernel, stride, padding)
    return xp.astype(dx, x.dtype, copy=False)


def global_avg_pool_forward(x):
    r"""Mean of each map, :math:`y_{n,c} = \frac{1}{HW} \sum_{h,v} x_{n,c,h,v}`.

    Parameters
    ----------
    x : array, shape (N, C, ...)
        Real floating point input with one or more spatial axes. It is not changed.

    Returns
    -------
    y : array, shape (N, C)
        Ready for a dense layer; in the dtype of ``x``, summed in the widest precision.
    cache : array
        ``x`` itself, for :func:`global_avg_pool_backward`; its values are not needed.

    Raises
    ------
    TypeError
        If ``x`` is not real floating point.
    ValueError
        If ``x`` has no spatial axes, or a map has no elements.

    Notes
    -----
    Source: Lin et al. (2014), section 3.2.
    """
    xp = arrays.namespace(x=x)
    arrays.check_real("x", x)
    size = prod(x.shape[2:])
    if x.ndim < 3 or size == 0:
        raise ValueError(f"x has shape {tuple(x.shape)}, but (N, C, H, W) is needed, no map empty")
    total = xp.sum(x, axis=tuple(range(2, x.ndim)), dtype=arrays.accumulator(x))
    return xp.astype(total / size, x.dtype, copy=False), x


def global_avg_pool_backward(dy, cache):
    """Gradient of :func:`global_avg_pool_forward`: ``dy / (H W)``, for all of a map.

    ``dy`` is of shape (N, C), and ``cache`` comes from :func:`global_avg_pool_forward`.
    """
    arrays.check_real("cache", cache)
    xp = arrays.check_upstream(dy, cache.shape[:2], cache)
    part = xp.astype(dy, cache.dtype, copy=False) / prod(cache.shape[2:])
    part = xp.reshape(part, (*part.shape, *[1] * (cache.ndim - 2)))
    return xp.asarray(xp.broadcast_to(part, cache.shape), copy=True)


def _options(x, kernel, stride, padding):
    """Array library of ``x``, and the options as tuples, after a look at all of them."""
    xp = arrays.namespace(x=x)
    arrays.check_real("x", x)
    if not 3 <= x.ndim <= 5:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, but (N, C, H, W) is needed: one to three spatial axes"
        )
    rank = x.ndim - 2
    kernel = per_axis("kernel", kernel, rank, 1)
    stride = kernel if stride is None else per_axis("stride", stride, rank, 1)
    padding = per_axis("padding", padding, rank)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(
            f"padding must be at most half of kernel, {kernel}, but it is {padding}: a window "
            "could lie outside of x"
        )
    return xp, kernel, stride, padding


def _compiled(x):
    return kernels.wanted("numba") and pooling.supports(x)


def _lay_back(dy, size, kernel, stride, padding, index=None):
    """Each element of ``dy`` on its whole window, or on the element of it that ``index`` names.

    The result has spatial shape ``size``; where windows overlap, it is the sum.
    """
    xp = arrays.namespace(dy=dy)
    framed = tuple(n + 2 * p for n, p in zip(size, padding, strict=True))
    apart = all(s >= k for s, k in zip(stride, kernel, strict=True))
    device = arrays.compat.device(dy)
    dx = xp.zeros((*dy.shape[:2], *framed), dtype=dy.dtype, device=device)
    for k, offset in enumerate(product(*map(range, kernel))):
        here = at(offset, stride, dy.shape[2:])
        if not apart:
            dx[here] += dy if index is None else keep(dy, index == k)
        elif index is None:
            dx[here] = dy
        else:  # nothing to add to
            keep(dy, index == k, out=dx[here])
    return dx[inner(padding, size)]

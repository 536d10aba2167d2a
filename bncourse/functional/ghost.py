"""Ghost batches: a batch normalized in slices, each by its own statistics."""

from functools import reduce
from typing import NamedTuple

from bncourse import arrays, checks
from bncourse.functional.normalization import (
    NormCache,
    check_enough,
    normalize_backward,
    normalize_forward,
)
from bncourse.moments import Moments, _axes, merge


class GhostCache(NamedTuple):
    """The cache of the norm on slices, the shape of ``x``, and the moments of the whole batch.

    ``moments`` are those of the slices, merged, so that running statistics do not depend on how
    the batch was cut.
    """

    cache: NormCache
    shape: tuple
    moments: Moments


def ghost_batch_norm_forward(x, virtual_batch_size, gamma=None, beta=None, eps=1e-5, axis=1):
    r"""Batch norm in which each ``virtual_batch_size`` examples in a row have their own statistics.

    The noise of small batches, which regularizes, is had at the speed of a large one.

    Parameters
    ----------
    x : array, shape (N, C) or (N, C, ...)
        Real floating point.
    virtual_batch_size : int
        Examples in a slice; a divisor of N. N itself gives plain batch norm.
    gamma, beta, eps
        As in :func:`batch_norm_forward`.
    axis : int
        The channel axis; not 0.

    Returns
    -------
    y : array
        In the shape and dtype of ``x``.
    cache : GhostCache
        For :func:`ghost_batch_norm_backward`.

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_forward`; also if the size does not divide N.

    Notes
    -----
    Source: Hoffer, Hubara and Soudry (2017).
    """
    arrays.check_real("x", x)
    xp = arrays.namespace(x=x, gamma=gamma, beta=beta)
    size = checks.integer("virtual_batch_size", virtual_batch_size, 1)
    if x.ndim < 2 or x.shape[0] % size:
        raise ValueError(
            f"virtual_batch_size must divide the batch, axis 0 of x, but x has shape "
            f"{tuple(x.shape)} and virtual_batch_size is {size}"
        )
    channel_axes = _axes(axis, x.ndim)
    if len(channel_axes) != 1 or channel_axes == (0,):
        raise ValueError(f"axis must be one channel axis, and not the batch, but is {axis}")
    sliced = (x.shape[0] // size, size, *x.shape[1:])
    channel = channel_axes[0] + 1
    axes = tuple(a for a in range(1, len(sliced)) if a != channel)
    y, cache = normalize_forward(xp.reshape(x, sliced), gamma, beta, eps, axes, (channel,))
    check_enough(x, cache.moments.count)
    count, mean, m2 = cache.moments
    nothing = xp.zeros_like(xp.sum(mean, axis=0))
    slices = (Moments(count, mean[i, ...], m2[i, ...]) for i in range(sliced[0]))
    whole = reduce(merge, slices, Moments(0, nothing, nothing))
    return xp.reshape(y, x.shape), GhostCache(cache, tuple(x.shape), whole)


def ghost_batch_norm_backward(dy, cache):
    """Gradients of :func:`ghost_batch_norm_forward`: ``dx, dgamma, dbeta``.

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_backward`.
    """
    arrays.check_cache(cache, GhostCache, "ghost_batch_norm_forward")
    xp = arrays.check_upstream(dy, cache.shape, cache.cache.x_hat)
    sliced = cache.cache.x_hat.shape
    dx, dgamma, dbeta = normalize_backward(xp.reshape(dy, sliced), cache.cache)
    return xp.reshape(dx, cache.shape), dgamma, dbeta

"""Batch norm in NumPy, a few channels at a time.

The general form makes half a dozen float64 arrays as large as ``x``, and each travels to memory
and back. (Where all of it fits into the cache, what counts is the number of calls, and here there
are fewer.) Here one block of channels is copied to float64 and worked on in place while it is in
the cache. The arithmetic is that of :mod:`bncourse.functional.normalization`, step by step.
"""

import math

import numpy as np

from bncourse.moments import Moments

_BLOCK = 2**16  # values in a block: 512 KiB in float64, which a second-level cache holds


def supports(x, axes):
    """Whether ``x`` is float32 or float16 in NumPy, with channels on axis 1 and all else reduced.

    A table that is more than one block is left to the general form, because its columns lie
    apart in memory; and so is float64, for which that form corrects the rounding of the mean.
    """
    return (
        type(x) is np.ndarray
        and x.dtype in (np.float32, np.float16)
        and x.ndim >= 2
        and axes == (0, *range(2, x.ndim))
        and x.size > 0
        and (x.ndim > 2 or x.size <= _BLOCK)
        and x.flags.c_contiguous
    )


def forward(x, gamma, beta, eps):
    """``y, x_hat, inv_std, moments`` as in the general form; the last two of shape (C,)."""
    maps = x.reshape(*x.shape[:2], -1)
    count = maps.shape[0] * maps.shape[2]
    y = np.empty_like(maps)
    x_hat = np.empty(maps.shape, np.result_type(maps, np.float32))
    mean, m2, inv_std = (np.empty(maps.shape[1]) for _ in range(3))
    for c in _blocks(maps):
        d = maps[:, c].astype(np.float64)
        mean[c] = d.sum(axis=(0, 2)) / count
        d -= mean[c, None]
        m2[c] = np.einsum("ncl,ncl->c", d, d)
        inv_std[c] = 1 / np.sqrt(m2[c] / count + eps)
        d *= inv_std[c, None]
        x_hat[:, c] = d
        if gamma is not None:
            d *= gamma[c, None]
        if beta is not None:
            d += beta[c, None]
        y[:, c] = d
    return y.reshape(x.shape), x_hat.reshape(x.shape), inv_std, Moments(count, mean, m2)


def backward(dy, x_hat, inv_std, gamma, dtype):
    """``dx`` in ``dtype``, and sums of ``dy`` and of ``dy * x_hat``, in float64, of shape (C,)."""
    maps = x_hat.reshape(*x_hat.shape[:2], -1)
    upstream = dy.reshape(maps.shape)
    count = maps.shape[0] * maps.shape[2]
    scale = inv_std if gamma is None else inv_std * gamma
    dx = np.empty(maps.shape, dtype)
    sum_dy, sum_dy_x_hat = np.empty(maps.shape[1]), np.empty(maps.shape[1])
    for c in _blocks(maps):
        g, h = upstream[:, c].astype(np.float64), maps[:, c].astype(np.float64)
        sum_dy[c] = g.sum(axis=(0, 2))
        sum_dy_x_hat[c] = np.einsum("ncl,ncl->c", g, h)
        h *= (sum_dy_x_hat[c] / count)[:, None]
        g -= (sum_dy[c] / count)[:, None]
        g -= h
        g *= scale[c, None]
        dx[:, c] = g
    return dx.reshape(x_hat.shape), sum_dy, sum_dy_x_hat


def _blocks(maps):
    n, channels, positions = maps.shape
    width = max(1, math.floor(_BLOCK / (n * positions)))
    return (slice(c, c + width) for c in range(0, channels, width))

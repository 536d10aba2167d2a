"""Batch norm in NumPy, a few channels at a time.

The general form makes half a dozen float64 arrays as large as ``x``, and each travels to memory
and back. (Where all of it fits into the cache, what counts is the number of calls, and here there
are fewer.) Here one block of channels is copied to float64 and worked on in place while it is in
the cache. The arithmetic is that of :mod:`bncourse.functional.normalization`, step by step.
"""

import numpy as np

_BLOCK = 2**16  # values in a block: 512 KiB in float64, which a second-level cache holds


def supports(x, shape):
    """Whether ``x`` is float32 or float16 in NumPy, and its channels lie in blocks.

    A table that is more than one block is left to the general form, because its columns lie
    apart in memory; and so is float64, for which that form corrects the rounding of the mean.
    """
    return (
        type(x) is np.ndarray
        and x.dtype in (np.float32, np.float16)
        and x.size > 0
        and (len(shape) == 3 or x.size <= _BLOCK)
        and x.flags.c_contiguous
    )


def forward(x, gamma, beta, eps, shape):
    """``y`` in the shape of ``x``; ``mean, rest, m2, inv_std``, each float64 of shape (C,)."""
    y = np.empty_like(x)
    maps, out = _maps(x, shape), _maps(y, shape)
    count = maps.shape[0] * maps.shape[2]
    mean, m2, inv_std = np.empty((3, shape[1]))
    for c in _blocks(maps):
        d = maps[:, c].astype(np.float64)
        mean[c] = d.sum(axis=(0, 2)) / count
        d -= mean[c, None]
        m2[c] = np.einsum("ncl,ncl->c", d, d)
        inv_std[c] = 1 / np.sqrt(m2[c] / count + eps)
        d *= inv_std[c, None]
        if gamma is not None:
            d *= gamma.reshape(-1)[c, None]
        if beta is not None:
            d += beta.reshape(-1)[c, None]
        out[:, c] = d
    return y, mean, np.zeros_like(mean), m2, inv_std


def backward(dy, x, mean, rest, inv_std, gamma, shape):
    """``dx`` in the shape of ``x``; sums of ``dy`` and of ``dy * x_hat``, float64, (C,)."""
    dx = np.empty_like(x)
    upstream, maps, out = (_maps(a, shape) for a in (dy, x, dx))
    count = maps.shape[0] * maps.shape[2]
    scale = inv_std if gamma is None else inv_std * gamma.reshape(-1)
    sum_dy, sum_dy_x_hat = np.empty((2, shape[1]))
    for c in _blocks(maps):
        g, h = upstream[:, c].astype(np.float64), maps[:, c].astype(np.float64)
        h -= mean[c, None]
        h *= inv_std[c, None]
        sum_dy[c] = g.sum(axis=(0, 2))
        sum_dy_x_hat[c] = np.einsum("ncl,ncl->c", g, h)
        h *= (sum_dy_x_hat[c] / count)[:, None]
        g -= (sum_dy[c] / count)[:, None]
        g -= h
        g *= scale[c, None]
        out[:, c] = g
    return dx, sum_dy, sum_dy_x_hat


def affine(x, mean, scale, shift, shape):
    """``(x - mean) * scale + shift`` in the shape of ``x``: batch norm by given statistics."""
    y = np.empty_like(x)
    maps, out = _maps(x, shape), _maps(y, shape)
    for c in _blocks(maps):
        d = maps[:, c] - mean[c, None]
        d *= scale[c, None]
        d += shift[c, None]
        out[:, c] = d
    return y


def gradient_sums(dy, x, mean, inv_std, shape):
    """Sums of ``dy`` and of ``dy * (x - mean) * inv_std``, float64, (C,)."""
    upstream, maps = _maps(dy, shape), _maps(x, shape)
    sum_dy, sum_dy_x_hat = np.empty((2, shape[1]))
    for c in _blocks(maps):
        d, g = maps[:, c] - mean[c, None], upstream[:, c].astype(np.float64)
        sum_dy[c] = g.sum(axis=(0, 2))
        sum_dy_x_hat[c] = np.einsum("ncl,ncl->c", g, d) * inv_std[c]
    return sum_dy, sum_dy_x_hat


def _maps(a, shape):
    return a.reshape(shape if len(shape) == 3 else (*shape, 1))


def _blocks(maps):
    n, channels, positions = maps.shape
    width = max(1, _BLOCK // (n * positions))
    return (slice(c, c + width) for c in range(0, channels, width))

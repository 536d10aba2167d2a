"""Batch norm in NumPy, a few channels at a time, in float64.

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
    y, count = np.empty_like(x), x.size // shape[1]
    seen, out = x.reshape(shape), y.reshape(shape)
    mean, m2, inv_std = np.empty((3, shape[1]))
    for c, beside in _blocks(shape):
        d = seen[:, c].astype(np.float64)
        mean[c] = _sum(d) / count
        d -= mean[c][beside]
        m2[c] = _dot(d, d)
        inv_std[c] = 1 / np.sqrt(m2[c] / count + eps)
        d *= inv_std[c][beside]
        if gamma is not None:
            d *= gamma.reshape(-1)[c][beside]
        if beta is not None:
            d += beta.reshape(-1)[c][beside]
        out[:, c] = d
    return y, mean, np.zeros_like(mean), m2, inv_std


def backward(dy, x, mean, rest, inv_std, gamma, shape):
    """``dx`` in the shape of ``x``; sums of ``dy`` and of ``dy * x_hat``, float64, (C,)."""
    dx, count = np.empty_like(x), x.size // shape[1]
    upstream, seen, out = dy.reshape(shape), x.reshape(shape), dx.reshape(shape)
    scale = inv_std if gamma is None else inv_std * gamma.reshape(-1)
    sum_dy, sum_dy_x_hat = np.empty((2, shape[1]))
    for c, beside in _blocks(shape):
        g, h = upstream[:, c].astype(np.float64), seen[:, c].astype(np.float64)
        h -= mean[c][beside]
        h *= inv_std[c][beside]
        sum_dy[c], sum_dy_x_hat[c] = _sum(g), _dot(g, h)
        h *= (sum_dy_x_hat[c] / count)[beside]
        g -= (sum_dy[c] / count)[beside]
        g -= h
        g *= scale[c][beside]
        out[:, c] = g
    return dx, sum_dy, sum_dy_x_hat


def affine(x, mean, scale, shift, shape):
    """``(x - mean) * scale + shift`` in the shape of ``x``: batch norm by given statistics."""
    y = np.empty_like(x)
    seen, out = x.reshape(shape), y.reshape(shape)
    for c, beside in _blocks(shape):
        d = seen[:, c] - mean[c][beside]
        d *= scale[c][beside]
        d += shift[c][beside]
        out[:, c] = d
    return y


def gradient_sums(dy, x, mean, inv_std, shape):
    """Sums of ``dy`` and of ``dy * (x - mean) * inv_std``, float64, (C,)."""
    upstream, seen = dy.reshape(shape), x.reshape(shape)
    sum_dy, sum_dy_x_hat = np.empty((2, shape[1]))
    for c, beside in _blocks(shape):
        d, g = seen[:, c] - mean[c][beside], upstream[:, c].astype(np.float64)
        sum_dy[c], sum_dy_x_hat[c] = _sum(g), _dot(g, d) * inv_std[c]
    return sum_dy, sum_dy_x_hat


def _blocks(shape):
    """Slices of the channels, and how a number a channel is placed beside them."""
    if len(shape) == 2:
        return [(slice(None), ...)]
    n, channels, length = shape
    width = max(1, _BLOCK // (n * length))
    return [(slice(c, c + width), (..., None)) for c in range(0, channels, width)]


def _sum(d):
    return np.add.reduce(d, 0 if d.ndim == 2 else (0, 2))


def _dot(a, b):
    return np.einsum("nc,nc->c" if a.ndim == 2 else "ncl,ncl->c", a, b)

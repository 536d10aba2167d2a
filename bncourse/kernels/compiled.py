"""Batch norm by loops that Numba compiles; the arithmetic is float64, rounded once at the end.

PyTorch reads ``x`` for the mean, for the variance and for ``y``; here a channel of maps is still
in the cache when its ``y`` is made, so that it comes from memory once. What is shared among
threads, and in which order sums are added, does not depend on how many there are.
"""

from functools import cache
from importlib.util import find_spec

import numpy as np

from bncourse.kernels import threads

_LEAST = 2**11  # values: below, all is done before Numba would be loaded
_ROW = 4096  # values: a row of so many channels' maps is long enough for the memory


def supports(x, shape):
    """Whether Numba is there, and ``x`` is float32 or float64 and not tiny."""
    return (
        type(x) is np.ndarray
        and x.size >= _LEAST
        and x.dtype.char in "fd"
        and x.dtype.isnative
        and x.flags.c_contiguous
        and available()
    )


@cache
def available():
    """Whether Numba can be used; it is imported when this is asked."""
    if find_spec("numba") is None:
        return False
    from bncourse.kernels.jit import numba

    return numba is not None


def forward(x, gamma, beta, eps, shape):
    """``y`` in the shape of ``x``; ``mean, rest, m2, inv_std``, each float64 of shape (C,).

    ``None`` where squares overflow, which the general form knows how to avoid.
    """
    y = np.empty_like(x)
    x, out = _seen(x, shape), _seen(y, shape)
    gamma, beta = _flat(gamma, 1, x, shape), _flat(beta, 0, x, shape)
    statistics = np.empty((4, shape[1]))
    mean, rest, m2, inv_std = statistics
    refine = x.dtype == np.float64
    parts = threads.count(x.size)
    if len(shape) == 3:
        loops, width = _maps(), _width(shape)

        def channels(first, last):
            loops.forward(
                x, gamma, beta, eps, refine, out, mean, rest, m2, inv_std, first, last, width
            )

        threads.share(channels, threads.cuts(shape[1], parts))
    elif parts == 1:
        _table().forward(x, gamma, beta, eps, refine, out, mean, rest, m2, inv_std)
    else:
        loops = _table()
        rows = threads.cuts(len(x), parts, loops.CHUNK)
        sums = loops.no_sums(x)
        loops.begin(x, mean, m2)
        for _ in range(1 + refine):
            threads.share(lambda a, b: loops.deviations(x, mean, m2, a, b, sums), rows)
            loops.improve(sums, len(x), mean, rest, m2)
        scale, shift = loops.coefficients(len(x), gamma, beta, eps, rest, m2, inv_std)
        threads.share(lambda a, b: loops.affine(x, mean, scale, shift, out, a, b), rows)
    if refine and not np.isfinite(m2).all():
        return None
    return y, mean, rest, m2, inv_std


def backward(dy, x, mean, rest, inv_std, gamma, shape):
    """``dx`` in the shape of ``x``; sums of ``dy`` and of ``dy * x_hat``, float64, (C,)."""
    dx = np.empty_like(x)
    gamma = _flat(gamma, 1, x, shape)
    dy, x, out = (_seen(a, shape) for a in (np.ascontiguousarray(dy), x, dx))
    sum_dy, sum_dy_x_hat = np.empty((2, shape[1]))
    parts = threads.count(x.size)
    if len(shape) == 3:
        loops, width = _maps(), _width(shape)

        def channels(first, last):
            loops.backward(
                dy, x, mean, rest, inv_std, gamma, out, sum_dy, sum_dy_x_hat, first, last, width
            )

        threads.share(channels, threads.cuts(shape[1], parts))
    elif parts == 1:
        _table().backward(dy, x, mean, rest, inv_std, gamma, out, sum_dy, sum_dy_x_hat)
    else:
        loops = _table()
        rows = threads.cuts(len(x), parts, loops.CHUNK)
        sums = loops.no_sums(x)
        threads.share(lambda a, b: loops.gradient_sums(dy, x, mean, a, b, sums), rows)
        loops.add(sums, rest, inv_std, sum_dy, sum_dy_x_hat)
        scale, along, shift = loops.slopes(len(x), rest, inv_std, gamma, sum_dy, sum_dy_x_hat)
        threads.share(
            lambda a, b: loops.gradient(dy, x, mean, scale, along, shift, out, a, b), rows
        )
    return dx, sum_dy, sum_dy_x_hat


def affine(x, mean, scale, shift, shape):
    """``(x - mean) * scale + shift`` in the shape of ``x``: batch norm by given statistics."""
    y = np.empty_like(x)
    x, out = _seen(x, shape), _seen(y, shape)
    parts = threads.count(x.size)
    loops = _table() if len(shape) == 2 else _maps()
    cuts = threads.cuts(shape[len(shape) == 3], parts)
    threads.share(lambda a, b: loops.affine(x, mean, scale, shift, out, a, b), cuts)
    return y


def gradient_sums(dy, x, mean, inv_std, shape):
    """Sums of ``dy`` and of ``dy * (x - mean) * inv_std``, float64, (C,)."""
    dy, x = _seen(np.ascontiguousarray(dy), shape), _seen(x, shape)
    rest = np.zeros_like(mean)
    sum_dy, sum_dy_x_hat = np.empty((2, shape[1]))
    parts = threads.count(x.size)
    if len(shape) == 3:
        loops = _maps()

        def channels(first, last):
            loops.gradient_sums(dy, x, mean, rest, inv_std, sum_dy, sum_dy_x_hat, first, last)

        threads.share(channels, threads.cuts(shape[1], parts))
    else:
        loops = _table()
        sums = loops.no_sums(x)
        rows = threads.cuts(len(x), parts, loops.CHUNK)
        threads.share(lambda a, b: loops.gradient_sums(dy, x, mean, a, b, sums), rows)
        loops.add(sums, rest, inv_std, sum_dy, sum_dy_x_hat)
    return sum_dy, sum_dy_x_hat


def _seen(a, shape):
    return a if a.shape == shape else a.reshape(shape)


def _flat(parameter, default, x, shape):
    """A parameter as (C,); where there is none, one that does nothing."""
    if parameter is None:
        return np.full(shape[1], default, x.dtype)
    return parameter if parameter.ndim == 1 else parameter.reshape(-1)


def _width(shape):
    return max(1, _ROW // (4 * shape[2]))


@cache
def _maps():
    from bncourse.kernels import loops_maps

    return loops_maps


@cache
def _table():
    from bncourse.kernels import loops_table

    return loops_table

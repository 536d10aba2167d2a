"""Batch norm by loops that Numba compiles, on one thread or on several.

Maps are shared among threads by channels, a table by rows. Neither what is added to what nor in
which order depends on how many threads there are.
"""

from functools import cache
from importlib.util import find_spec

import numpy as np

from bncourse.kernels import aligned, limits, threads

RELU = True  # may follow, and be undone, in the same loops
LEAST = 2**12  # values: below, all is done long before Numba is loaded


def supports(x, shape):
    """Whether ``x`` is float32 or float64 in NumPy and not very small, and Numba is there."""
    return type(x) is np.ndarray and x.size >= LEAST and takes(x) and available()


def takes(x):
    """Whether ``x``, an array in NumPy, is contiguous and of a dtype that the loops know."""
    return x.dtype.char in "fd" and x.dtype.isnative and x.flags.c_contiguous


@cache
def available():
    """Whether Numba can be used; it is imported when this is asked."""
    if find_spec("numba") is None:
        return False
    from bncourse.kernels.jit import numba, works

    return numba is not None and works(_trial, "batch norm")


def _trial():
    from bncourse.kernels.prefetch import touch

    touch(np.zeros(16, np.float32))


def forward(x, gamma, beta, eps, shape, residual=None, relu=False):
    """``y`` in the shape of ``x``; ``mean, rest, m2, inv_std``, each float64 of shape (C,).

    ``residual``, in the shape and dtype of ``x``, is added to ``y``, which then is rectified.
    ``None`` where squares overflow, or might underflow: the general form knows what to do.
    """
    y, statistics = aligned.empty(x.shape, x.dtype), np.empty((4, shape[1]))
    x, out = _seen(x, shape), _seen(y, shape)
    gamma, beta = _flat(gamma, 1, x), _flat(beta, 0, x)
    refine, then = x.dtype.char == "d", (_alike(residual, shape), 0.0 if relu else -np.inf)
    if eps < limits.TINY and not refine:
        return None
    if len(shape) == 3:
        fine = _forward_maps(x, gamma, beta, eps, refine, out, statistics, then)
    elif (parts := threads.count(x.size)) == 1:
        fine = _table().forward(x, gamma, beta, eps, refine, out, statistics, *then)
    else:
        fine = _forward_table(x, gamma, beta, eps, refine, out, statistics, parts, then)
    return (y, statistics[0], statistics[1], statistics[2], statistics[3]) if fine else None


def backward(dy, x, mean, rest, inv_std, gamma, shape, beta=None, relu=False):
    """``dx`` in the shape of ``x``; sums of ``dy`` and of ``dy * x_hat``, float64, (C,).

    Behind a ReLU, for which ``beta`` is wanted, ``dy`` counts where its output was positive.
    ``None`` where products overflow, or might underflow.
    """
    if not _table().within(inv_std, *limits.USUAL[x.dtype.char]):
        return None
    dx, sums = aligned.empty(x.shape, x.dtype), np.empty((2, shape[1]))
    dy, x, out = _alike(dy, shape), _seen(x, shape), _seen(dx, shape)
    gamma, edges = _flat(gamma, 1, x), None
    if relu:
        edges = _rectifier().edges(x, mean, rest, inv_std, gamma, _flat(beta, 0, x))
    if len(shape) == 3:
        fine = _backward_maps(dy, x, mean, rest, inv_std, gamma, out, sums, edges)
    elif (parts := threads.count(x.size)) == 1:
        fine = _table().backward(dy, x, mean, rest, inv_std, gamma, out, sums, edges)
    else:
        fine = _backward_table(dy, x, mean, rest, inv_std, gamma, out, sums, edges, parts)
    return (dx, sums[0], sums[1]) if fine else None


def affine(x, mean, scale, shift, shape):
    """``(x - mean) * scale + shift`` in the shape of ``x``: batch norm by given statistics.

    ``None`` where a scale overflows.
    """
    y = aligned.empty(x.shape, x.dtype)
    x, out = _seen(x, shape), _seen(y, shape)
    loops, axis = (_maps(), 1) if len(shape) == 3 else (_table(), 0)
    if len(shape) == 2:
        with np.errstate(over="ignore", invalid="ignore"):
            center, high = mean.astype(x.dtype), scale.astype(x.dtype)
            low = (scale - high).astype(x.dtype)
            shift = (shift - (mean - center) * scale).astype(x.dtype)
        coefficients = center, high, low, shift
        if not all(np.isfinite(a).all() for a in coefficients):
            return None
    else:
        coefficients = mean, scale, shift
    threads.share(
        lambda first, last: loops.affine(x, *coefficients, out, first, last),
        threads.cuts(shape[axis], threads.count(x.size), 1 if axis else loops.chunk_rows(x)),
    )
    return y


def gradient_sums(dy, x, mean, inv_std, shape):
    """Sums of ``dy`` and of ``dy * (x - mean) * inv_std``, float64, (C,).

    ``None`` where products overflow.
    """
    dy, x = _alike(dy, shape), _seen(x, shape)
    rest, sums = np.zeros_like(mean), np.empty((2, shape[1]))
    parts = threads.count(x.size)
    if len(shape) == 3:
        threads.share(
            lambda a, b: _maps().gradient_sums(dy, x, mean, rest, inv_std, *sums, a, b),
            threads.cuts(shape[1], parts),
        )
    else:
        _gradient_sums_of_table(dy, x, mean.astype(x.dtype), mean, rest, inv_std, sums, parts)
    return sums if np.isfinite(sums.sum()) else None


def _forward_maps(x, gamma, beta, eps, refine, y, statistics, then):
    loops, given, width = _maps(), (x, gamma, beta, eps, refine), _width(x)
    threads.share(
        lambda a, b: loops.forward(*given, y, *statistics, a, b, width, *then),
        threads.cuts(x.shape[1], threads.count(x.size)),
    )
    return np.isfinite(statistics[2].sum())


def _backward_maps(dy, x, mean, rest, inv_std, gamma, dx, sums, edges):
    loops, given, width = _maps(), (dy, x, mean, rest, inv_std, gamma), _width(x)
    threads.share(
        lambda a, b: loops.backward(*given, dx, *sums, a, b, width, edges),
        threads.cuts(x.shape[1], threads.count(x.size)),
    )
    return np.isfinite(sums.sum())


def _forward_table(x, gamma, beta, eps, refine, y, statistics, parts, then):
    """The same steps as in the loop of that name, each on all threads."""
    loops = _table()
    rows, sums = threads.cuts(len(x), parts, loops.chunk_rows(x)), loops.no_sums(x)
    mean, rest, m2, inv_std = statistics
    center = loops.begin(x, m2)

    def improve():
        threads.share(lambda a, b: loops.deviations(x, center, m2, a, b, sums), rows)
        return loops.improve(sums, len(x), center, mean, rest, m2)

    if improve() or refine:
        center[:] = mean
        improve()
    high, low, shift = loops.coefficients(len(x), gamma, beta, eps, center, mean, rest, m2, inv_std)
    threads.share(lambda a, b: loops.affine(x, center, high, low, shift, y, a, b, *then), rows)
    return np.isfinite(m2.sum())


def _backward_table(dy, x, mean, rest, inv_std, gamma, dx, sums, edges, parts):
    """The same steps as in the loop of that name, each on all threads."""
    loops, center = _table(), mean.astype(x.dtype)
    _gradient_sums_of_table(dy, x, center, mean, rest, inv_std, sums, parts, edges)
    scale, high, low, shift = loops.slopes(
        len(x), gamma, center, mean, rest, inv_std, sums[0], sums[1]
    )
    threads.share(
        lambda a, b: loops.gradient(dy, x, center, scale, high, low, shift, dx, a, b, edges),
        threads.cuts(len(x), parts, loops.chunk_rows(x)),
    )
    return np.isfinite(sums.sum())


def _gradient_sums_of_table(dy, x, center, mean, rest, inv_std, sums, parts, edges=None):
    loops = _table()
    chunks = loops.no_sums(x)
    threads.share(
        lambda a, b: loops.gradient_sums(dy, x, center, a, b, chunks, edges),
        threads.cuts(len(x), parts, loops.chunk_rows(x)),
    )
    loops.add(chunks, center, mean, rest, inv_std, sums[0], sums[1])


def _seen(a, shape):
    return a if a.shape == shape else a.reshape(shape)


def _alike(a, shape):
    """``a``, if there is one, in that shape and without gaps."""
    return None if a is None else _seen(np.ascontiguousarray(a), shape)


def _flat(parameter, default, x):
    """A parameter as (C,), of a dtype that Numba knows; where there is none, one that does
    nothing."""
    if parameter is None:
        return np.full(x.shape[1], default, x.dtype)
    if parameter.dtype.char not in "fd" or not parameter.dtype.isnative:
        parameter = parameter.astype(np.float64)
    return parameter if parameter.ndim == 1 else parameter.reshape(-1)


def _width(x):
    """Channels of which the maps of one example make a row of 4 KiB."""
    return max(1, 1024 // x.shape[2])


@cache
def _maps():
    from bncourse.kernels import loops_maps

    return loops_maps


@cache
def _table():
    from bncourse.kernels import loops_table

    return loops_table


@cache
def _rectifier():
    from bncourse.kernels import rectifier

    return rectifier

"""Max pooling in loops that Numba compiles, for float32 and float64 in NumPy.

Planes, of all channels of all examples, are shared among threads.
"""

from functools import cache
from math import prod

import numpy as np

from bncourse.kernels import compiled, threads

_WASTE = 6  # windows for one that is asked for: where there are more, NumPy is faster


def supports(x):
    """Whether Numba is there, and ``x`` is in memory as it is needed, and not very small."""
    return compiled.supports(x, x.shape)


def worth_it(x, count, stride, padding):
    """Whether :func:`forward` is faster than NumPy: its windows begin at each element."""
    framed = [m + 2 * p for m, p in zip(x.shape[2:], padding, strict=True)]
    last = sum((n - 1) * stride[i] * prod(framed[i + 1 :]) for i, n in enumerate(count))
    return last < _WASTE * prod(count)


def forward(x, kernel, stride, padding, count, dtype):
    """``y``, and an index of ``dtype`` that says which element of its window is the largest."""
    y = np.empty((*x.shape[:2], *count), x.dtype)
    index = np.empty(y.shape, dtype)
    given = _planes(x), *_three(kernel, stride, padding), _planes(y), _planes(index)
    _share(_loops().forward, given, x)
    return y, index


def backward(dy, index, size, kernel, stride, padding):
    """``dy`` at the element of its window that ``index`` names; where windows overlap, the sum."""
    dx = np.empty((*dy.shape[:2], *size), dy.dtype)
    given = _planes(dy), _planes(index), *_three(kernel, stride, padding), _planes(dx)
    _share(_loops().backward, given, dx)
    return dx


def _share(loop, given, x):
    planes = x.shape[0] * x.shape[1]
    threads.share(lambda a, b: loop(*given, a, b), threads.cuts(planes, threads.count(x.size)))


def _planes(x):
    """All planes one after the other, with three spatial axes."""
    return x.reshape(-1, *(1,) * (5 - x.ndim), *x.shape[2:])


def _three(kernel, stride, padding):
    """One number for each of three spatial axes."""
    more = 3 - len(kernel)
    return (1,) * more + kernel, (1,) * more + stride, (0,) * more + padding


@cache
def _loops():
    from bncourse.kernels import loops_pool

    return loops_pool

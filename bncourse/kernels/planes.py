"""Convolution with stride 1 by shifts of flat images, in loops that Numba compiles.

For float32 and float64 in NumPy, with one to three spatial axes. Examples are shared among
threads, and for the gradient of the weights output channels: so what is added to what, and in
which order, does not depend on how many threads there are.
"""

from functools import cache
from math import prod

import numpy as np

from bncourse.kernels import compiled, threads

_LEAST = 2**20  # multiplications: below, all is done long before Numba is loaded
_A_VALUE = 32  # multiplications that take as long as a value in a batch norm
_PLANE = 1024  # numbers of a channel to do at once, from as many images as that takes


def supports(x, kernel, stride, multiplications):
    """Whether Numba is there, and the work is of a kind and size that is done here.

    A window of one element is left to the BLAS: it needs no frame and no shifts.
    """
    return (
        multiplications >= _LEAST
        and all(s == 1 for s in stride)
        and prod(kernel) > 1
        and type(x) is np.ndarray
        and x.dtype.char in "fd"
        and x.dtype.isnative
        and compiled.available()
        and _works()
    )


def correlate(x, w, padding, groups):
    """``y``: the windows of ``x`` in its frame of zeros, weighted by ``w`` and summed."""
    loops, count = _loops(), _windows(x, w.shape[2:], padding)
    y = np.empty((x.shape[0], w.shape[0], *count), x.dtype)
    frame, images, offsets = _geometry(x, w.shape[2:], padding, groups)
    out, channels = w.shape[0] // groups, w.shape[1]
    rows = -(-out // loops.ROWS) * loops.ROWS
    weights = np.zeros((groups, rows, channels * prod(w.shape[2:])), x.dtype)
    weights[:, :out] = w.reshape(groups, out, -1)
    weights = weights.reshape(groups, -1, loops.ROWS, weights.shape[-1]).swapaxes(2, 3)
    given = _five(np.ascontiguousarray(x)), np.ascontiguousarray(weights), offsets, images, frame
    seen = _five(y)
    threads.share(
        lambda a, b: loops.correlate(*given, seen, a, b),
        threads.cuts(x.shape[0], _parts(y, prod(w.shape[1:])), images),
    )
    return y


def weigh(x, dy, kernel, padding, groups):
    """``w``: products of ``dy`` with the windows of ``x`` in its frame, summed over all windows.

    ``None`` where it is not finite: the general form knows which weights see what is not.
    """
    loops = _loops()
    frame, images, offsets = _geometry(x, kernel, padding, groups)
    out, channels = dy.shape[1] // groups, x.shape[1] // groups
    tiles, weights = -(-out // loops.ROWS), len(offsets)
    spare = -weights % loops.WIDE
    offsets = np.concatenate([offsets, offsets[-1:].repeat(spare)])
    dw = np.zeros((groups, tiles, loops.ROWS, weights + spare))
    given = _five(np.ascontiguousarray(x)), _five(np.ascontiguousarray(dy)), offsets, images, frame
    threads.share(
        lambda a, b: loops.weigh(*given, dw, a, b),
        threads.cuts(groups * tiles, _parts(dy, weights)),
    )
    with np.errstate(over="ignore"):
        dw = dw.reshape(groups, -1, weights + spare)[:, :out, :weights].astype(x.dtype)
    if not np.isfinite(dw).all():
        return None
    return dw.reshape(groups * out, channels, *kernel)


def _geometry(x, kernel, padding, groups):
    """Where an image begins in its frame, and the sizes of that; how many images to do at once;
    and the offset of each weight.

    The frame in front of a line, or a plane, is also the one behind that before it. Should more
    windows begin in a line than it is long, those that coincide with others see zeros only.
    """
    more = 3 - (x.ndim - 2)
    size = (*(1,) * more, *(m + p for m, p in zip(x.shape[2:], padding, strict=True)))
    images = max(1, min(x.shape[0], _PLANE // prod(size)))
    steps = np.array([images * prod(size), *(prod(size[i + 1 :]) for i in range(3))], np.intp)
    shape = x.shape[1] // groups, *(1,) * more, *kernel
    offsets = np.indices(shape, np.intp).reshape(4, -1).T @ steps
    return ((*(0,) * more, *padding), size), images, offsets


def _windows(x, kernel, padding):
    sizes = zip(x.shape[2:], kernel, padding, strict=True)
    return tuple(m + 2 * p - k + 1 for m, k, p in sizes)


def _parts(y, weights):
    return threads.count(y.size * max(1, weights // _A_VALUE))


def _five(a):
    """With three spatial axes."""
    return a.reshape(*a.shape[:2], *(1,) * (5 - a.ndim), *a.shape[2:])


@cache
def _works():
    from bncourse.kernels.jit import works

    return works(_trial, "convolution")


def _trial():
    y = correlate(np.arange(8, dtype="f").reshape(1, 1, 8), np.ones((1, 1, 3), "f"), (0,), 1)
    if not np.array_equal(y.ravel(), [3, 6, 9, 12, 15, 18]):
        raise ArithmeticError(f"sums are {y.ravel()}")


@cache
def _loops():
    from bncourse.kernels import loops_planes

    return loops_planes

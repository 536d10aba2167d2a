r"""Sliding weights as matrix products: the three sums behind convolution and its transpose.

With ``x`` of shape (N, C, *spatial*), in a frame of zeros, ``w`` of shape (O, C/groups, *kernel*),
and ``y`` of shape (N, O, *windows*), all three read off the form

.. math::

    \sum_{n,o,p,c,k} y_{n,o,p}\; w_{o,c,k}\; x_{n,c,\,p \cdot \mathrm{stride} + k}

the derivative with respect to one factor: :func:`correlate` with respect to ``y``,
:func:`spread` with respect to ``x``, and :func:`weigh` with respect to ``w``. So each is the
gradient of the others, and there is nothing else to derive.

Steps of one are taken by compiled loops where Numba is there, :mod:`bncourse.kernels.planes`.
For the others only the last kernel axis is unrolled into columns: a shift along the axes before
it needs no copy, it is another view of the same columns. The usual im2col, which unrolls all,
writes and reads ``kernel[0]`` times as much.
"""

from itertools import product
from math import prod

import numpy as np

from bncourse import arrays, kernels
from bncourse.functional.threads import share
from bncourse.functional.windows import at, counts, inner
from bncourse.kernels import planes

# Bytes of columns to hold at once: with their products they stay in the cache of a CPU core.
_BLOCK = 1 << 19


def correlate(x, w, stride, padding, groups):
    """``y``: the windows of ``x`` in its frame of zeros, weighted by ``w`` and summed."""
    n, count = x.shape[0], counts(x.shape, w.shape[2:], stride, padding)
    if _compiled(x, w.shape, stride, count):
        return planes.correlate(x, w, padding, groups)
    xp = arrays.namespace(x=x)
    matrices = _matrices(w, groups)
    shape = (n, groups, w.shape[0] // groups, prod(count))
    y = xp.empty(shape, dtype=x.dtype, device=arrays.compat.device(x))

    def one(part):
        columns = _columns(x[part, ...], w.shape[2:], stride, padding, groups)
        _correlate(columns, matrices, stride, count, y[part, ...])

    _share(one, x, prod(w.shape), count)
    return xp.reshape(y, (n, w.shape[0], *count))


def _correlate(blocks, matrices, stride, count, y):
    term, shifts = None, _shifts([offset for offset, _ in matrices], stride, count)
    for block, columns in blocks:
        total = y[block, ...]
        for i, (_, matrix) in enumerate(matrices):
            view = _view(columns, shifts[i])
            if i == 0:
                _product(matrix, view, total)
                continue
            if term is None:  # kept for the next blocks, which may be smaller
                term = arrays.namespace(y=y).empty_like(total)
            total += _product(matrix, view, term[: total.shape[0], ...])


def spread(y, w, stride, padding, groups, size):
    """``x``: each element of ``y`` laid back over its window, times ``w``; overlaps add up.

    ``size`` is the spatial shape of ``x`` without its frame, which is cut off. What no window
    covers is zero.
    """
    mirrored = tuple(k - 1 - p for k, p in zip(w.shape[2:], padding, strict=True))
    if min(size) > 0 and _mirrors_well(y, w, stride, mirrored, groups):
        # Every shift has its turn: the mirrored weights, sliding over y, give the same sum.
        return correlate(y, _mirrored(w, groups), stride, mirrored, groups)
    xp = arrays.namespace(y=y)
    framed = tuple(m + 2 * p for m, p in zip(size, padding, strict=True))
    shape = (y.shape[0], w.shape[1] * groups, *framed)
    x = xp.zeros(shape, dtype=y.dtype, device=arrays.compat.device(y))
    matrices = [(offset, xp.matrix_transpose(m)) for offset, m in _matrices(w, groups)]

    def one(part):
        _spread(y[part, ...], matrices, w.shape[-1], stride, x[part, ...])

    _share(one, y, prod(w.shape), y.shape[2:])
    return x[inner(padding, size)]


def _spread(y, matrices, width, stride, x):
    """Backwards through :func:`_correlate`: add to columns, then these to their shifts."""
    xp = arrays.namespace(y=y)
    groups, rows, out = matrices[0][1].shape
    count, lead, device = tuple(y.shape[2:]), tuple(x.shape[2:-1]), arrays.compat.device(y)
    for block in _blocks(y, groups * rows * prod(lead) * count[-1]):
        part = xp.reshape(y[block, ...], (-1, groups, out, prod(count)))
        shape = (part.shape[0], groups, rows)
        columns = xp.zeros((*shape, *lead, count[-1]), dtype=y.dtype, device=device)
        term = xp.empty((*shape, prod(count)), dtype=y.dtype, device=device)
        for offset, matrix in matrices:
            index = (*at(offset, stride[:-1], count[:-1]), slice(None))
            columns[index] += xp.reshape(_product(matrix, part, term), (*shape, *count))
        columns = xp.reshape(columns, (shape[0], x.shape[1], width, *lead, count[-1]))
        for j in range(width):
            x[(block, *at((j,), stride[-1:], count[-1:]))] += columns[:, :, j, ...]


def weigh(x, y, kernel, stride, padding, groups):
    """``w``: products of ``y`` with the windows of ``x`` in its frame, summed over all windows."""
    count, (n, out) = tuple(y.shape[2:]), y.shape[:2]
    channels = x.shape[1] // groups
    if _compiled(x, (out, channels, *kernel), stride, count):
        w = planes.weigh(x, y, kernel, padding, groups)
        if w is not None:
            return w
    xp = arrays.namespace(x=x)
    y = xp.reshape(y, (n, groups, out // groups, prod(count)))
    offsets = list(product(*map(range, kernel[:-1])))
    shape = (len(offsets), groups, channels * kernel[-1], out // groups)

    def one(part):
        w = xp.zeros(shape, dtype=x.dtype, device=arrays.compat.device(x))
        columns = _columns(x[part, ...], kernel, stride, padding, groups)
        return _weigh(columns, y[part, ...], offsets, stride, count, w)

    w = sum(_share(one, x, out * channels * prod(kernel), count))
    w = xp.reshape(w, (len(offsets), groups, channels, kernel[-1], out // groups))
    return xp.reshape(xp.permute_dims(w, (1, 4, 2, 0, 3)), (out, channels, *kernel))


def _weigh(blocks, y, offsets, stride, count, w):
    xp = arrays.namespace(y=y)
    shifts = _shifts(offsets, stride, count)
    for block, columns in blocks:
        part = xp.matrix_transpose(y[block, ...])
        shape = (columns.shape[0], *w.shape[1:])
        term = xp.empty(shape, dtype=w.dtype, device=arrays.compat.device(w))
        for i, shift in enumerate(shifts):
            # The columns first: OpenBLAS is faster when the matrix with more rows is.
            view = _view(columns, shift)
            w[i, ...] += xp.sum(_product(view, part, term), axis=0)
    return w


def _compiled(x, w, stride, count):
    """Whether the sum over ``x``, weights of shape ``w`` and ``count`` windows is for Numba."""
    return kernels.wanted("numba") and planes.supports(
        x, w[2:], stride, x.shape[0] * prod(w) * prod(count)
    )


def _columns(x, kernel, stride, padding, groups):
    """Block by block: its slice, and shifts of ``x`` along the last axis side by side.

    Their shape is (block, groups, C/groups * kernel[-1], ..., windows along the last axis). The
    axes between still have all their elements, and the frame of zeros around them.
    """
    xp = arrays.namespace(x=x)
    n, channels, *lead, last = x.shape
    width, step, frame = kernel[-1], stride[-1], padding[-1]
    count = counts(x.shape, kernel, stride, padding)[-1]
    framed = [m + 2 * p for m, p in zip(lead, padding[:-1], strict=True)]
    rows = (groups, channels // groups * width, *framed, count)
    if width == step == 1 and not any(padding):
        yield slice(None), xp.reshape(x, (n, *rows))
        return
    blocks = _blocks(x, prod(rows))
    room = (blocks[0].stop if blocks else 0, channels, width, *framed, count)
    room = xp.zeros(room, dtype=x.dtype, device=arrays.compat.device(x))  # the frame stays 0
    copies = []
    for j in range(width):
        first = max(0, -((j - frame) // step))
        end = min(count, (last - 1 + frame - j) // step + 1)
        if first < end:
            inside = inner((*padding[:-1], first), (*lead, end - first))
            copies.append((j, inside, at((first * step + j - frame,), (step,), (end - first,))))
    for block in blocks:
        columns, images = room[: block.stop - block.start, ...], x[block, ...]
        for j, inside, shift in copies:
            columns[:, :, j, ...][inside] = images[shift]
        yield block, xp.reshape(columns, (columns.shape[0], *rows))


def _blocks(x, size):
    """Slices of the batch, where each image needs ``size`` numbers; all at once on a GPU."""
    n, step = x.shape[0], max(x.shape[0], 1)
    if arrays.library(x) == "numpy":
        step = max(1, _BLOCK // max(size * x.dtype.itemsize, 1))
    return [slice(i, min(i + step, n)) for i in range(0, n, step)]


def _share(f, x, size, count):
    """``f`` of parts of the batch ``x``, by several threads where NumPy does the work.

    ``size`` is that of the weights, each of which is multiplied once per window.
    """
    if arrays.library(x) != "numpy":
        return [f(slice(None))]
    return share(f, x.shape[0], x.shape[0] * size * prod(count))


def _shifts(offsets, stride, count):
    """Index of all windows in columns, for each offset along the axes before the last."""
    return [(*at(offset, stride[:-1], count[:-1]), slice(None)) for offset in offsets]


def _view(columns, shift):
    """What a shift leads to, as matrices; for two spatial axes and stride 1 it is not copied."""
    view = columns[shift]
    xp = arrays.namespace(view=view)
    return xp.reshape(view, (*columns.shape[:3], prod(view.shape[3:])))


def _matrices(w, groups):
    """Offsets along the axes before the last, and the weights there.

    They are matrices of shape (groups, O/groups, C/groups * kernel[-1]).
    """
    xp = arrays.namespace(w=w)
    out, channels, *kernel = w.shape
    shape = (groups, out // groups, channels * kernel[-1])
    every = slice(None)
    return [
        (offset, xp.reshape(w[(every, every, *offset, every)], shape, copy=True))
        for offset in product(*map(range, kernel[:-1]))
    ]


def _product(a, b, out):
    """``a @ b``, written to ``out``: fresh memory for each product takes longer than the product.

    A library other than NumPy has its own way with memory, and the standard has no ``out``.
    """
    if type(out) is np.ndarray:
        return np.matmul(a, b, out=out)
    out[...] = a @ b
    return out


def _mirrors_well(y, w, stride, mirrored, groups):
    """Whether :func:`spread` is a :func:`correlate`, and one that moves less memory."""
    if any(s > 1 for s in stride) or min(mirrored) < 0:
        return False
    if _compiled(y, w.shape, stride, y.shape[2:]):
        return True
    columns, overlaps = w.shape[0] // groups, w.shape[1] * prod(w.shape[2:-1])
    return columns <= overlaps or w.shape[-1] == 1


def _mirrored(w, groups):
    """Weights that lead from O to C channels, read backwards along all kernel axes."""
    xp = arrays.namespace(w=w)
    out, channels, *kernel = w.shape
    w = xp.flip(w, axis=tuple(range(2, w.ndim)))
    w = xp.reshape(w, (groups, out // groups, channels, *kernel))
    w = xp.permute_dims(w, (0, 2, 1, *range(3, w.ndim)))
    return xp.reshape(w, (groups * channels, out // groups, *kernel))

r"""Sliding weights as matrix products: the three sums behind convolution and its transpose.

With ``x`` of shape (N, C, *spatial*), in a frame of zeros, ``w`` of shape (O, C/groups, *kernel*),
and ``y`` of shape (N, O, *windows*), all three read off the form

.. math::

    \sum_{n,o,p,c,k} y_{n,o,p}\; w_{o,c,k}\; x_{n,c,\,p \cdot \mathrm{stride} + k}

the derivative with respect to one factor: :func:`correlate` with respect to ``y``,
:func:`spread` with respect to ``x``, and :func:`weigh` with respect to ``w``. So each is the
gradient of the others, and there is nothing else to derive.

Only the last kernel axis is unrolled into columns: a shift along the axes before it needs no
copy, it is another view of the same columns. The usual im2col, which unrolls all, writes
and reads ``kernel[0]`` times as much.
"""

from itertools import product
from math import prod

import numpy as np

from bncourse import arrays
from bncourse.functional.windows import at, counts, inner

# Bytes of columns to hold at once: with their products they stay in the cache of a CPU core.
_BLOCK = 1 << 19


def correlate(x, w, stride, padding, groups):
    """``y``: the windows of ``x`` in its frame of zeros, weighted by ``w`` and summed."""
    xp = arrays.namespace(x=x)
    count = counts(x.shape, w.shape[2:], stride, padding)
    matrices = _matrices(w, groups)
    shape = (x.shape[0], groups, w.shape[0] // groups, prod(count))
    y = xp.empty(shape, dtype=x.dtype, device=arrays.compat.device(x))
    for block, columns in _columns(x, w.shape[2:], stride, padding, groups):
        total, term = y[block, ...], None
        for offset, matrix in matrices:
            view = _view(columns, offset, stride, count)
            if term is None:
                _product(matrix, view, total)
                term = xp.empty_like(total) if len(matrices) > 1 else total
            else:
                total += _product(matrix, view, term)
    return xp.reshape(y, (x.shape[0], w.shape[0], *count))


def spread(y, w, stride, padding, groups, size):
    """``x``: each element of ``y`` laid back over its window, times ``w``; overlaps add up.

    ``size`` is the spatial shape of ``x`` without its frame, which is cut off. What no window
    covers is zero.
    """
    mirrored = tuple(k - 1 - p for k, p in zip(w.shape[2:], padding, strict=True))
    if _mirrors_well(y, w, stride, mirrored, groups, size):
        # Every shift has its turn: the mirrored weights, sliding over y, give the same sum.
        return correlate(y, _mirrored(w, groups), stride, mirrored, groups)
    xp = arrays.namespace(y=y)
    width, count, device = w.shape[-1], tuple(y.shape[2:]), arrays.compat.device(y)
    n, channels, rows = y.shape[0], w.shape[1] * groups, w.shape[1] * width
    framed = tuple(m + 2 * p for m, p in zip(size, padding, strict=True))
    matrices = [(offset, xp.matrix_transpose(m)) for offset, m in _matrices(w, groups)]
    x = xp.zeros((n, channels, *framed), dtype=y.dtype, device=device)
    for block in _blocks(y, groups * rows * prod(framed[:-1]) * count[-1]):
        part = xp.reshape(y[block, ...], (-1, groups, w.shape[0] // groups, prod(count)))
        lead = (part.shape[0], groups, rows)
        columns = xp.zeros((*lead, *framed[:-1], count[-1]), dtype=y.dtype, device=device)
        term = xp.empty((*lead, prod(count)), dtype=y.dtype, device=device)
        for offset, matrix in matrices:
            index = (*at(offset, stride[:-1], count[:-1]), slice(None))
            columns[index] += xp.reshape(_product(matrix, part, term), (*lead, *count))
        columns = xp.reshape(columns, (part.shape[0], channels, width, *framed[:-1], count[-1]))
        for j in range(width):
            x[(block, *at((j,), stride[-1:], count[-1:]))] += columns[:, :, j, ...]
    return x[inner(padding, size)]


def weigh(x, y, kernel, stride, padding, groups):
    """``w``: products of ``y`` with the windows of ``x`` in its frame, summed over all windows."""
    xp = arrays.namespace(x=x)
    count, (n, out) = tuple(y.shape[2:]), y.shape[:2]
    channels = x.shape[1] // groups
    y = xp.reshape(y, (n, groups, out // groups, prod(count)))
    offsets = list(product(*map(range, kernel[:-1])))
    shape = (len(offsets), groups, channels * kernel[-1], out // groups)
    device = arrays.compat.device(x)
    w = xp.zeros(shape, dtype=x.dtype, device=device)
    for block, columns in _columns(x, kernel, stride, padding, groups):
        part = xp.matrix_transpose(y[block, ...])
        term = xp.empty((columns.shape[0], *shape[1:]), dtype=x.dtype, device=device)
        for i, offset in enumerate(offsets):
            # The columns first: OpenBLAS is faster when the matrix with more rows is.
            view = _view(columns, offset, stride, count)
            w[i, ...] += xp.sum(_product(view, part, term), axis=0)
    w = xp.reshape(w, (len(offsets), groups, channels, kernel[-1], out // groups))
    return xp.reshape(xp.permute_dims(w, (1, 4, 2, 0, 3)), (out, channels, *kernel))


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
    for block in blocks:
        columns = room[: block.stop - block.start, ...]
        for j in range(width):
            first = max(0, -((j - frame) // step))
            end = min(count, (last - 1 + frame - j) // step + 1)
            if first < end:
                inside = inner((*padding[:-1], first), (*lead, end - first))
                shift = at((first * step + j - frame,), (step,), (end - first,))
                columns[:, :, j, ...][inside] = x[block, ...][shift]
        yield block, xp.reshape(columns, (columns.shape[0], *rows))


def _blocks(x, size):
    """Slices of the batch, where each image needs ``size`` numbers; all at once on a GPU."""
    n, step = x.shape[0], max(x.shape[0], 1)
    if arrays.library(x) == "numpy":
        step = max(1, _BLOCK // max(size * x.dtype.itemsize, 1))
    return [slice(i, min(i + step, n)) for i in range(0, n, step)]


def _view(columns, offset, stride, count):
    """The columns of all windows, ``offset`` from their first element, as matrices."""
    xp = arrays.namespace(columns=columns)
    view = columns[(*at(offset, stride[:-1], count[:-1]), slice(None))]
    return xp.reshape(view, (*columns.shape[:3], prod(count)))


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


def _mirrors_well(y, w, stride, mirrored, groups, size):
    """Whether :func:`spread` is a :func:`correlate`, and one that moves less memory."""
    if any(s > 1 for s in stride) or min(mirrored) < 0:
        return False
    whole = tuple(
        n + 2 * p - k + 1 for n, p, k in zip(y.shape[2:], mirrored, w.shape[2:], strict=True)
    )
    columns, overlaps = w.shape[0] // groups, w.shape[1] * prod(w.shape[2:-1])
    return whole == size and (columns <= overlaps or w.shape[-1] == 1)


def _mirrored(w, groups):
    """Weights that lead from O to C channels, read backwards along all kernel axes."""
    xp = arrays.namespace(w=w)
    out, channels, *kernel = w.shape
    w = xp.flip(w, axis=tuple(range(2, w.ndim)))
    w = xp.reshape(w, (groups, out // groups, channels, *kernel))
    w = xp.permute_dims(w, (0, 2, 1, *range(3, w.ndim)))
    return xp.reshape(w, (groups * channels, out // groups, *kernel))

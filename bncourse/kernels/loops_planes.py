"""Convolution with stride 1 by shifts of flat images, as loops for Numba.

An image in its frame of zeros is one long row: a step down is a shift by the width, a step to
another channel one by the size of a plane. So each weight has one offset, and outputs that lie
side by side read inputs that lie side by side, also across the ends of lines; what comes out
there belongs to no window and is left out.

A tile of ROWS outputs by WIDE vectors stays in the registers while all weights pass by. LLVM does
not find that by itself, so the tiles are written in its language.
"""

import numpy as np

from bncourse.kernels.jit import jit, numba
from bncourse.kernels.prefetch import prefetch

BYTES, ROWS = 32, 4  # the tile leaves some registers free, where there are 16 of 32 bytes
if numba is not None:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.core.registry import cpu_target
    from numba.extending import intrinsic

    # What Numba compiles for, not what is there: NUMBA_CPU_NAME may say otherwise, and files
    # with compiled loops, in which the tile has its size, are found again by it.
    if "+avx512f" in cpu_target.target_context.codegen().magic_tuple()[2]:  # 32 of 64 bytes
        BYTES, ROWS = 64, 8
else:

    def intrinsic(function):
        return function


WIDE = 3
CHAIN = 32  # numbers to add up in the registers before they are added to others
LINE = 16  # numbers of float32 in a line of the cache
ALONG = 1024  # outputs whose gradients stay in the first-level cache, times ROWS


@intrinsic
def multiply(typingctx, x, start, w, row, offsets, first, last, y, at, step):
    """Adds ``sum(w[row + k, o] * x[start + offsets[k] + i])``, over ``k`` from ``first`` to
    ``last``, to ``y[at + o * step + i]``, for all ``o`` and ``i`` in the tile."""
    tile = _Tile(x.dtype)

    def generate(context, builder, signature, given):
        x, w, offsets, y = tile.data(context, builder, signature, given, (0, 2, 4, 7))
        start, row, first, last, at, step = (given[i] for i in (1, 3, 5, 6, 8, 9))
        sums = tile.zeros(builder)
        with cgutils.for_range_slice(builder, first, last, tile.integer(1)) as (k, _):
            here = builder.add(start, builder.load(builder.gep(offsets, [k])))
            inputs = [tile.load(builder, x, here, i * tile.lanes) for i in range(WIDE)]
            weights = builder.mul(builder.add(row, k), tile.integer(ROWS))
            for o in range(ROWS):
                tile.add_products(builder, sums[o], tile.same(builder, w, weights, o), inputs)
        for o in range(ROWS):
            for i in range(WIDE):
                place = tile.place(builder, y, at, i * tile.lanes)
                total = builder.fadd(
                    builder.load(place, align=tile.align), builder.load(sums[o][i])
                )
                builder.store(total, place, align=tile.align)
            at = builder.add(at, step)
        return context.get_dummy_value()

    return types.void(x, start, w, row, offsets, first, last, y, at, step), generate


@intrinsic
def gather(typingctx, x, offsets, k, dy, step, first, last, dw, at, row):
    """Adds ``sum(dy[o * step + i] * x[offsets[k + j] + i])``, over ``i`` from ``first`` to
    ``last`` in whole vectors, to ``dw[at + o * row + j]``, for all ``o`` and ``j`` in the tile."""
    tile = _Tile(x.dtype)

    def generate(context, builder, signature, given):
        x, offsets, dy, dw = tile.data(context, builder, signature, given, (0, 1, 3, 7))
        k, step, first, last, at, row = (given[i] for i in (2, 4, 5, 6, 8, 9))
        sums = tile.zeros(builder)
        shifts = [
            builder.load(builder.gep(offsets, [builder.add(k, tile.integer(j))]))
            for j in range(WIDE)
        ]
        with cgutils.for_range_slice(builder, first, last, tile.integer(tile.lanes)) as (i, _):
            inputs = [tile.load(builder, x, builder.add(i, shift), 0) for shift in shifts]
            here = i
            for o in range(ROWS):
                tile.add_products(builder, sums[o], tile.load(builder, dy, here, 0), inputs)
                here = builder.add(here, step)
        for o in range(ROWS):
            for j in range(WIDE):
                place = builder.gep(dw, [builder.add(at, tile.integer(j))])
                total = tile.total(builder, builder.load(sums[o][j]))
                builder.store(builder.fadd(builder.load(place), total), place)
            at = builder.add(at, row)
        return context.get_dummy_value()

    return types.void(x, offsets, k, dy, step, first, last, dw, at, row), generate


class _Tile:
    """What both tiles are written with: vectors of BYTES bytes, ROWS by WIDE of them for sums."""

    def __init__(self, dtype):
        self.number = ir.DoubleType() if dtype.bitwidth == 64 else ir.FloatType()
        self.align = dtype.bitwidth // 8
        self.lanes = BYTES // self.align
        self.vector = ir.VectorType(self.number, self.lanes)

    def data(self, context, builder, signature, given, which):
        """Where the numbers of some of the given arrays begin."""
        arrays = (context.make_array(signature.args[i]) for i in which)
        return [a(context, builder, given[i]).data for a, i in zip(arrays, which, strict=True)]

    def integer(self, i):
        return ir.Constant(ir.IntType(64), i)

    def zeros(self, builder):
        """LLVM makes registers of what is allocated here."""
        sums = [
            [cgutils.alloca_once(builder, self.vector) for _ in range(WIDE)] for _ in range(ROWS)
        ]
        for row in sums:
            for place in row:
                builder.store(ir.Constant(self.vector, [0.0] * self.lanes), place)
        return sums

    def place(self, builder, data, index, more):
        pointer = builder.gep(data, [builder.add(index, self.integer(more))])
        return builder.bitcast(pointer, self.vector.as_pointer())

    def load(self, builder, data, index, more):
        return builder.load(self.place(builder, data, index, more), align=self.align)

    def same(self, builder, data, index, more):
        """A vector of one number."""
        number = builder.load(builder.gep(data, [builder.add(index, self.integer(more))]))
        none = ir.Constant(self.vector, ir.Undefined)
        one = builder.insert_element(none, number, ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return builder.shuffle_vector(one, none, lanes)

    def add_products(self, builder, sums, factor, inputs):
        for place, value in zip(sums, inputs, strict=True):
            product = builder.fmul(factor, value, flags=("contract",))
            builder.store(builder.fadd(builder.load(place), product, flags=("contract",)), place)

    def total(self, builder, vector):
        """Sum over the lanes, as float64."""
        kind = ir.FunctionType(self.number, [self.number, self.vector])
        name = f"llvm.vector.reduce.fadd.v{self.lanes}f{8 * self.align}"
        add = cgutils.get_or_insert_function(builder.module, kind, name)
        zero = ir.Constant(self.number, 0.0)
        total = builder.call(add, [zero, vector], fastmath=("reassoc",))
        return total if self.align == 8 else builder.fpext(total, ir.DoubleType())


@jit()
def correlate(x, w, offsets, images, frame, y, first, last):
    """Convolution of the examples ``first`` to ``last``, ``images`` of them at a time.

    ``x`` is (N, C, D, H, W); ``frame[0]`` of zeros lie in front of it, and planes and lines are
    repeated every ``frame[1]``. ``w`` is (groups, tiles, weights, ROWS), ``offsets`` holds that
    of each weight, where a channel is ``images`` planes, and ``y`` is (N, O, ...).
    """
    groups, tiles, weights, _ = w.shape
    channels, out = x.shape[1] // groups, y.shape[1] // groups
    step = images * frame[1][0] * frame[1][1] * frame[1][2]
    wide = WIDE * (BYTES // x.itemsize)
    count = _reach(y, images, frame, wide)
    room = _zeros(offsets[-1] + count, x)  # the frame stays 0
    sums = _zeros(ROWS * count, x)
    calls = groups * tiles * (count // wide) * -(-weights // CHAIN)
    flat_x, flat_y = x.reshape(-1), y.reshape(-1)
    x_share, y_share = -(-images * _size(x) // calls), -(-images * _size(y) // calls)
    for start in range(first, last, images):
        stop = min(start + images, last)
        x_next, y_next = stop * _size(x), start * _size(y)
        for g in range(groups):
            _put(x, start, stop, g * channels, channels, frame, room, step)
            for t in range(tiles):
                for i in range(ROWS * count):
                    sums[i] = 0
                for k in range(0, weights, CHAIN):
                    end, row = min(k + CHAIN, weights), (g * tiles + t) * weights
                    for i in range(0, count, wide):
                        multiply(room, i, w, row, offsets, k, end, sums, i, count)
                        x_next = _ask(flat_x, x_next, x_share)
                        y_next = _ask(flat_y, y_next, y_share)
                for o in range(min(ROWS, out - t * ROWS)):
                    line = sums[o * count : (o + 1) * count]
                    _take(line, start, stop, g * out + t * ROWS + o, frame, y)


@jit()
def weigh(x, dy, offsets, images, frame, dw, first, last):
    """Gradient of the weights of the tiles ``first`` to ``last``, counted through all groups.

    ``dw`` is (groups, tiles, ROWS, weights), float64 and 0 before; ``weights`` is a multiple of
    WIDE, and so there may be more ``offsets`` than are needed. The rest is as in
    :func:`correlate`. It multiplies what is in ``x`` at the ends of lines by 0.
    """
    groups, tiles, _, weights = dw.shape
    channels, out = x.shape[1] // groups, dy.shape[1] // groups
    step = images * frame[1][0] * frame[1][1] * frame[1][2]
    count = _reach(dy, images, frame, BYTES // x.itemsize)
    room, gradients = _zeros(offsets[-1] + count, x), _zeros(ROWS * count, x)
    calls = (last - first) * -(-count // ALONG) * (weights // WIDE)
    flat_x, flat_dy = x.reshape(-1), dy.reshape(-1)
    part = images * _size(dy) // (groups * tiles)
    x_share, dy_share = -(-images * _size(x) // calls), -(-part * (last - first) // calls)
    for start in range(0, x.shape[0], images):
        stop, shown = min(start + images, x.shape[0]), -1
        x_next, dy_next = stop * _size(x), stop * _size(dy) + first * part
        if stop - start < images:
            for i in range(ROWS * count):
                gradients[i] = 0
        for place in range(first, last):
            g, t = place // tiles, place % tiles
            if g != shown:
                _put(x, start, stop, g * channels, channels, frame, room, step)
                shown = g
            rows = min(ROWS, out - t * ROWS)
            _put(dy, start, stop, g * out + t * ROWS, rows, ((0, 0, 0), frame[1]), gradients, count)
            for i in range(0, count, ALONG):
                end = min(i + ALONG, count)
                for k in range(0, weights, WIDE):
                    at = place * ROWS * weights + k
                    gather(room, offsets, k, gradients, count, i, end, dw, at, weights)
                    x_next = _ask(flat_x, x_next, x_share)
                    dy_next = _ask(flat_dy, dy_next, dy_share)


@jit()
def _size(x):
    """How many numbers an example has."""
    return x.shape[1] * x.shape[2] * x.shape[3] * x.shape[4]


@jit()
def _reach(y, images, frame, unit):
    """From the first to the last window of ``images`` images, as a multiple of ``unit``."""
    depth, height, width = frame[1]
    last = ((y.shape[2] - 1) * height + y.shape[3] - 1) * width + y.shape[4]
    return -(-((images - 1) * depth * height * width + last) // unit) * unit


@jit()
def _zeros(size, x):
    """In the dtype of ``x``, from an address on at which vectors are read in one piece."""
    room = np.zeros(size + BYTES // x.itemsize, x.dtype)
    start = -room.ctypes.data % BYTES // x.itemsize
    return room[start : start + size]


@jit()
def _ask(numbers, at, share):
    """Has what is needed next brought to the cache while there is enough to do; where that ends."""
    for i in range(at, at + share, LINE):
        prefetch(numbers, i)
    return at + share


@jit()
def _put(x, start, stop, channel, channels, frame, room, step):
    """Copies some channels of some examples to where they belong in their frame."""
    (front, top, left), (depth, height, width) = frame
    for c in range(channels):
        for n in range(start, stop):
            for d in range(x.shape[2]):
                for h in range(x.shape[3]):
                    at = (((n - start) * depth + front + d) * height + top + h) * width + left
                    line = room[c * step + at : c * step + at + x.shape[4]]
                    for i in range(x.shape[4]):
                        line[i] = x[n, channel + c, d, h, i]


@jit()
def _take(sums, start, stop, channel, frame, y):
    """Copies what belongs to a window to one channel of some examples."""
    depth, height, width = frame[1]
    for n in range(start, stop):
        for d in range(y.shape[2]):
            for h in range(y.shape[3]):
                at = (((n - start) * depth + d) * height + h) * width
                line = sums[at : at + y.shape[4]]
                for i in range(y.shape[4]):
                    y[n, channel, d, h, i] = line[i]

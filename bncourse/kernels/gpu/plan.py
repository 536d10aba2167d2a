"""How the values of a batch are divided among the blocks and the threads of a GPU.

Only numbers, no device: all of it can be computed, and tested, where there is no GPU.
"""

from functools import lru_cache
from math import prod
from typing import NamedTuple

THREADS = 256  # a block; as in tile.cu
_WARP = 32
_BLOCKS = 1024  # enough for the largest GPUs; the same on all of them, so that sums are the same
_LINE = 128  # bytes of a cache line, which neighboring threads read together
_VECTOR = 16  # bytes that a thread reads at once
_ALONE = 32  # vectors a thread, up to which one block has all values of its channels


class Layout(NamedTuple):
    """A tensor as it lies in memory: ``n`` rows of ``c`` channels of ``s`` neighboring values."""

    n: int
    c: int
    s: int


class Plan(NamedTuple):
    """What is launched.

    Attributes
    ----------
    vector : int
        Values that a thread reads at once.
    across : bool
        Whether these belong to neighboring channels.
    layout : Layout
        In vectors.
    block : tuple of int
        Threads along the channels, and threads for the values of each.
    tiles : int
        Blocks along the channels.
    rows : int
        Blocks that share the values of a channel when nothing is summed over them, and when they
        leave partial sums behind.
    alone : bool
        Whether one block for each tile does it all, statistics and output, in one launch.
    """

    vector: int
    across: bool
    layout: Layout
    block: tuple
    tiles: int
    rows: int
    alone: bool

    def shared(self, quantities, itemsize):
        """Bytes of shared memory to merge so many ``quantities`` over the warps of a block."""
        channels = self.vector if self.across else 1
        return THREADS // _WARP * self.block[0] * channels * quantities * itemsize


@lru_cache(1024)
def layout(shape, strides, itemsize, view):
    """:class:`Layout` of an array that looks like ``view``; ``None`` if it has gaps.

    ``view`` is (N, C, L) or (R, C), as in :mod:`bncourse.kernels.layout`. The channels must be
    neighbors in memory, in the order of their axes: NCHW, NHWC and (N, D) are, and so is NHWC
    that was transposed to look like NCHW.
    """
    first = next(a for a in range(len(shape)) if prod(shape[:a]) == view[0])
    last = next(a for a in range(len(shape) + 1) if prod(shape[:a]) == view[0] * view[1])
    long = [a for a in range(len(shape)) if shape[a] != 1]  # strides of others mean nothing
    order = sorted(long, key=lambda a: strides[a], reverse=True)
    expected = itemsize
    for a in reversed(order):
        if strides[a] != expected:
            return None
        expected *= shape[a]
    channels = [a for a in order if first <= a < last]
    if not channels:
        return Layout(1, 1, prod(shape))
    begin, end = order.index(channels[0]), order.index(channels[-1]) + 1
    if channels != sorted(channels) or end - begin != len(channels):
        return None
    before, behind = (prod(shape[a] for a in part) for part in (order[:begin], order[end:]))
    return Layout(before, view[1], behind)


def vectors(itemsize):
    """Values that a thread reads at once: of one channel, and of neighboring channels.

    Of these it keeps the statistics of each, for which it has room for four at most.
    """
    return _VECTOR // itemsize, min(_VECTOR // itemsize, 4)


@lru_cache(1024)
def plan(layout, itemsize, aligned):
    """:class:`Plan` for values of ``itemsize`` bytes; ``aligned`` if they begin at 16 bytes."""
    n, c, s = layout
    across = s == 1
    vector = vectors(itemsize)[across]
    if not aligned or (c if across else s) % vector:
        vector, across = 1, False
    if across:
        c //= vector
    else:
        s //= vector
    width = 1
    if s == 1:
        most = min(_WARP, _LINE // (vector * itemsize))
        while width < min(c, most):
            width *= 2
    height = THREADS // width
    tiles, values = -(-c // width), n * s
    group = {1: 8, 8: 2}.get(vector, 4)  # as in tile.cu
    rows = max(1, min(-(-values // (height * group)), _BLOCKS // tiles))
    alone = values <= _ALONE * height
    return Plan(vector, across, Layout(n, c, s), (width, height), tiles, rows, alone)

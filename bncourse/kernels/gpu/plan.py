"""How the values of a batch are divided among the blocks and the threads of a GPU.

Only numbers, no device: all of it can be computed, and tested, where there is no GPU.
"""

from functools import cache
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


def layout(shape, strides, itemsize, axes):
    """:class:`Layout` of an array that is reduced over ``axes``; ``None`` if it has gaps.

    The channels must be neighbors in memory, in the order of their axes. So NCHW, NHWC and
    (N, D) have one, and so has NHWC that was transposed to look like NCHW.
    """
    order = sorted(
        (a for a, n in enumerate(shape) if n != 1), key=lambda a: strides[a], reverse=True
    )
    expected = itemsize
    for a in reversed(order):
        if strides[a] != expected:
            return None
        expected *= shape[a]
    sizes = [1, 1, 1]  # before the channels, the channels, behind them
    part, channels = 0, []
    for a in order:
        if a not in axes:
            part = max(part, 1)
            channels.append(a)
        elif part == 1:
            part = 2
        if part == 2 and a not in axes:
            return None  # channels on both sides of other axes
        sizes[part] *= shape[a]
    if channels != sorted(channels):
        return None
    n, c, s = sizes
    return Layout(1, 1, n * s) if c == 1 else Layout(n, c, s)


def vectors(itemsize):
    """Values that a thread reads at once: of one channel, and of neighboring channels.

    Of these it keeps the statistics of each, for which it has room for four at most.
    """
    return _VECTOR // itemsize, min(_VECTOR // itemsize, 4)


@cache
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

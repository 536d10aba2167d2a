"""Kernels for one batch: in which blocks, and compiled for which types."""

from contextlib import contextmanager
from contextvars import ContextVar

from bncourse.kernels.gpu.module import KINDS, NAMES, kernel
from bncourse.kernels.gpu.plan import THREADS, layout, plan

_CHANNELS = 8  # that a block merges, a warp each


_statistics = ContextVar("statistics", default="float32")


@contextmanager
def carried_in(statistics):
    """Carry sums in ``"float32"`` (the default) or ``"float64"`` for what is called inside.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if statistics not in ("float32", "float64"):
        raise ValueError(f"statistics must be 'float32' or 'float64', not {statistics!r}")
    before = _statistics.set(statistics)
    try:
        yield
    finally:
        _statistics.reset(before)


class Launch:
    """How kernels are launched for the batch ``x`` that looks like ``shape`` to them.

    Attributes
    ----------
    plan : plan.Plan
    size : plan.Layout
        What the kernels are told of the shape of ``x``.
    channels, count : int
        How many, and how many values each.
    """

    def __init__(self, x, shape):
        found = layout(x.shape, x.strides, x.itemsize, shape)
        dtype = NAMES[x.dtype.char]
        statistics = "float64" if dtype == "float64" else _statistics.get()
        self.x = x
        self.plan = plan(found, x.itemsize, _aligned(x))
        self.size = self.plan.layout
        self.channels = found.c
        self.count = found.n * found.s
        self._types = (dtype, statistics, self.plan.vector, self.plan.across)
        self._itemsize = 8 if statistics == "float64" else 4

    def alike(self, a):
        """``a`` in dtype and layout of ``x``: itself if it is so already."""
        import cupy

        x = self.x
        if a.dtype == x.dtype and a.strides == x.strides and (_aligned(a) or not _aligned(x)):
            return a
        other = cupy.empty_like(x)
        cupy.copyto(other, a, casting="unsafe")
        return other

    def together(self, name, quantities, *arguments):
        """One block has all values of its channels, and sums so many ``quantities`` of each."""
        self._run(name, (self.plan.tiles, 1), self.plan.block, quantities, arguments)

    def spread(self, name, quantities, *arguments):
        """Several blocks share the values of a channel."""
        self._run(name, (self.plan.tiles, self.plan.rows), self.plan.block, quantities, arguments)

    def merge(self, name, partial, *arguments):
        """One warp a channel, over the rows of ``partial``."""
        grid = (-(-self.channels // _CHANNELS),)
        arguments = partial, self.plan.rows, self.channels, *arguments
        self._run(name, grid, (32, _CHANNELS), 0, arguments)

    def channelwise(self, name, *arguments):
        """One thread a channel."""
        self._run(name, (-(-self.channels // THREADS),), (THREADS,), 0, arguments)

    def _run(self, name, grid, block, quantities, arguments):
        shared = self.plan.shared(quantities, self._itemsize)
        function = kernel(name, self.x.data.device_id, *self._types)
        function(grid, block, arguments, shared_mem=shared)


def parameter(value):
    """Address and kind of a parameter: a null pointer and 0 where there is none."""
    if value is None:
        return 0, 0
    return _gapless(value), KINDS[value.dtype.char]


def pointer(a, launch):
    """``a`` in the layout of the batch, or a null pointer."""
    return 0 if a is None else launch.alike(a)


def _gapless(a):
    import cupy

    return a if a.flags.c_contiguous else cupy.ascontiguousarray(a)


def _aligned(a):
    return a.data.ptr % 16 == 0

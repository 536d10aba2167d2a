"""How a batch is divided: nothing twice, nothing left out, also beyond 2^31 values."""

import ctypes
import mmap

import emulated
import host_memory
import numpy as np
import pytest

from bncourse.kernels import gpu
from bncourse.kernels.gpu import module
from bncourse.kernels.gpu.plan import Layout, layout, plan

SHAPES = {
    (60, 100): Layout(60, 100, 1),
    (32, 64, 56, 56): Layout(32, 64, 3136),
    (128, 512, 7, 7): Layout(128, 512, 49),
    (5, 1, 7): Layout(1, 1, 35),
    (1, 6, 1, 1): Layout(1, 6, 1),
}


def strides(shape, order, itemsize=4):
    """Of a gapless array whose axes lie in memory in this ``order``."""
    found, step = [0] * len(shape), itemsize
    for a in reversed(order):
        found[a], step = step, step * shape[a]
    return tuple(found)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_channels_in_the_middle(shape):
    view = (shape[0], shape[1], int(np.prod(shape[2:])))
    view = view[:2] if view[2] == 1 else view
    assert layout(shape, strides(shape, range(len(shape))), 4, view) == SHAPES[shape]


def test_channels_last_in_memory():
    shape = (2, 8, 5, 6)
    assert layout(shape, strides(shape, (0, 2, 3, 1)), 4, (2, 8, 30)) == Layout(60, 8, 1)
    assert layout(shape, strides(shape, (1, 0, 3, 2)), 4, (2, 8, 30)) == Layout(1, 8, 60)


@pytest.mark.parametrize(
    "shape, order, view",
    [((2, 3, 4, 5), (0, 2, 1, 3), (2, 12, 5)), ((2, 3, 4, 5), (1, 0, 2, 3), (2, 12, 5))],
    ids=["channels in another order", "channels apart"],
)
def test_layouts_without_a_plan(shape, order, view):
    assert layout(shape, strides(shape, order), 4, view) is None


def test_gaps_and_broadcasting_have_no_plan():
    assert layout((4, 3), (24, 8), 4, (4, 3)) is None
    assert layout((4, 3), (0, 4), 4, (4, 3)) is None
    assert layout((4, 3), (-12, 4), 4, (4, 3)) is None
    assert layout((1, 3), (999, 4), 4, (1, 3)) == Layout(1, 3, 1)  # a stride without meaning


@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize(
    "n, c, s",
    [
        (60, 100, 1),
        (256, 1024, 1),
        (8192, 1024, 1),
        (32, 64, 3136),
        (128, 512, 49),
        (8, 32, 50176),
        (256, 64, 12544),
        (64, 2048, 49),
        (2**31, 3, 1),
        (3, 2**22, 256),
        (1, 1, 2**33),
    ],
)
def test_plans_are_within_what_a_gpu_takes(n, c, s, itemsize):
    p = plan(Layout(n, c, s), itemsize, True)
    assert p.block[0] * p.block[1] == 256 and p.block[0] in (1, 2, 4, 8, 16, 32)
    assert p.tiles * p.block[0] >= p.layout.c > (p.tiles - 1) * p.block[0]
    assert 1 <= p.rows <= 1024 and p.tiles < 2**31
    assert p.rows * p.tiles <= 1024 or p.rows == 1
    assert p.vector * itemsize <= 16
    whole = p.layout.n * p.layout.c * p.layout.s * p.vector
    assert whole == n * c * s
    assert p.shared(3, 8) <= 48 << 10
    if p.alone:
        assert p.layout.n * p.layout.s <= 32 * p.block[1]


def test_large_batches_are_read_16_bytes_at_a_time():
    for shape in ((32, 64, 3136), (8192, 1024, 1), (256, 256, 3136)):
        assert plan(Layout(*shape), 4, True).vector == 4
        assert plan(Layout(*shape), 4, False).vector == 1
        assert plan(Layout(*shape), 4, True).rows * plan(Layout(*shape), 4, True).tiles >= 800


WALK = """
extern "C" void walk(Index n, Index c, Index s, Index channel, Index first, Index step, Index skip,
                     long long* offsets, int count) {
  Walk at(n, c, s, channel, first, step);
  for (Index i = 0; i < skip; ++i) at.advance();
  for (int k = 0; k < count; ++k) {
    offsets[k] = at.inside() ? (long long)at.offset : -1;
    at.advance();
  }
}
"""


def walked(folder, edit, *numbers):
    """The first offsets of a walk, by the C++ of the kernels."""
    library = emulated.Module(emulated.Device(folder), edit(module.source()) + WALK, []).library
    offsets = (ctypes.c_longlong * 40)()
    library.walk(*map(ctypes.c_longlong, numbers), offsets, 40)
    return list(offsets)


@pytest.mark.parametrize(
    "n, c, s, channel, first, step",
    [
        (7, 5, 9, 3, 2, 4),
        (7, 5, 9, 3, 0, 25),
        (200, 3, 1, 2, 7, 8),
        (70_000, 64, 1000, 63, 50_000_000, 262_144),
        (3, 2**22, 256, 2**22 - 1, 0, 64),
        (2**31, 3, 1, 2, 2**31 - 50, 2),
        (1, 1, 2**33, 0, 2**32 + 5, 2**27),
    ],
)
def test_walks_visit_what_they_should(emulate, builds, n, c, s, channel, first, step):
    emulate()
    values = [first + k * step for k in range(40)]
    want = [(i // s * c + channel) * s + i % s if i < n * s else -1 for i in values]
    assert walked(builds, str, n, c, s, channel, first, step, 0) == want


def test_32_bits_would_not_do(emulate, builds):
    emulate()
    numbers = 70_000, 64, 1000, 63, 50_000_000, 262_144, 0

    def narrow(text):
        return text.replace("typedef long long Index", "typedef int Index")

    assert min(walked(builds, str, *numbers)) > 0 > min(walked(builds, narrow, *numbers))


@pytest.mark.parametrize("itemsize", [2, 4])
def test_the_last_channel_of_more_than_2_to_the_31_values(emulate, rng, itemsize):
    # 3 * 2^22 * 256 values, 6 or 12 GiB of addresses, of which only what is read gets memory.
    cupy = host_memory.cupy_or_skip()
    n, c, s = 3, 2**22, 256
    place, dtype = emulate(), {2: "float16", 4: "float32"}[itemsize]
    views, arrays = zip(*(_sparse((n, c, s), dtype) for _ in range(2)), strict=True)
    values = rng.normal(5, 2, (n, s)).astype(dtype)
    views[0][:, -1] = values
    assert views[0].size > 2**31
    place.device.columns = c - 1, 1
    launch = gpu.Launch(arrays[0], (n, c, s))
    statistics = _sparse((4, c), "float64")
    given = *launch.size, 1e-5, 0, 0, 0, 0, 0, *statistics[1]
    launch.together("forward", 3, arrays[0], 0, arrays[1], *given)
    wide = values.astype("float64")
    want = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-5)
    np.testing.assert_allclose(views[1][:, -1], want, atol=2e-3 if itemsize == 2 else 1e-6)
    assert not views[1][:, -2].any() and not views[1][-1, 0].any()
    assert cupy.ndarray is type(arrays[0])


def _sparse(shape, dtype):
    """An array of zeros that takes no memory until it is written, for NumPy and for CuPy."""
    import cupy

    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    unreserved = 0x4000  # MAP_NORESERVE, which Python has no name for
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | unreserved)
    view = np.frombuffer(memory, dtype).reshape(shape)
    owner = cupy.cuda.UnownedMemory(view.ctypes.data, size, view, 0)
    return view, cupy.ndarray(shape, dtype, memptr=cupy.cuda.MemoryPointer(owner, 0))

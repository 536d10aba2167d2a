"""CuPy arrays in the memory of the CPU, with a guard on both sides of each.

An array that was not written holds NaN, and so do the guards: what a kernel reads there spoils
its result. What it writes there is found by :func:`check_guards`.
"""

import contextlib
import ctypes
import warnings
import weakref

import numpy as np
import pytest

GUARD = 4096  # bytes
_FILL = 0xFF  # NaN in each floating dtype
_alive = []


def cupy_or_skip():
    """CuPy, which need not have a GPU; skips where it is not installed, and says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no CUDA is found, which is as it should be
        return pytest.importorskip("cupy", reason="CuPy is not installed: see `make cuda`")


class _Block:
    """Some memory, as an owner that CuPy can hold and that can be referred to weakly."""

    def __init__(self, size):
        self.bytes = np.full(size + 2 * GUARD + 64, _FILL, np.uint8)
        start = GUARD + -(self.bytes.ctypes.data + GUARD) % 64
        self.address = self.bytes.ctypes.data + start
        self.guards = self.bytes[:start], self.bytes[start + size :]


def allocate(size, device=0):
    """An allocator for CuPy."""
    import cupy

    block = _Block(size)
    _alive.append(weakref.ref(block))
    memory = cupy.cuda.UnownedMemory(block.address, max(size, 1), block, device)
    return cupy.cuda.MemoryPointer(memory, 0)


def check_guards(who):
    """Raise ``AssertionError`` if anything was written beside an array; names ``who`` did it."""
    blocks = [block for block in (r() for r in _alive) if block is not None]
    _alive[:] = [weakref.ref(block) for block in blocks]
    for block in blocks:
        for side, guard in zip(("before", "behind"), block.guards, strict=True):
            assert (guard == _FILL).all(), f"{who} wrote {side} an array"


@contextlib.contextmanager
def used():
    """What CuPy allocates meanwhile is memory of the CPU."""
    import cupy

    with cupy.cuda.using_allocator(allocate):
        yield


def put(a, offset=0, device=0):
    """A NumPy array as an array of CuPy, in the same layout; ``offset`` values into its memory."""
    import cupy

    a = np.asarray(a)
    order = sorted(range(a.ndim), key=lambda k: a.strides[k], reverse=True)
    packed = np.ascontiguousarray(a.transpose(order))
    memory = allocate(packed.nbytes + offset * packed.itemsize, device)
    flat = cupy.ndarray(packed.shape, packed.dtype, memptr=memory + offset * packed.itemsize)
    if a.size:
        _view(flat)[...] = packed
    return flat.transpose(np.argsort(order).tolist())


def get(a):
    """A copy in NumPy."""
    return _view(a).copy()


def copyto(target, source, casting="same_kind"):
    """In place of ``cupy.copyto``, which would need a device."""
    np.copyto(_view(target), _view(source), casting=casting)


def gapless(a):
    """In place of ``cupy.ascontiguousarray``."""
    return put(np.ascontiguousarray(_view(a)))


def _view(a):

    size = sum((n - 1) * s for n, s in zip(a.shape, a.strides, strict=True)) + a.itemsize
    memory = (ctypes.c_ubyte * (size if a.size else 1)).from_address(a.data.ptr)
    return np.ndarray(a.shape, a.dtype, memory, strides=a.strides)

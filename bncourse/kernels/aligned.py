"""Arrays that begin where a line of the cache begins."""

from math import prod

import numpy as np

_LINE = 64  # bytes; also the width of a register of AVX-512


def empty(shape, dtype):
    """As :func:`numpy.empty`, but at an address that 64 divides.

    NumPy's large arrays begin 16 bytes behind one, so that each vector that is stored lies across
    two lines; NumPy's loops over two inputs then take three times as long.
    """
    dtype = np.dtype(dtype)
    size = prod(shape)
    room = np.empty(size + _LINE // dtype.itemsize, dtype)
    start = -room.ctypes.data % _LINE // dtype.itemsize
    return room[start : start + size].reshape(shape)

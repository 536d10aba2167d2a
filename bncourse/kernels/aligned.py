"""Arrays that begin where a line of the cache begins."""

from math import prod

import numpy as np

_LINE = 64  # bytes; also the width of a register of AVX-512
_WORTH_IT = 2**15  # values, which are written in some microseconds


def empty(shape, dtype):
    """As :func:`numpy.empty`, but at an address that 64 divides, if it is not small.

    NumPy's large arrays begin 16 bytes behind one, so that each vector that is stored lies across
    two lines; NumPy's loops over two inputs then take three times as long.
    """
    size = prod(shape)
    if size < _WORTH_IT:
        return np.empty(shape, dtype)
    spare = _LINE // np.dtype(dtype).itemsize
    room = np.empty(size + spare, dtype)
    start = -room.ctypes.data % _LINE * spare // _LINE
    return room[start : start + size].reshape(shape)

"""Zeros where a mask says so, whatever was there before."""

import numpy as np

from bncourse import arrays


def keep(x, mask, out=None):
    """``x`` where ``mask`` is true, 0 elsewhere: also where ``x`` is NaN or infinite.

    A product would let NaN through, and ``where`` is slow on a CPU if the mask is irregular. So
    NumPy's floats are masked as integers: all bits of a number, or none. With ``out``, of the
    shape and dtype of ``x``, the result is written there.
    """
    xp = arrays.namespace(x=x, mask=mask, out=out)
    if type(x) is np.ndarray and x.dtype.itemsize in (2, 4, 8) and x.dtype.isnative:
        integer = f"i{x.dtype.itemsize}"
        every = -mask.view(np.int8)  # true is -1, all bits set
        if out is None:
            return (x.view(integer) & every).view(x.dtype)
        np.bitwise_and(x.view(integer), every, out=out.view(integer))
        return out
    kept = xp.where(mask, x, xp.zeros_like(x))
    if out is None:
        return kept
    out[...] = kept
    return out

"""Arrays that hold what they should, but lie in memory as few do."""

import numpy as np


def read_only(a):
    """A copy that cannot be written to."""
    a = a.copy()
    a.flags.writeable = False
    return a


def off_by_a_byte(a):
    """A copy at an address that the size of a number does not divide."""
    there = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    there[...] = a
    return there

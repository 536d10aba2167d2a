"""How small and how large numbers may be before a kernel leaves them to the general form."""

import numpy as np

TINY = 1e-30  # a smaller eps, and what is beside it in a variance, is lost in squares of float32

# An ``inv_std`` whose products with anything usual neither overflow nor underflow, by dtype.
USUAL = {"f": (1e-25, 1e8), "d": (1e-100, 1e200)}


def usual(inv_std, dtype):
    """Whether a backward pass in ``dtype`` may multiply by ``inv_std``; NaN may be among it."""
    least, most = USUAL[dtype.char]
    return not np.any((inv_std < least) | (inv_std > most))

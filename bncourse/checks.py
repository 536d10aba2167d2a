"""What a number among the arguments must be; the checks of arrays are in :mod:`bncourse.arrays`."""

from math import inf
from numbers import Integral, Real

import numpy as np


def number(name, value, low=-inf, high=inf):
    """``value`` as a Python float, which no array library mistakes for an array.

    Raises
    ------
    TypeError
        If it is not a real number; a bool is none.
    ValueError
        If it is NaN, infinite, or not in ``low`` to ``high``.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r} ({type(value).__name__})")
    if not (low <= value <= high and abs(value) < inf):
        wanted = "be finite" + (f" and at least {low}" if low > -inf else "")
        if high < inf:
            wanted = f"lie in [{low}, {high}]"
        raise ValueError(f"{name} must {wanted}, not {value}")
    return float(value)


def integer(name, value, low=0):
    """``value`` as a Python int.

    Raises
    ------
    TypeError
        If it is not a whole number; a bool is none.
    ValueError
        If it is less than ``low``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, not {value!r} ({type(value).__name__})")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, not {value}")
    return int(value)


def positive(name, value):
    """``value`` as a Python float greater than 0; raises as :func:`number`."""
    value = number(name, value)
    if value <= 0:
        raise ValueError(f"{name} must be positive, not {value}")
    return value


def floating(name, dtype):
    """``dtype`` as a NumPy dtype; ``TypeError`` unless it is real and floating."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if dtype is None or found is None or found.kind != "f":
        raise TypeError(f"{name} must be a floating dtype such as 'float32', not {dtype!r}")
    return found

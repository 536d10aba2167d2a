"""The function under check: called with copies, looked at before it is trusted."""

import array_api_compat as compat
import numpy as np

from bncourse import arrays
from bncourse.gradcheck.noise import scales
from bncourse.gradcheck.report import place


def real_array(name, a):
    """``a`` as a real NumPy array with a floating dtype; numbers, lists and integers are taken.

    Raises
    ------
    TypeError
        If it is an array of another library, or holds no real numbers.
    """
    if compat.is_array_api_obj(a) and not compat.is_numpy_array(a):
        raise TypeError(
            f"{name} is an array of {arrays.library(a)}, but gradcheck is for NumPy: move it "
            f"first, e.g. np.asarray({name})"
        )
    if isinstance(a, (tuple, dict)) or a is None:
        raise TypeError(f"{name} must be an array or a number, not {type(a).__name__}")
    a = np.asarray(a)
    if a.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, not {a.dtype}")
    return a if a.dtype.kind == "f" else a.astype(np.float64)


def finite_array(name, a):
    """As :func:`real_array`; NaN and infinity are a ``ValueError``."""
    a = real_array(name, a)
    if not np.all(np.isfinite(a)):
        bad = tuple(np.argwhere(~np.isfinite(a))[0])
        raise ValueError(f"{name} must be finite, but holds {a[bad]} at {place(bad)}")
    return a


class Function:
    """``f`` at and around ``x``.

    Attributes
    ----------
    x, y : numpy.ndarray
        Where it is looked at, and what it gives there.
    dy : numpy.ndarray
        What weighs the outputs; set once it is known.
    rude : bool
        Whether ``f`` changes its argument.
    """

    def __init__(self, f, x):
        self.f, self.x = f, x
        handed = x.copy()
        y = f(handed)
        if isinstance(y, tuple):
            raise TypeError(
                f"f returned a tuple of {len(y)}, but an array or a number is needed: if they are "
                "output and cache, take the first, e.g. lambda x: forward(x)[0]"
            )
        self.y = real_array("f(x)", y)
        self.rude = not np.array_equal(handed, x, equal_nan=True)
        self.dy = np.ones(self.y.shape)

    def __call__(self, x):
        """``f(x) - y`` in float64, or in complex128 for a complex ``x``."""
        y = np.asarray(self.f(x.copy()))
        if y.shape != self.y.shape:
            raise ValueError(f"f(x) had shape {self.y.shape}, and at a nearby x it has {y.shape}")
        with np.errstate(invalid="ignore"):
            return y.astype(np.result_type(y.dtype, np.float64)) - self.y

    def repeats(self):
        """Whether ``f`` gives the same answer again, but for the last few digits."""
        size = np.max(np.abs(self.y), initial=0.0)
        change = np.abs(self(self.x))
        return bool(
            np.all((change <= 100 * np.finfo(self.y.dtype).eps * size) | (change != change))
        )

    def loss(self):
        """Size of the loss: what its terms add up to if none cancel."""
        return float(np.sum(np.abs(self.dy * self.y.astype(np.float64))))

    def extent(self):
        """Size of the loss, here or a natural step away, whichever is larger."""
        change = np.abs(self.dy * self(self.x + scales(self.x).astype(self.x.dtype)))
        return self.loss() + float(np.sum(change, where=np.isfinite(change)))

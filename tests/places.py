"""Where the tests run the package: NumPy, and devices that stand in for a GPU library.

array-api-strict offers only what the array API standard has. Its devices refuse what a GPU would
refuse: NumPy functions, arrays of another device, a float64 that is not there.
"""

import os
from dataclasses import dataclass
from typing import Any

import array_api_strict
import numpy as np


@dataclass(frozen=True)
class Place:
    """A library and a device in it."""

    name: str
    xp: Any
    device: Any
    dtypes: tuple

    def put(self, a, dtype=None):
        """``a`` as an array here."""
        a = np.asarray(a, dtype)
        return a if self.xp is np else self.xp.asarray(a, device=self.device)

    def get(self, a):
        """``a`` as a NumPy array, after a look at whether it lives here."""
        if self.xp is np:
            assert type(a) is np.ndarray or isinstance(a, np.generic), type(a)
            return np.asarray(a)
        assert a.device == self.device
        return np.asarray(a.to_device(array_api_strict.Device("CPU_DEVICE")))

    def accurate(self, dtype):
        """Rounding to expect, relative to values of order one: statistics are carried wide."""
        if dtype == "float32" and "float64" not in self.dtypes:
            return 3e-6
        return {"float64": 1e-13, "float32": 2.5e-7, "float16": 1.5e-3}[dtype]


class _Cupy(Place):
    """A GPU; asked for by ``make gpu``, for to look for one takes a second."""

    def put(self, a, dtype=None):
        return self.xp.asarray(np.asarray(a, dtype))

    def get(self, a):
        assert isinstance(a, self.xp.ndarray), type(a)
        return a.get()


def _cupy():
    import cupy

    return _Cupy("cupy", cupy, cupy.cuda.Device(), ("float64", "float32", "float16"))


def _strict(name, dtypes=("float64", "float32")):
    return Place(name, array_api_strict, array_api_strict.Device(name), dtypes)


PLACES = {
    "numpy": Place("numpy", np, "cpu", ("float64", "float32", "float16")),
    "strict": _strict("CPU_DEVICE"),
    "device1": _strict("device1"),
    "no_float64": _strict("no_float64", ("float32",)),
}
if os.environ.get("BNCOURSE_TEST_CUPY"):
    PLACES["cupy"] = _cupy()
CASES = [(place, dtype) for place in PLACES.values() for dtype in place.dtypes]

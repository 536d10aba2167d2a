"""Complex steps for :func:`~bncourse.gradcheck.gradcheck`: exact, if the function allows them."""

import numpy as np

from bncourse.gradcheck.measured import Measured, yardstick
from bncourse.gradcheck.noise import FLOAT64, scales

STEP = 1e-30  # in natural units; nothing is subtracted, so it cannot be too small


def by_complex_step(function, entries):
    """Derivatives with respect to the ``entries``, good to rounding if the function is analytic.

    Raises
    ------
    TypeError
        If the function does not take complex numbers.
    """
    units = scales(function.x)
    value, size, step = np.empty((3, len(entries)))
    for i, j in enumerate(entries):
        direction = np.zeros(function.x.shape)
        direction[j] = step[i] = STEP * units[j]
        slopes = _imaginary(function, direction) / step[i]
        value[i], size[i] = np.sum(slopes), np.sum(np.abs(slopes))
    # What cancels inside the function, on the way to a derivative of zero, is of this size.
    inside = function.loss() / np.array([units[j] for j in entries])
    error = 100 * FLOAT64 * np.maximum(yardstick(size), inside)
    return Measured(value, error, size, step, np.zeros(len(entries), bool))


def is_analytic(function, eps, noise, rng):
    """Whether complex step and centered difference agree along a random direction.

    ``np.abs`` and ``np.var`` of complex numbers are not analytic, and give a wrong derivative
    without a complaint.
    """
    direction = scales(function.x) * rng.choice([-1.0, 1.0], function.x.shape)
    exact = float(np.sum(_imaginary(function, STEP * direction))) / STEP
    h = eps ** (1 / 3)
    slopes = []
    for step in (h, 2 * h):
        above, below = (
            function((function.x + k * step * direction).astype(function.x.dtype)) for k in (1, -1)
        )
        slopes.append(float(np.sum(function.dy * (above - below))) / (2 * step))
    near, wide = slopes
    doubt = 10 * abs(near - wide) + 10 * noise / h + 1e-3 * abs(exact)
    return bool(abs(exact - near) <= doubt)


def _imaginary(function, direction):
    """Weighed imaginary parts of the outputs after a step along i times ``direction``."""
    try:
        return function.dy * np.imag(function(function.x + 1j * direction))
    except TypeError as error:
        raise TypeError(
            f"f does not take complex numbers: use method='central' ({error})"
        ) from error

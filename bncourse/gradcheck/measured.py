"""Numerical gradients that know how good they are."""

from typing import NamedTuple

import numpy as np

from bncourse.gradcheck.noise import scales

# Powers of two by which the step is changed, in this order, where the first is not good enough:
# smaller ones for a kink nearby or a strong curvature, larger ones against rounding.
LADDER = (0, -6, 6, -12, -18, 12)
LEAST = 1e-3  # of the largest entry: what is smaller is not asked for its own relative error


class Measured(NamedTuple):
    """Derivatives of the loss with respect to some entries of ``x``, each array of shape (n,).

    Attributes
    ----------
    value : numpy.ndarray
    error : numpy.ndarray
        Estimated error of ``value``.
    size : numpy.ndarray
        What adds up to it: the sum of ``abs(dy_k * dy_k/dx_j)`` over the outputs.
    step : numpy.ndarray
    kink : numpy.ndarray of bool
        Whether the slopes to the left and to the right differ.
    """

    value: np.ndarray
    error: np.ndarray
    size: np.ndarray
    step: np.ndarray
    kink: np.ndarray


def yardstick(size):
    """What the deviation of each entry is measured against."""
    return np.maximum(size, LEAST * np.max(size, initial=0.0))


def central(function, entries, eps, noise, tol):
    r"""Centered differences, each with steps h and 2h.

    With :math:`\Delta_k = L(x + k h e_j) - L(x)`, the derivative is
    :math:`D_h = (\Delta_1 - \Delta_{-1}) / 2h`, and its error is estimated as

    .. math::

        |D_h - D_{2h}| + \frac1h \bigl|(\Delta_1 + \Delta_{-1})
        - \tfrac14 (\Delta_2 + \Delta_{-2})\bigr| + \frac{4}{h}\,\mathrm{noise} .

    The first term is three times the truncation error of a smooth function. The second is zero
    for one, and together they bound the error that one kink within h makes. Where the sum is too
    large for ``tol``, other steps are tried, and the best is taken.
    """
    x, units = function.x, scales(function.x)
    best = Measured(
        np.full(len(entries), np.nan),
        np.full(len(entries), np.inf),
        np.zeros(len(entries)),
        np.full(len(entries), np.nan),
        np.zeros(len(entries), bool),
    )
    jump = np.zeros(len(entries))
    for level in LADDER:
        enough = 0.25 * tol * yardstick(best.size)
        for i, j in enumerate(entries):
            h = 2.0 ** (np.round(np.log2(eps ** (1 / 3) * units[j])) + level)
            if best.error[i] <= enough[i] or h < 64 * eps * abs(float(x[j])):
                continue
            value, error, size, bend = _stencil(function, j, h, noise)
            if level <= 0:  # over a large step, anything may look like a kink
                jump[i] = max(jump[i], bend)
            if error < best.error[i]:
                best.value[i], best.error[i] = value, error
                best.size[i], best.step[i] = size, h
    limit = tol * yardstick(best.size)
    best.kink[:] = (best.error > limit) & (jump > limit) & np.isfinite(best.value)
    return best


def _stencil(function, j, h, noise):
    change, at = {}, {}
    for k in (-2, -1, 1, 2):
        moved = function.x.copy()
        moved[j] += k * h
        at[k] = float(moved[j]) - float(function.x[j])  # not quite k h, if it was rounded
        change[k] = function.dy * function(moved)
    with np.errstate(invalid="ignore"):
        slopes = (change[1] - change[-1]) / (at[1] - at[-1])
        wide = np.sum(change[2] - change[-2]) / (at[2] - at[-2])
        near, far = (float(np.sum(change[k] + change[-k])) for k in (1, 2))
        bend = abs(near - far / 4) / h
        value = float(np.sum(slopes))
        error = float(abs(value - wide) + bend + 4 * noise / h)
    if not np.isfinite(error):
        return np.nan, np.inf, 0.0, 0.0
    # Where f is smooth, twice the step makes near four times as large; at a kink, twice.
    kinked = abs(near) > 0.4 * abs(far) and bend > 10 * noise / h
    return value, error, float(np.sum(np.abs(slopes))), bend if kinked else 0.0

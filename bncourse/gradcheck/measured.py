"""Numerical gradients that know how good they are."""

from typing import NamedTuple

import numpy as np

from bncourse.gradcheck.noise import scales

# Powers of two by which the first step is changed where it is not good enough: smaller ones for a
# kink nearby or a strong curvature, larger ones against rounding.
LADDER = (-4, 4, -8, 8, -12, 12, -16, -20)
FARTHEST = 1 / 16  # no step is more than this, in units of the entry
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


class Point(NamedTuple):
    """One entry, measured with one step; ``jump`` is its bend if that looks like a kink's."""

    value: float
    error: float
    size: float
    step: float
    jump: float


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
    for one, and together they bound the error that one kink within h makes. The first step is
    the cube root of ``eps``, in units of the entry; where the error is too large for ``tol``,
    others are tried.
    """
    units = scales(function.x)
    start = [2.0 ** np.round(np.log2(eps ** (1 / 3) * units[j])) for j in entries]
    points = [_point(function, j, h, noise) for j, h in zip(entries, start, strict=True)]
    enough = tol / 4 * yardstick(np.array([p.size for p in points]))
    jump = np.zeros(len(entries))
    for i, j in enumerate(entries):
        tried = [points[i]]
        for level in LADDER:
            if points[i].error <= enough[i]:
                break
            h = start[i] * 2.0**level
            if 64 * eps * abs(float(function.x[j])) <= h <= FARTHEST * units[j]:
                tried.append(_point(function, j, h, noise))
                points[i] = _best(tried)
        # Over a larger step than the best, anything may look like a kink.
        jump[i] = max(p.jump for p in tried if p.step <= points[i].step)
    value, error, size, step, _ = map(np.array, zip(*points, strict=True))
    limit = tol * yardstick(size)
    return Measured(value, error, size, step, (error > limit) & (jump > limit))


def _best(points):
    """The one of least error, among those that no smaller step contradicts.

    Over a large step a function may look flat that is not, and the two differences agree.
    """
    points = sorted(points, key=lambda p: p.step)
    trusted = [
        p
        for i, p in enumerate(points)
        if all(abs(p.value - q.value) <= p.error + q.error for q in points[:i] if q.error < np.inf)
    ]
    return min(trusted, key=lambda p: p.error)


def _point(function, j, h, noise):
    change, at = {}, {}
    for k in (-2, -1, 1, 2):
        moved = function.x.copy()
        moved[j] += k * h
        at[k] = float(moved[j]) - float(function.x[j])  # not quite k h, if it was rounded
        change[k] = function.dy * function(moved)
    with np.errstate(invalid="ignore"):
        slopes = (change[1] - change[-1]) / (at[1] - at[-1])
        value = float(np.sum(slopes))
        wide = float(np.sum(change[2] - change[-2])) / (at[2] - at[-2])
        near, far = (float(np.sum(change[k] + change[-k])) for k in (1, 2))
    bend = abs(near - far / 4) / h
    error = abs(value - wide) + bend + 4 * noise / h
    if not np.isfinite(error):
        return Point(np.nan, np.inf, 0.0, h, 0.0)
    # Where f is smooth, twice the step makes near four times as large; at a kink, twice.
    kinked = abs(near) > 0.4 * abs(far) and bend > 10 * noise / h
    return Point(value, error, float(np.sum(np.abs(slopes))), h, bend if kinked else 0.0)

"""How finely a function computes: its precision, and the scatter that rounding gives its values."""

from math import sqrt

import numpy as np

FLOAT64, FLOAT32 = float(np.finfo("float64").eps), float(np.finfo("float32").eps)


def scales(x):
    """A natural unit for the steps of each entry: its size, or that of a typical one."""
    x = np.abs(x.astype(np.float64))
    sizes = x[x > 0]
    return np.maximum(x, np.median(sizes) if sizes.size else 1.0)


def rounding(function, rng):
    """Precision of ``function``, and the standard deviation of its loss by rounding alone.

    The loss at 17 points so close together that a smooth function is a straight line over
    them: what is left in its fourth differences is rounding, see Moré and Wild (2011). If it does
    not move, it is coarser than that, and points farther apart show by how much; perhaps float32
    is at work inside.

    Parameters
    ----------
    function : Function
    rng : numpy.random.Generator
        Of the direction.

    Returns
    -------
    eps : float
        Distance from 1 to the next number that the function can tell from it.
    noise : float
        In units of the loss.
    """
    eps = max(FLOAT64, *(float(np.finfo(a.dtype).eps) for a in (function.x, function.y)))
    least = eps * float(np.linalg.norm(function.dy * function.y.astype(np.float64)))
    direction = scales(function.x) * rng.choice([-1.0, 1.0], function.x.shape)
    moved, noise = _scatter(function, 64 * eps * direction)
    if moved or eps > FLOAT64:
        return eps, max(noise, least)
    _, noise = _scatter(function, 64 * FLOAT32 * direction)
    return (FLOAT32, noise) if noise > 1e6 * least else (eps, max(noise, least))


def _scatter(function, apart):
    """Whether most steps move the loss, and how much it scatters about a smooth curve."""
    points = [(function.x + k * apart).astype(function.x.dtype) for k in range(-8, 9)]
    loss = np.array([np.sum(function.dy * function(p)) for p in points])
    if not np.all(np.isfinite(loss)):  # the edge of where f is defined: no saying
        return True, 0.0
    return bool(np.mean(np.diff(loss) != 0) > 0.5), sqrt(np.mean(np.diff(loss, 4) ** 2) / 70)


def drowned(function, eps, noise):
    """Whether the loss scatters so much from one number to the next that it has no slope."""
    x = function.x.astype(np.float64)
    coarse = 64 * eps * np.max(np.abs(x)) > 1e-2 * np.std(x)
    return bool(noise > 1e-2 * function.extent() and (coarse or eps > FLOAT64))

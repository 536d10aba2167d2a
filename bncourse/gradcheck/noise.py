"""How finely a function computes: its precision, and the scatter that rounding gives its values."""

from math import sqrt

import numpy as np

PRECISIONS = tuple(float(np.finfo(t).eps) for t in ("float64", "float32", "float16"))


def scales(x):
    """A natural unit for the steps of each entry: its size, or that of a typical one."""
    x = np.abs(x.astype(np.float64))
    sizes = x[x > 0]
    return np.maximum(x, np.median(sizes) if sizes.size else 1.0)


def rounding(function, rng):
    """Precision of ``function`` and standard deviation of its loss by rounding alone.

    Nine points, so close together that any smooth function is a straight line over them: what
    is left in their fourth differences is rounding (Hamming; Moré and Wild, 2011). If nothing
    moves at all, the function computes more coarsely inside than its numbers look.

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
    x = function.x
    shown = max(float(np.finfo(x.dtype).eps), float(np.finfo(function.y.dtype).eps))
    direction = scales(x) * rng.choice([-1.0, 1.0], x.shape)
    least = shown * float(np.linalg.norm(function.dy * function.y.astype(np.float64)))
    for eps in PRECISIONS:
        if eps < shown:
            continue
        points = [(x + k * 64 * eps * direction).astype(x.dtype) for k in range(-4, 5)]
        values = [function(p) for p in points]
        moved = max(float(np.max(np.abs(v), initial=0.0)) for v in values)
        if moved and eps > shown and moved <= 100 * shown * np.max(np.abs(function.y)):
            return shown, least  # that is rounding: f does not depend on x at all
        if moved:
            loss = np.array([np.sum(function.dy * v) for v in values])
            fourth = np.diff(loss, 4)
            return eps, max(least, sqrt(np.mean(fourth**2) / 70))
    return shown, least

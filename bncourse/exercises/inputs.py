"""Random inputs on which mistakes come apart."""

import numpy as np


def columns(rng, n, d):
    """A table of ``n`` rows whose columns have means and spreads of their own.

    The first has a variance of 0.09: below the large eps that exercises use beside the usual
    one, so that ``sqrt(max(var, eps))`` and ``sqrt(var + eps)`` differ wherever eps counts.
    """
    spread = rng.uniform(0.5, 3, d)
    spread[0] = 0.3
    x = rng.normal(0, 1, (n, d))
    return rng.normal(0, 2, d) + spread * (x - x.mean(axis=0)) / x.std(axis=0)


def scales(rng, d):
    """Scales of both signs, none near 0: else ``abs(gamma)`` would pass for ``gamma``."""
    return rng.uniform(0.5, 2, d) * rng.permutation(np.resize([1.0, -1.0], d))


def units(rng):
    """A unit to measure in, from a hundredth to a hundred. In it, ``eps`` has units squared."""
    return 10 ** rng.uniform(-2, 2)


def tables(rng):
    """``(x, eps)`` for two tables of random shape and unit; eps counts in the first only."""
    cases = []
    for rows, large in ((rng.integers(6, 12), 0.5), (rng.integers(12, 24), 1e-5)):
        unit = units(rng)
        cases.append((unit * columns(rng, rows, rng.integers(2, 6)), large * unit**2))
    return cases


def far_from_zero(rng, eps):
    """A table whose means are so large, beside spreads of one, that their squares hide them.

    ``eps`` is the rounding unit of the dtype that computes with it: a mean of ``1 / sqrt(eps)``
    leaves half of the digits to what differs from it, and its square leaves none.
    """
    return columns(rng, 24, 4) + 1 / eps**0.5

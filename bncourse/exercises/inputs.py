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

"""Live checks of what is said about finite precision: evidence for ``book/claims.yml``.

Each function measures, in a second, and returns whether the verdict of the chapter *How can a
variance come out negative?* holds.
"""

import numpy as np

from bncourse.data import digits
from bncourse.experiments.variance_methods import one_pass, two_pass, welford
from bncourse.functional import batch_norm_forward
from bncourse.moments import Moments, merge


def _normal(mean, dtype, columns=50, rows=4096):
    x = np.random.default_rng(0).standard_normal((rows, columns)) + mean
    return x.astype(dtype)


def _off(method, x):
    """Median over the columns of the relative error of ``method``."""
    true = x.astype(np.longdouble).var(axis=0)
    return np.median(abs(method(x) / true - 1))


def one_pass_is_right_near_zero_and_negative_far_away():
    """At a mean of 1 spread, five digits; at 10 000 spreads, negative for about every second."""
    negative = (one_pass(_normal(1e4, np.float32)) < 0).mean()
    return bool(_off(one_pass, _normal(1.0, np.float32)) < 1e-5 and 0.3 < negative < 0.7)


def welford_is_no_cure():
    """Worse than two passes in float32 at 1000 spreads, and too small in float16."""
    far, half = _normal(1e3, np.float32), _normal(10.0, np.float16)
    worse = _off(welford, far) > 3 * _off(two_pass, far)
    low = welford(half).astype(float) / half.astype(float).var(axis=0)
    return bool(worse and low.max() < 0.97)


def eps_hides_a_negative_variance_while_it_is_small():
    """Constant features of 0.3 and of 30, whose variances are negative for some either way."""
    counts = []
    for c in (0.3, 30.0):
        constants = (c * np.random.default_rng(0).uniform(1, 1.4, 400)).astype(np.float32)
        var = one_pass(np.broadcast_to(constants, (256, 400)))
        counts += [(var < 0).mean(), (var + np.float32(1e-5) < 0).mean()]
    return bool(counts[0] > 0.2 and counts[1] == 0 and counts[2] > 0.2 and counts[3] > 0.2)


def a_clipped_variance_inflates_the_output():
    """With 0 for a negative variance, a spread of 1 comes out as 1/sqrt(eps), 316."""
    x = _normal(1e4, np.float32)
    var = np.maximum(one_pass(x), 0)
    spread = x.std(axis=0, dtype=float) / np.sqrt(var + 1e-5)
    return bool(315 < spread.max() < 360)


def averaged_variances_lack_the_distance_of_the_means():
    """Ten workers with a digit each: two fifths are missing, and just those that merging adds."""
    data = digits(dtype="float64")
    x = data.x_train[:, data.x_train.std(axis=0) > 0.1]
    parts = [Moments.of(x[data.y_train == k]) for k in range(10)]
    averaged = sum(p.count * p.var for p in parts) / len(x)
    whole = parts[0]
    for part in parts[1:]:
        whole = merge(whole, part)
    missing = 1 - np.median(averaged / x.var(axis=0))
    return bool(0.35 < missing < 0.45 and np.allclose(whole.var, x.var(axis=0), rtol=1e-12))


def centering_needs_a_wide_mean():
    """At 10 000 spreads y = a x + b loses digits, centering by a float32 mean too, ours none."""
    x = _normal(1e4, np.float32, columns=20)
    mean, var = x.mean(axis=0, dtype=float), x.var(axis=0, dtype=float)
    a = 1 / np.sqrt(var + 1e-5)
    exact = (x - mean) * a
    folded = x * a.astype(np.float32) - (a * mean).astype(np.float32)
    centered = (x - mean.astype(np.float32)) * a.astype(np.float32)
    ours, _ = batch_norm_forward(x)
    off = [abs(y - exact).max() for y in (folded, centered, ours)]
    return bool(off[0] > 2e-4 and off[1] > 5e-5 and off[2] < 5e-6)

"""Live checks of what is said about batch norm in use: evidence for ``book/claims.yml``.

Each function measures, in a second or two, and returns whether the verdict of the chapter *What do
you normalize with when there is only one example?* holds.
"""

import copy
from itertools import product

import numpy as np

from bncourse import functional as F
from bncourse import nn
from bncourse.data import digits
from bncourse.optim import SGD
from bncourse.training import accuracy, fit


def _trained(batch_size=60, lr=0.3, steps=200):
    """A small net that reads digits, in training mode."""
    rng, layers = np.random.default_rng(0), []
    for n_in in (64, 32):
        dense = nn.Dense(n_in, 32, bias=False, rng=rng, dtype="float64")
        layers += [dense, nn.BatchNorm(32, dtype="float64"), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Dense(32, 10, rng=rng, dtype="float64"))
    data = digits(dtype="float64")
    fit(net, SGD(net, lr), data.x_train, data.y_train, steps, batch_size)
    return net


def _norms(net):
    return [layer for layer in net.layers if isinstance(layer, nn.BatchNorm)]


def _all_variances(m):
    """Those of all batches of ``m`` from a population of three, in units of its variance."""
    values = np.array([0.0, 1.0, 5.0])
    return np.array(list(product(values, repeat=m))).var(axis=1) / values.var()


def company_matters_in_training_mode_alone():
    """Sorted by digit, a trained net reads few in training mode; in evaluation, as ever."""
    data, net = digits(dtype="float64"), _trained()
    x, y = data.x_test, data.y_test
    sorted_by_digit = [np.flatnonzero(y == digit) for digit in range(10)]

    def right():
        return sum(accuracy(net, x[k], y[k]) * len(k) for k in sorted_by_digit) / len(y)

    by_batch, mixed = right(), accuracy(net, x, y)
    net.eval()
    return bool(by_batch < 0.2 and mixed > 0.9 and abs(right() - accuracy(net, x, y)) < 1e-6)


def one_image_is_read_as_in_company():
    """In evaluation, each of 100 images alone gives what it gives among the others."""
    data, net = digits(dtype="float64"), _trained().eval()
    x = data.x_test[:100]
    alone = np.concatenate([net.forward(row[None])[0] for row in x])
    return bool(np.allclose(alone, net.forward(x)[0], rtol=1e-9, atol=1e-9))


def the_factor_is_right_on_average():
    """Over all batches, m / (m - 1) times the mean of the biased variances is the population's."""
    return all(np.isclose(_all_variances(m).mean() * m / (m - 1), 1) for m in (2, 3, 4, 5))


def averaged_deviations_are_too_small():
    """The mean of the standard deviations, squared, falls short; at m = 2 by over 40 percent."""
    short = [m / (m - 1) * np.sqrt(_all_variances(m)).mean() ** 2 for m in (2, 3, 4, 5)]
    return bool(short[0] < 0.6 and max(short) < 1)


def noise_enters_the_variances_above():
    """Algorithm 2 at m = 4: right in the first layer, over 15 percent too large in the second."""
    x, net = digits(dtype="float64").x_train, _trained(4, 0.04, 2000)
    precise = nn.precise(copy.deepcopy(net), [x])
    for norm in _norms(net):
        norm.reset_running_stats()
        norm.momentum = None
    for k in range(len(x) // 4):
        net.forward(x[k * 4 : (k + 1) * 4])
    pairs = zip(_norms(net), _norms(precise), strict=True)
    first, second = (np.median(a.running_var / b.running_var) for a, b in pairs)
    return bool(abs(first - 1) < 0.05 and 1.15 < second < 1.45)


def folding_is_exact_but_for_rounding():
    """In float64 to 12 digits; in float32 within the bound of the chapter, far from zero too."""
    x, net = digits(dtype="float64").x_test, _trained().eval()
    if not np.allclose(nn.fold(net).forward(x)[0], net.forward(x)[0], rtol=1e-12, atol=1e-12):
        return False
    rng = np.random.default_rng(0)
    w = (rng.normal(0, 1, 64) / 8).astype("float32").astype("float64")
    for away in (1, 100, 1e4):
        u = rng.normal(0, 1, (500, 64)) + away * w / np.linalg.norm(w)
        s = u @ w
        mean, var = s.mean(), s.var()
        c = 1 / np.sqrt(var + 1e-5)
        new_w, new_b = F.fold_dense(w[:, None].astype("float32"), None, None, None, [mean], [var])
        off = np.abs(u @ new_w[:, 0].astype("float64") + float(new_b[0]) - c * (s - mean))
        bound = 2.0**-24 * (c * np.abs(u) @ np.abs(w) + abs(c * mean))
        if not (off <= bound * (1 + 1e-6)).all():
            return False
    return True

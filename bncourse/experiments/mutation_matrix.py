"""Which check notices which mistake: wrong gradients of batch norm against ways to check them.

The wrong gradients are those that the exercise ``backward`` knows. The chapter *How do you know
that your gradient is right?* tells what comes out.
"""

from dataclasses import dataclass

import numpy as np

from bncourse import nn
from bncourse.data import digits
from bncourse.exercises import backward as exercise
from bncourse.gradcheck import central_difference, complex_step, gradcheck, relative_error
from bncourse.optim import SGD
from bncourse.training import batches, train_step

EPS = 1e-5
MISTAKES = (
    "the statistics are treated as constants",
    "the path through the variance is missing",
    "the path through the mean is missing",
    "the path through the variance has the wrong sign",
    "a factor 2 is lost in the path through the variance",
    "the path through the variance is divided by m - 1",
    "1/m is missing in both paths",
    "gamma is missing in dx",
    "the means in dx run along each row",
    "eps is missing",
    "y stands for x_hat",
    "dx is zero",
    "dgamma and dbeta are swapped",
    "a mean is returned where a sum is needed",
)


@dataclass(frozen=True)
class Matrix:
    """What was noticed.

    Attributes
    ----------
    mistakes, checks : tuple of str
        Names of the rows and columns.
    noticed : numpy.ndarray of bool, shape (len(mistakes), len(checks))
        Whether the check says that the gradient is wrong.
    false_alarms : numpy.ndarray of bool, shape (len(checks),)
        Whether it says so of the right one.
    """

    mistakes: tuple
    checks: tuple
    noticed: np.ndarray
    false_alarms: np.ndarray


def matrix(seed=0, mistakes=MISTAKES, checks=None):
    """Try every check on every mistake, and on the right gradient.

    The checks, in this order, on a table of 4 examples and 5 features:

    - *falling loss*: a small network is trained five times; does its loss fall below half of its
      start? If not in most of the runs, something is wrong.
    - *sum of outputs*: centered differences of the sum, to 1e-2. Minitorch's ``grad_check`` takes
      this loss and tolerance, but at one entry only.
    - *sum of squares*: of the outputs, with gamma 1 and beta 0, to 1e-5.
    - *one random entry*: of each array, with a random upstream gradient, to 1e-2.
    - *centered difference*: with a random upstream gradient and step 1e-5, as in CS231n; relative
      error by entry below 1e-8, the upper end of what the course says to expect.
    - *in float32*: the same with step 1e-6, to 1e-2.
    - *complex step*: relative error below 1e-12.
    - *gradcheck*: :func:`bncourse.gradcheck.gradcheck` as it is.

    Parameters
    ----------
    seed : int
        Of inputs, parameters, upstream gradients and training runs.
    mistakes : iterable of str
        Names of mistakes that the exercise ``backward`` knows; by default twelve that make
        ``dx`` wrong, and two that make ``dgamma`` and ``dbeta`` wrong.
    checks : iterable of str, optional
        Which of the checks; by default, all.

    Returns
    -------
    Matrix

    Raises
    ------
    ValueError
        If there is no mistake or no check of such a name.
    """
    known = {mistake.name: mistake.wrong for mistake in exercise.mistakes}
    mistakes, checks = tuple(mistakes), tuple(CHECKS if checks is None else checks)
    _check_names("mistakes", mistakes, known)
    _check_names("checks", checks, CHECKS)
    gradients = [exercise.reference, *(known[name] for name in mistakes)]
    table = np.empty((len(gradients), len(checks)), bool)
    for k, name in enumerate(checks):
        notices = CHECKS[name](seed)
        table[:, k] = [notices(gradient) for gradient in gradients]
    return Matrix(mistakes, checks, table[1:], table[0])


def _check_names(what, names, known):
    strange = [name for name in names if name not in known]
    if strange:
        raise ValueError(f"{what} must be among {', '.join(known)}; not {', '.join(strange)}")


def _forward(x, gamma, beta):
    d = x - x.mean(axis=0)
    return gamma * d / np.sqrt((d * d).mean(axis=0) + EPS) + beta


def _case(seed):
    """A table as small as that of CS231n, with numbers of order one, and a random ``dy``."""
    rng = np.random.default_rng([seed, 231])
    x, dy = rng.normal(2, 1, (4, 5)), rng.standard_normal((4, 5))
    gamma, beta = rng.standard_normal((2, 5))
    return dy, x, gamma, beta


def _numerical(dy, x, gamma, beta, tool=central_difference, **options):
    return (
        tool(lambda x: _forward(x, gamma, beta), x, dy, **options),
        tool(lambda gamma: _forward(x, gamma, beta), gamma, dy, **options),
        tool(lambda beta: _forward(x, gamma, beta), beta, dy, **options),
    )


def _against(numerical, case, agree):
    """A check that finds a gradient wrong if one of its three arrays does not ``agree``."""
    return lambda gradient: (
        not all(agree(a, b) for a, b in zip(gradient(*case, EPS), numerical, strict=True))
    )


def _sum(seed):
    dy, x, gamma, beta = _case(seed)
    case = np.ones_like(dy), x, gamma, beta
    return _against(_numerical(*case), case, lambda a, b: np.allclose(a, b, 1e-2, 1e-2))


def _squares(seed):
    _, x, gamma, beta = _case(seed)
    gamma, beta = np.ones_like(gamma), np.zeros_like(beta)
    case = 2 * _forward(x, gamma, beta), x, gamma, beta
    return _against(_numerical(*case), case, lambda a, b: np.allclose(a, b, 1e-5, 1e-5))


def _one_entry(seed):
    case = _case(seed)
    rng = np.random.default_rng([seed, 1])
    numerical = _numerical(*case)
    picked = [tuple(rng.integers(0, n) for n in a.shape) for a in numerical]

    def notices(gradient):
        got = gradient(*case, EPS)
        return not all(
            np.allclose(a[j], b[j], 1e-2, 1e-2)
            for a, b, j in zip(got, numerical, picked, strict=True)
        )

    return notices


def _cs231n_error(a, b):
    return np.max(np.abs(a - b) / np.maximum(1e-8, np.abs(a) + np.abs(b)))


def _cs231n(seed):
    case = _case(seed)
    return _against(_numerical(*case), case, lambda a, b: _cs231n_error(a, b) < 1e-8)


def _float32(seed):
    case = tuple(a.astype(np.float32) for a in _case(seed))
    numerical = _numerical(*case, tool=_central_difference_32, h=1e-6)
    return _against(numerical, case, lambda a, b: _cs231n_error(a, b) < 1e-2)


def _central_difference_32(f, x, dy, h):
    return central_difference(lambda v: f(v.astype(np.float32)), x, dy, h)


def _complex(seed):
    case = _case(seed)
    numerical = _numerical(*case, tool=complex_step)
    return _against(numerical, case, lambda a, b: relative_error(a, b) < 1e-12)


def _ours(seed):
    dy, x, gamma, beta = _case(seed)
    arguments = {"x": x, "gamma": gamma, "beta": beta}

    def notices(gradient):
        got = gradient(dy, x, gamma, beta, EPS)
        return not all(
            gradcheck(
                lambda v, name=name: _forward(**(arguments | {name: v})), arguments[name], g, dy
            ).passed
            for name, g in zip(arguments, got, strict=True)
        )

    return notices


class _Norm(nn.BatchNorm):
    """A batch norm that goes back by a ``gradient`` of the catalogue."""

    def __init__(self, num_features, gradient):
        super().__init__(num_features, dtype="float64")
        self.gradient = gradient

    def forward(self, x):
        return super().forward(x)[0], x

    def backward(self, dy, cache):
        dx, dgamma, dbeta = self.gradient(dy, cache, self.gamma, self.beta, self.eps)
        self.add_gradients(gamma=dgamma, beta=dbeta)
        return dx


def losses(data, gradient, seed=0, steps=40):
    """Training losses of a small network on digits, whose batch norm goes back by ``gradient``.

    Dense, batch norm, tanh, dense; 60 examples a batch, rate 0.3, float64.

    Parameters
    ----------
    data : bncourse.data.Dataset
        In float64.
    gradient : callable
        ``(dy, x, gamma, beta, eps) -> (dx, dgamma, dbeta)``.
    seed, steps : int
        Of weights and order; number of batches.

    Returns
    -------
    numpy.ndarray, shape (steps,)
        Loss of each batch before its step, in nats.
    """
    rng = np.random.default_rng(seed)
    net = nn.Sequential(
        nn.Dense(64, 32, rng=rng, dtype="float64"),
        _Norm(32, gradient),
        nn.Tanh(),
        nn.Dense(32, 10, rng=rng, dtype="float64"),
    )
    optimizer, order = SGD(net, 0.3), batches(len(data.x_train), 60, rng)
    chosen = (next(order) for _ in range(steps))
    return np.array([train_step(net, optimizer, data.x_train[c], data.y_train[c]) for c in chosen])


def _loss(seed):
    data = digits(dtype="float64")

    def notices(gradient):
        runs = [losses(data, gradient, 5 * seed + k) for k in range(5)]
        return sum(not run[-10:].mean() < run[0] / 2 for run in runs) > 2

    return notices


CHECKS = {
    "falling loss": _loss,
    "sum of outputs": _sum,
    "sum of squares": _squares,
    "one random entry": _one_entry,
    "centered difference": _cs231n,
    "in float32": _float32,
    "complex step": _complex,
    "gradcheck": _ours,
}

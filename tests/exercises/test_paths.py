"""Least squares read off from a wrong ``dx`` what was forgotten."""

import numpy as np
import pytest

from bncourse.exercises import backward
from bncourse.exercises.paths import first_deviation, fit

N = 16
# What the learner did, and the weights of the three paths that it leaves.
READ_OFF = {
    "the statistics are treated as constants": (1, 0, 0),
    "the path through the variance is missing": (1, -1, 0),
    "the path through the mean is missing": (1, 0, -1),
    "the path of its own is missing": (0, -1, -1),
    "the path through the variance has the wrong sign": (1, -1, 1),
    "a factor 2 is lost in the path through the variance": (1, -1, -0.5),
    "the path through the variance is divided by m - 1": (1, -1, -N / (N - 1)),
    "1/m is missing in both paths": (1, -N, -N),
}


def problem(rng, d=4):
    x = rng.normal(rng.normal(0, 2, d), 1.5, (N, d))
    return rng.normal(0.7, 1, (N, d)), x, rng.choice((-1, 1), d) * rng.uniform(0.5, 2, d), 0.3


@pytest.mark.parametrize(("name", "weights"), READ_OFF.items())
def test_the_weights_of_known_mistakes(name, weights):
    (mistake,) = [m for m in backward.mistakes if m.name == name]
    for seed in range(20):
        dy, x, gamma, eps = problem(np.random.default_rng(seed))
        dx = mistake.wrong(dy, x, gamma, 0 * gamma, eps)[0]
        found, off = fit(dx, dy, x, gamma, eps)
        np.testing.assert_allclose(found, np.tile(weights, (4, 1)), atol=1e-8)
        assert off < 1e-10


def test_the_right_gradient_is_one_minus_one_minus_one(rng):
    dy, x, gamma, eps = problem(rng)
    dx = backward.reference(dy, x, gamma, 0 * gamma, eps)[0]
    found, off = fit(dx, dy, x, gamma, eps)
    np.testing.assert_allclose(found, np.tile((1, -1, -1), (4, 1)), atol=1e-8)
    assert off < 1e-12


def test_means_over_the_wrong_axis_leave_the_span(rng):
    dy, x, gamma, eps = problem(rng)
    (mistake,) = [m for m in backward.mistakes if "run along each row" in m.name]
    dx = mistake.wrong(dy, x, gamma, 0 * gamma, eps)[0]
    assert fit(dx, dy, x, gamma, eps)[1] > 0.1
    assert "are left over" in first_deviation(dx, dy, x, gamma, eps)[0]


def test_weights_are_told_as_one_number_or_as_a_range(rng):
    dy, x, gamma, eps = problem(rng)
    dx = backward.reference(dy, x, gamma, 0 * gamma, eps)[0]
    assert "a = 0.75, b = -0.75, c = -0.75" in first_deviation(0.75 * dx, dy, x, gamma, eps)[0]
    half = dx * np.array([1, 1, 1, 0.5])
    assert "a = 0.50 to 1.00, b = -1.00 to -0.50" in first_deviation(half, dy, x, gamma, eps)[0]
    assert fit(0 * dx, dy, x, gamma, eps)[1] == 0
    assert "NaN" in first_deviation(dx * np.nan, dy, x, gamma, eps)[0]


def test_an_unknown_mistake_in_dx_is_read_off():
    def wrong(dy, x, gamma, beta, eps):
        dx, dgamma, dbeta = backward.reference(dy, x, gamma, beta, eps)
        return 1.1 * dx, dgamma, dbeta

    report = backward.check(wrong)
    assert report.outcome == "unknown mistake"
    assert "a = 1.10, b = -1.10, c = -1.10. Right is 1, -1, -1." in report.message


def test_an_unknown_mistake_elsewhere_says_nothing_of_dx():
    def wrong(dy, x, gamma, beta, eps):
        dx, dgamma, dbeta = backward.reference(dy, x, gamma, beta, eps)
        return dx, 1.1 * dgamma, dbeta

    message = backward.check(wrong).message
    assert "Right: dx, dbeta." in message and "Read off" not in message

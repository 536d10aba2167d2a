"""Which step of the transform is said to be the first that goes wrong."""

import numpy as np
import pytest

from bncourse.exercises import forward, forward_images
from bncourse.exercises.deviation import first_deviation


def transform(x, gamma, beta, eps, mean=0.0, var=1.0, bend=0.0):
    """Right without options: the mean is off by ``mean``, the variance by a factor."""
    x_hat = (x - x.mean(0) - mean) / np.sqrt(var * x.var(0) + eps)
    return gamma * (x_hat + bend * x_hat**2) + beta


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mean": 0.01}, "the mean (or beta)"),
        ({"mean": 0.01, "var": 1.1}, "the mean (or beta)"),
        ({"var": 1.01}, "the variance (or gamma)"),
        ({"bend": 0.01}, "x_hat"),
        ({"mean": 0.1, "bend": 0.01}, "x_hat"),
    ],
)
def test_the_first_step_that_deviates_is_named(options, words, rng):
    x, gamma, beta = rng.normal(3, 2, (12, 3)), np.array([1.0, -2, 0.5]), np.array([0, 1.0, -1])
    y = transform(x, gamma, beta, 0.1, **options)
    (line,) = first_deviation(x, gamma, beta, 0.1, y)
    assert line.startswith(f"First deviation: {words}")


def test_the_numbers_are_those_of_the_feature(rng):
    x, y = np.array([[1.0], [3.0]]), np.array([[0.0], [4.0]])
    (line,) = first_deviation(x, np.array([1.0]), np.array([1.0]), 0.0, y)
    assert "y is beta at x = 1.5; that should be at the mean, 2." in line
    assert "At the mean, y is 2, and beta is 1." in line
    (line,) = first_deviation(x, np.array([2.0]), np.array([2.0]), 3.0, y)
    assert "y grows by 2 for each unit of x; gamma / sqrt(var + eps) is 1" in line


def test_what_is_right_has_no_deviation_and_nan_has_one(rng):
    x, gamma, beta = rng.normal(3, 2, (12, 3)), np.array([1.0, -2, 0.5]), np.array([0, 1.0, -1])
    y = transform(x, gamma, beta, 0.1)
    assert first_deviation(x, gamma, beta, 0.1, y) == []
    assert "NaN" in first_deviation(x, gamma, beta, 0.1, y * np.nan)[0]
    (line,) = first_deviation(x, gamma, beta, 0.1, 0 * y + beta)
    assert "does not depend on x" in line


@pytest.mark.parametrize("exercise", [forward, forward_images])
def test_an_unknown_mistake_says_where(exercise):
    for seed in range(5):

        def wrong(x, gamma, beta, eps):
            return exercise.reference(x, gamma, beta, 3 * eps + 0.1)

        message = exercise.check(wrong, seed).message
        assert "First deviation: the variance (or gamma)." in message

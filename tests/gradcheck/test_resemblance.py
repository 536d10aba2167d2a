"""What a wrong gradient looks like is said in the reason."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.gradcheck import gradcheck


def reason(spoil, shape=(12, 5), seed=0):
    x = np.random.default_rng(seed).normal(2, 3, shape)
    _, cache = F.batch_norm_forward(x)
    report = gradcheck(
        lambda x: F.batch_norm_forward(x)[0],
        x,
        backward=lambda dy: spoil(F.batch_norm_backward(dy, cache)[0]),
    )
    assert report.verdict == "wrong"
    return report.reason


def spoiled(dx, *places):
    for place in places:
        dx[place] += 0.1
    return dx


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda dx: 0 * dx, "dx is zero."),
        (lambda dx: -dx, "dx is minus the right gradient."),
        (lambda dx: 12 * dx, "dx is 12 times the right gradient, and 12 is one of the lengths"),
        (lambda dx: dx / 60, "dx is 0.01667 times the right gradient, and 60 is one of the"),
        (lambda dx: -2 * dx, "dx is -2 times the right gradient."),
        (lambda dx: spoiled(dx, (3, 1)), "dx is right but for 1 entry: [3, 1]."),
        (
            lambda dx: spoiled(dx, (3, 1), (0, 0), (11, 4), (2, 2)),
            "dx is right but for 4 entries: [0, 0], [2, 2], [3, 1], ...",
        ),
        (lambda dx: dx + 1, "dx is off in 60 of 60 entries."),
        (lambda dx: dx * (1 + 1e-4), "dx is off in "),
    ],
)
def test_in_words(spoil, words, seed):
    assert reason(spoil, seed=seed).startswith(words)


def test_transposed():
    assert reason(lambda dx: dx.T, (6, 6)) == "dx is the right gradient, transposed."


def test_one_number_is_not_called_a_multiple():
    assert gradcheck(np.sin, 1.0, 2 * np.cos(1.0)).reason == "dx is off in 1 of 1 entries."


def test_entries_that_were_not_looked_at_do_not_matter():
    x = np.linspace(1, 2, 50)
    report = gradcheck(lambda x: np.sum(x**2), x, -2 * x, entries=10)
    assert report.reason == "dx is minus the right gradient."

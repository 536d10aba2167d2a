"""What is measured of a gradient that goes through a batch norm, and of the weights before it."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.data import digits
from bncourse.experiments.geometry import run, survived

DATA = digits(dtype="float64")


@pytest.mark.parametrize("gamma", [None, np.array([3.0, -0.1, 0.0])])
def test_survived_is_the_share_at_a_right_angle(gamma):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(0, 1, (9, 3)), rng.normal(0, 1, (9, 3))
    _, cache = F.batch_norm_forward(x, gamma, eps=1e-12)
    for k in range(3):
        fixed = np.stack([np.ones(9), cache.x_hat[:, k]], axis=1)
        fitted = fixed @ np.linalg.lstsq(fixed, dy[:, k], rcond=None)[0]
        expected = ((dy[:, k] - fitted) ** 2).sum() / (dy[:, k] ** 2).sum()
        assert survived(dy, cache)[k] == pytest.approx(expected, rel=1e-9)


def test_of_a_random_gradient_two_dimensions_are_lost():
    rng = np.random.default_rng(0)
    for m in (3, 8):
        x, dy = rng.normal(0, 1, (m, 4000)), rng.normal(0, 1, (m, 4000))
        _, cache = F.batch_norm_forward(x, eps=1e-9)
        assert survived(dy, cache).mean() == pytest.approx((m - 2) / m, abs=0.015)


def test_weights_grow_by_the_squares_of_the_steps_with_batch_norm_only():
    normed, plain = run(DATA, steps=40), run(DATA, norm=False, steps=40)
    np.testing.assert_allclose(normed.growth[1:], normed.squares[1:], rtol=1e-3)
    assert (np.diff(normed.growth, axis=0) > 0).all()
    assert (np.abs(plain.growth[-1] / plain.squares[-1] - 1) > 0.05).mean() > 0.8
    assert (np.diff(plain.growth, axis=0) < 0).any()
    assert (normed.growth[0] == 0).all() and normed.growth.shape == (41, 32)
    assert normed.survived.shape == (40, 32) and (plain.survived == 1).all()


def test_batch_and_eps_are_passed_on():
    assert run(DATA, steps=20, batch=2).survived.mean() < 0.05
    assert 0.3 < run(DATA, steps=20, batch=3).survived.mean() < 0.55
    large = run(DATA, steps=20, eps=10.0)
    assert np.abs(large.growth[-1] / large.squares[-1] - 1).max() > 0.1


def test_it_is_the_usual_training():
    """Same weights as the training loop of the package leaves."""
    from bncourse import nn
    from bncourse.optim import SGD
    from bncourse.training import fit

    rng = np.random.default_rng(3)
    first = nn.Dense(64, 32, rng=rng, dtype="float64")
    start = (first.w**2).sum(axis=0)

    net = nn.Sequential(
        first,
        nn.BatchNorm(32, dtype="float64"),
        nn.Tanh(),
        nn.Dense(32, 10, rng=rng, dtype="float64"),
    )
    fit(net, SGD(net, 1.0), DATA.x_train, DATA.y_train, 10, batch_size=60, rng=rng)
    growth = (first.w**2).sum(axis=0) / start - 1
    np.testing.assert_allclose(run(DATA, steps=10, seed=3).growth[-1], growth, rtol=1e-9)


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="steps"):
        run(DATA, steps=0)

"""Batch norm, residual and ReLU as one function: the same as one after the other."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.gradcheck import gradcheck


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("residual", [False, True])
def test_it_is_the_three_after_each_other(home, rng, axis, residual):
    place, dtype = home
    x, dy, other = (place.put(rng.normal(0.5, 2, (5, 4, 6, 3)), dtype) for _ in range(3))
    c = x.shape[axis]
    gamma, beta = (place.put(rng.uniform(0.5, 2, c), dtype) for _ in range(2))
    other = other if residual else None
    y, cache = F.batch_norm_relu_forward(x, gamma, beta, axis=axis, residual=other)
    got = F.batch_norm_relu_backward(dy, cache)
    z, norm = F.batch_norm_forward(x, gamma, beta, axis=axis)
    z = z + other if residual else z
    want, mask = F.relu_forward(z)
    g = F.relu_backward(dy, mask)
    assert y.dtype == x.dtype
    assert np.array_equal(place.get(y), place.get(want))
    assert (got[3] is None) == (not residual)
    for a, b in zip(got, (*F.batch_norm_backward(g, norm), g), strict=True):
        if a is not None:
            assert np.array_equal(place.get(a), place.get(b))


@pytest.mark.parametrize("which", range(4), ids=["x", "gamma", "beta", "residual"])
def test_its_gradients(rng, which):
    given = [*rng.standard_normal((1, 6, 3, 2)), *rng.uniform(0.5, 2, (2, 3))]
    given.append(rng.standard_normal((6, 3, 2)))

    def forward(value):
        x, gamma, beta, residual = (*given[:which], value, *given[which + 1 :])
        return F.batch_norm_relu_forward(x, gamma, beta, residual=residual)

    _, cache = forward(given[which])
    report = gradcheck(
        lambda value: forward(value)[0],
        given[which],
        backward=lambda dy: F.batch_norm_relu_backward(dy, cache)[which],
    )
    assert report.passed, report


@pytest.mark.parametrize(
    "residual, error, words",
    [
        (np.zeros((4, 1)), ValueError, r"residual has shape \(4, 1\), but x \(4, 3\)"),
        (np.zeros((4, 3), int), TypeError, "residual has dtype int"),
        (np.zeros((4, 3), complex), TypeError, "residual is complex"),
        (3.0, TypeError, "residual must be an array, not float"),
    ],
)
def test_a_residual_that_does_not_fit(rng, residual, error, words):
    with pytest.raises(error, match=words):
        F.batch_norm_relu_forward(rng.standard_normal((4, 3)), residual=residual)


def test_a_cache_of_another_function(rng):
    _, cache = F.batch_norm_forward(rng.standard_normal((4, 3)))
    with pytest.raises(TypeError, match="cache must be .* batch_norm_relu_forward"):
        F.batch_norm_relu_backward(np.ones((4, 3)), cache)


def test_an_upstream_gradient_that_does_not_fit(rng):
    _, cache = F.batch_norm_relu_forward(rng.standard_normal((4, 3)))
    with pytest.raises(ValueError, match=r"dy has shape \(4, 1\)"):
        F.batch_norm_relu_backward(np.ones((4, 1)), cache)


def test_a_nan_stays(rng):
    x = rng.standard_normal((4, 3))
    x[1, 2] = np.nan
    y, _ = F.batch_norm_relu_forward(x)
    assert np.isnan(y[:, 2]).all() and np.isfinite(y[:, :2]).all() and y[:, :2].min() == 0

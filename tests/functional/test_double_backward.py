"""The gradient of the gradient, against a complex step through an independent backward pass."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.gradcheck import complex_step, relative_error


def backward(x, dy, gamma, eps, axes=0):
    """dx, dgamma, dbeta by the paper's equations, for complex numbers too."""
    d = x - x.mean(axis=axes, keepdims=True)
    m = x.size // x.shape[1]
    s2 = (d * d).mean(axis=axes, keepdims=True) + eps
    x_hat, dx_hat = d / np.sqrt(s2), gamma * dy
    dvar = (dx_hat * d).sum(axis=axes, keepdims=True) * -0.5 * s2**-1.5
    dmean = -(dx_hat / np.sqrt(s2)).sum(axis=axes, keepdims=True)
    dx = dx_hat / np.sqrt(s2) + dvar * 2 * d / m + dmean / m
    return dx, (dy * x_hat).sum(axis=axes), dy.sum(axis=axes)


@pytest.mark.parametrize(
    ("shape", "eps"), [((7, 3), 1e-5), ((7, 3), 0.7), ((4, 3, 5), 1e-5), ((2, 3), 0.7)]
)
def test_all_three_gradients(rng, shape, eps):
    axes = (0, *range(2, len(shape)))
    along = (1, 3) + (1,) * (len(shape) - 2)
    x, dy, u = (rng.standard_normal(shape) for _ in range(3))
    gamma, v, w = (rng.standard_normal(3) for _ in range(3))

    def phi(x, dy, gamma):
        dx, dgamma, dbeta = backward(x, dy, gamma.reshape(along), eps, axes)
        return (u * dx).sum() + (v * dgamma).sum() + (w * dbeta).sum()

    _, cache = F.batch_norm_forward(x, gamma, np.zeros(3), eps)
    d_dy, d_x, d_gamma = F.batch_norm_double_backward(u, dy, cache, v, w)
    assert relative_error(d_dy, complex_step(lambda z: phi(x, z, gamma), dy)) < 1e-12
    assert relative_error(d_x, complex_step(lambda z: phi(z, dy, gamma), x)) < 1e-12
    assert relative_error(d_gamma, complex_step(lambda z: phi(x, dy, z), gamma)) < 1e-12


def test_a_gamma_of_zero_is_no_trouble(rng):
    x, dy, u = (rng.standard_normal((6, 2)) for _ in range(3))
    _, cache = F.batch_norm_forward(x, np.array([0.0, 1.0]))
    d_dy, d_x, d_gamma = F.batch_norm_double_backward(u, dy, cache)
    assert np.all(np.isfinite(d_gamma)) and d_gamma[0] != 0
    assert np.all(d_dy[:, 0] == 0) and np.all(d_x[:, 0] == 0)


def test_results_live_where_the_input_does(home, rng):
    place, dtype = home
    x, dy, u = (place.put(rng.standard_normal((5, 3)), dtype) for _ in range(3))
    gamma = place.put(np.ones(3), dtype)
    _, cache = F.batch_norm_forward(x, gamma)
    for result, like in zip(
        F.batch_norm_double_backward(u, dy, cache, gamma, gamma), (x, x, gamma), strict=True
    ):
        assert place.get(result).dtype == dtype and result.shape == like.shape


def test_without_parameters(rng):
    x, dy, u = (rng.standard_normal((5, 3)) for _ in range(3))
    _, cache = F.batch_norm_forward(x)
    d_dy, d_x, d_gamma = F.batch_norm_double_backward(u, dy, cache)
    assert d_gamma is None
    _, ones = F.batch_norm_forward(x, np.ones(3))
    np.testing.assert_allclose(d_x, F.batch_norm_double_backward(u, dy, ones)[1], rtol=1e-12)
    np.testing.assert_allclose(d_dy, F.batch_norm_double_backward(u, dy, ones)[0], rtol=1e-12)


def test_caches_of_other_norms_are_refused(rng):
    x = rng.standard_normal((5, 3))
    for cache in (
        F.layer_norm_forward(x)[1],
        F.rms_norm_forward(x)[1],
        F.batch_norm_forward(x, mask=np.ones(5, bool))[1],
    ):
        with pytest.raises(ValueError, match="batch norm without a mask"):
            F.batch_norm_double_backward(x, x, cache)
    with pytest.raises(ValueError, match="dy has shape"):
        F.batch_norm_double_backward(x[:3], x, F.batch_norm_forward(x)[1])

"""Every gradient against numbers that no derivation went into."""

import numpy as np
import pytest
import reference

from bncourse import functional as F
from bncourse.gradcheck import central_difference, complex_step, relative_error

LAYOUTS = [((7, 3), 1), ((2, 3), 1), ((5, 2, 3), 1), ((2, 3, 2, 3), -1), ((5, 3, 2), (1, 2))]
layouts = pytest.mark.parametrize("shape, axis", LAYOUTS, ids=str)


def example(rng, shape, axis):
    x, dy = rng.standard_normal((2, *shape))
    axes = axis if isinstance(axis, tuple) else (axis,)
    gamma, beta = rng.standard_normal((2, *(shape[a] for a in axes)))
    return 2 * x + 3, dy, gamma, beta


@layouts
@pytest.mark.parametrize("eps", [1e-5, 0.1])
@pytest.mark.parametrize("numerical, limit", [(complex_step, 1e-12), (central_difference, 1e-7)])
def test_gradients_agree_with_numerical_ones(rng, shape, axis, eps, numerical, limit):
    x, dy, gamma, beta = example(rng, shape, axis)
    _, cache = F.batch_norm_forward(x, gamma, beta, eps, axis)
    found = F.batch_norm_backward(dy, cache)

    def forward(x=x, gamma=gamma, beta=beta):
        return reference.analytic_batch_norm(x, gamma, beta, eps, axis)

    expected = (
        numerical(lambda v: forward(x=v), x, dy),
        numerical(lambda v: forward(gamma=v), gamma, dy),
        numerical(lambda v: forward(beta=v), beta, dy),
    )
    for name, a, b in zip(("dx", "dgamma", "dbeta"), found, expected, strict=True):
        if shape[0] == 2 and name == "dx" and np.ndim(x) == 2:
            # Two values: x_hat is +-1 but for eps, and dx nearly 0. Measured against dy, then.
            assert np.max(np.abs(a - b)) < 100 * limit, name
        else:
            assert relative_error(a, b) < limit, name


def test_gradient_without_scale_agrees_too(rng):
    x, dy, _, _ = example(rng, (7, 3), 1)
    dx, dgamma, dbeta = F.batch_norm_backward(dy, F.batch_norm_forward(x)[1])
    assert dgamma is None and dbeta is None
    assert relative_error(dx, complex_step(reference.analytic_batch_norm, x, dy)) < 1e-12


def test_the_forward_itself_passes_central_differences(rng):
    """Not a copy of it: the function whose gradient is claimed."""
    x, dy, gamma, beta = example(rng, (7, 3), 1)
    _, cache = F.batch_norm_forward(x, gamma, beta)
    dx = central_difference(lambda v: F.batch_norm_forward(v, gamma, beta)[0], x, dy)
    assert relative_error(F.batch_norm_backward(dy, cache)[0], dx) < 1e-8


@pytest.mark.parametrize("mean", [0, 1e2, 1e4])
@pytest.mark.parametrize("scale", [1e-2, 1, 1e3])
def test_gradients_hold_far_from_the_origin(rng, mean, scale):
    x, dy, gamma, _ = example(rng, (7, 3), 1)
    x = x * scale + mean
    found = F.batch_norm_backward(dy, F.batch_norm_forward(x, gamma, gamma)[1])
    expected = reference.batch_norm_backward(dy, x, gamma)
    for a, b in zip(found, expected, strict=True):
        assert relative_error(a, b.astype(float)) < 1e-11 * max(1, mean / scale / 100)


def test_dx_is_orthogonal_to_one_and_to_x_hat(rng):
    x, dy, gamma, beta = example(rng, (101, 3), 1)
    _, cache = F.batch_norm_forward(x, gamma, beta, eps=1e-30)
    dx, _, _ = F.batch_norm_backward(dy, cache)
    assert np.max(np.abs(dx.sum(axis=0))) < 1e-13
    assert np.max(np.abs((dx * cache.x_hat).sum(axis=0))) < 1e-13


def test_a_scale_of_zero_gives_finite_gradients(rng):
    x, dy, gamma, beta = example(rng, (7, 3), 1)
    dx, dgamma, _ = F.batch_norm_backward(dy, F.batch_norm_forward(x, gamma * 0, beta)[1])
    assert not dx.any()
    assert relative_error(dgamma, reference.batch_norm_backward(dy, x)[1].astype(float)) < 1e-12

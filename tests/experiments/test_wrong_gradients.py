"""The tampered batch norm is right with weights 1 and 1, and what must not drift does not."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.data import digits
from bncourse.experiments.wrong_gradients import TamperedBatchNorm, run

DATA = digits(dtype="float64")


def gradients(mean_path, variance_path):
    rng = np.random.default_rng(0)
    layer = TamperedBatchNorm(5, mean_path, variance_path, eps=1e-5, dtype="float64")
    x, dy = rng.normal(2, 3, (12, 5)), rng.normal(1, 1, (12, 5))
    _, cache = layer.forward(x)
    return layer.backward(dy, cache), layer, dy, cache


def test_with_both_paths_it_is_the_batch_norm():
    dx, layer, dy, cache = gradients(1, 1)
    right, dgamma, dbeta = F.batch_norm_backward(dy, cache)
    np.testing.assert_allclose(dx, right, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(layer.grads["gamma"], dgamma)
    np.testing.assert_array_equal(layer.grads["beta"], dbeta)


def test_without_the_paths_the_statistics_are_constants():
    dx, _, dy, cache = gradients(0, 0)
    np.testing.assert_allclose(dx, cache.inv_std * dy, rtol=1e-12)


def test_only_the_mean_path_makes_the_columns_sum_to_zero():
    assert np.abs(gradients(1, 0)[0].sum(axis=0)).max() < 1e-12
    assert np.abs(gradients(0, 1)[0].sum(axis=0)).min() > 0.1


def test_the_right_gradient_moves_no_bias_and_hardly_any_length():
    right, no_variance, constants = (run(DATA, a, b, 60) for a, b in ((1, 1), (1, 0), (0, 0)))
    assert right.bias.max() < 1e-14 and no_variance.bias.max() < 1e-14
    assert constants.bias[-1] > 0.05
    assert 1 < right.length[-1] < 1.02 < no_variance.length[-1] < constants.length[-1]
    for drift in (right, no_variance, constants):
        assert drift.loss[-10:].mean() < 0.3 * drift.loss[0]
        assert drift.gamma[0] == 1 < drift.gamma[-1]


@pytest.mark.parametrize(
    ("options", "error"), [({"mean_path": "1"}, TypeError), ({"steps": 0}, ValueError)]
)
def test_bad_arguments_are_named(options, error):
    with pytest.raises(error, match=next(iter(options))):
        run(DATA, **options)

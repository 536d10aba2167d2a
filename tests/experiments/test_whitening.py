"""Networks whose gradients know of the normalization, and such that do not."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from bncourse import functional as F
from bncourse.experiments.whitening import EXPERIMENT, Standardize, network, run
from bncourse.gradcheck import central_difference, relative_error


@pytest.fixture(autouse=True)
def one_thread():
    """Matrices this small wait for each other's threads, if others compute at the same time."""
    with threadpool_limits(1, user_api="blas"):
        yield


X = np.random.default_rng(0).normal(3, 2, (8, 4))
DY = np.random.default_rng(1).normal(1, 1, (8, 4))


@pytest.mark.parametrize("scale", [False, True])
def test_an_aware_gradient_is_the_derivative(scale):
    layer = Standardize(scale, aware=True, eps=0.5)
    measured = central_difference(lambda x: layer.forward(x)[0], X, DY)
    assert relative_error(layer.backward(DY, layer.forward(X)[1]), measured) < 1e-8


def test_with_scale_it_is_batch_norm_without_parameters():
    layer = Standardize(scale=True, aware=True)
    y, cache = F.batch_norm_forward(X)
    assert np.allclose(layer.forward(X)[0], y)
    dx = layer.backward(DY, layer.forward(X)[1])
    assert np.allclose(dx, F.batch_norm_backward(DY, cache)[0])


@pytest.mark.parametrize("scale", [False, True])
def test_an_unaware_gradient_takes_the_statistics_for_constants(scale):
    layer = Standardize(scale, aware=False, eps=0.5)
    mean, s = X.mean(axis=0), np.sqrt(X.var(axis=0) + 0.5) if scale else 1
    assert np.allclose(layer.forward(X)[0], (X - mean) / s)
    assert np.allclose(layer.backward(DY, layer.forward(X)[1]), DY / s)


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_networks_differ_in_the_normalization_alone(activation):
    a, b = (network(True, aware, activation, 64, seed=3) for aware in (True, False))
    for name, value in a.parameters().items():
        assert np.array_equal(value, b.parameters()[name])
    assert [type(layer).__name__ for layer in a.layers[:3]][:2] == ["Dense", "Standardize"]


def test_the_seed_draws_the_weights():
    w = [network(True, True, "relu", 64, seed).layers[0].w for seed in (0, 0, 1)]
    assert np.array_equal(w[0], w[1]) and not np.array_equal(w[0], w[2])


@pytest.mark.parametrize("config", EXPERIMENT.quick[::3])
def test_a_run_is_reproducible_and_measures_evenly(config):
    config = config | {"steps": 60}
    a, b = run(config, 0), run(config, 0)
    assert {len(values) for values in a.values()} == {31}
    assert a["steps"][0] == 0 and a["steps"][-1] == 60
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert a["weights"][0] == 1 and a["bias"][0] == 0
    assert not np.array_equal(run(config, 1)["loss"], a["loss"])


def test_only_what_does_not_know_moves_the_biases():
    for config in EXPERIMENT.quick[:4]:
        bias = run(config | {"steps": 100}, 0)["bias"][-1]
        assert bias < 1e-6 if config["aware"] else bias > 0.01

"""Batch norm before and after the nonlinearity: what is built, and what can be repeated."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from bncourse import nn
from bncourse.experiments import layer
from bncourse.experiments.layer import EXPERIMENT, network, run

SMALL = {"data": "digits", "activation": "relu", "order": "before", "gamma": 1, "lr": 0.1}


@pytest.fixture(autouse=True)
def one_thread():
    """Matrices this small wait for each other's threads, if others compute at the same time."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.mark.parametrize(
    ("order", "kinds"),
    [
        ("plain", [nn.Dense, nn.ReLU]),
        ("before", [nn.Dense, nn.BatchNorm, nn.ReLU]),
        ("after", [nn.Dense, nn.ReLU, nn.BatchNorm]),
    ],
)
def test_the_parts_stand_in_the_order_that_is_said(order, kinds):
    net = network(order, "relu", 1, 64, seed=0)
    assert [type(module) for module in net.layers] == kinds * 3 + [nn.Dense]


def test_the_bias_is_left_out_where_it_is_useless_only():
    for order in ("plain", "before", "after"):
        dense = [m for m in network(order, "relu", 1, 64, 0).layers if isinstance(m, nn.Dense)]
        assert [m.b is None for m in dense] == [order == "before"] * 3 + [False]


def test_networks_of_all_orders_begin_with_the_same_weights():
    nets = [network(order, "sigmoid", 1, 64, seed=3) for order in ("plain", "before", "after")]
    w = [[m.w for m in net.layers if isinstance(m, nn.Dense)] for net in nets]
    for a, b, c in zip(*w, strict=True):
        assert np.array_equal(a, b) and np.array_equal(b, c)
    assert not np.array_equal(network("plain", "sigmoid", 1, 64, seed=4).layers[0].w, w[0][0])


def test_gamma_is_where_the_scales_start():
    norms = [m for m in network("before", "sigmoid", 4, 64, 0).layers if hasattr(m, "gamma")]
    assert len(norms) == 3 and all((m.gamma == 4).all() for m in norms)


def test_another_order_is_refused():
    with pytest.raises(ValueError, match="order must be 'plain', 'before' or 'after', not 'amid'"):
        network("amid", "relu", 1, 64, 0)


def test_a_run_can_be_repeated_and_depends_on_its_seed():
    config = SMALL | {"steps": 40}
    one, same, other = run(config, 0), run(config, 0), run(config, 1)
    assert one["steps"].tolist() == [0, 10, 20, 30, 40]
    assert np.array_equal(one["accuracy"], same["accuracy"])
    assert not np.array_equal(one["accuracy"], other["accuracy"])


def test_weights_and_order_have_random_numbers_of_their_own(monkeypatch):
    seen = []

    def spy(net, optimizer, x, labels, steps, batch_size, rng, every, record):
        seen.append(rng.standard_normal())
        return [(0, 0.1)]

    monkeypatch.setattr(layer, "fit", spy)
    for seed in (0, 1):
        run(SMALL | {"steps": 4}, seed)
    assert seen[0] != seen[1] and seen[0] != np.random.default_rng(0).standard_normal()


@pytest.mark.parametrize("order", ["plain", "before", "after"])
def test_each_order_learns(order):
    assert run(SMALL | {"order": order, "steps": 120}, 0)["accuracy"][-1] > 0.9


def test_the_test_set_is_standardized_by_the_training_set(monkeypatch):
    seen = []
    monkeypatch.setattr(layer, "accuracy", lambda net, x, labels: seen.append(x) or 0.0)
    run(SMALL | {"steps": 4}, 0)
    data = layer.digits()
    wanted = (data.x_test - data.x_train.mean()) / data.x_train.std()
    np.testing.assert_allclose(seen[0], wanted, atol=1e-6)


def test_the_grid_has_each_kind_at_each_rate_and_long_runs_beside():
    short = [c for c in EXPERIMENT.configs if c["steps"] == 1200]
    assert len(short) == 7 * 4 and len(EXPERIMENT.configs) == 7 * 4 + 3
    rates = {c["lr"] for c in short}
    for c in short:
        alike = [d for d in short if {**d, "lr": 0} == {**c, "lr": 0}]
        assert {d["lr"] for d in alike} == rates

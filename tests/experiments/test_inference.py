"""Several memories of the same batches: each is what its name says, and none disturbs training."""

import copy

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from bncourse import nn
from bncourse.data import digits
from bncourse.experiments import inference
from bncourse.experiments.inference import (
    DERIVED,
    EXPERIMENT,
    MOMENTA,
    Remembering,
    algorithm_2,
    judge,
    network,
    norms,
    run,
)

RNG = np.random.default_rng(0)
SMALL = EXPERIMENT.quick[0] | {"examples": 400, "pool": 100, "points": 3}


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1, user_api="blas"):
        yield


def batches(count=7, size=4, features=3):
    spread = RNG.uniform(0.5, 2, features)
    return [
        (spread * RNG.normal(0, 1, (size, features)) + 1).astype("float32") for _ in range(count)
    ]


@pytest.mark.parametrize("name", MOMENTA)
def test_a_memory_is_that_of_a_layer_of_its_momentum(name):
    layer, other = Remembering(3), nn.BatchNorm(3, momentum=MOMENTA[name])
    for x in batches():
        layer.forward(x)
        other.forward(x)
    layer.use(name)
    np.testing.assert_allclose(layer.running_mean, other.running_mean, rtol=1e-4)
    np.testing.assert_allclose(layer.running_var, other.running_var, rtol=1e-4)


def test_the_biased_memory_lacks_the_factor():
    layer = Remembering(3)
    for x in batches(size=4):
        layer.forward(x)
    layer.use("default")
    mean, var = layer.running_mean, layer.running_var
    layer.use("biased")
    np.testing.assert_allclose(layer.running_var, 0.75 * var, rtol=1e-6)
    np.testing.assert_array_equal(layer.running_mean, mean)


def test_without_its_start_an_average_of_equal_batches_is_that_batch():
    (x,) = batches(1)
    layer = Remembering(3)
    for _ in range(5):
        layer.forward(x)
    layer.use("no start")
    np.testing.assert_allclose(layer.running_mean, x.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(layer.running_var, x.var(axis=0, ddof=1), rtol=1e-4)
    layer.use("slow")
    assert (layer.running_mean < 0.1).all()


def test_in_evaluation_nothing_is_remembered():
    layer = Remembering(3).eval()
    before = copy.deepcopy(layer.memories)
    layer.forward(batches(1)[0])
    assert repr(layer.memories) == repr(before)


def test_a_set_is_judged_in_batches_and_the_rest_is_left_out():
    data, net = digits(), network(64, 0)
    x, labels = data.x_test[:50], data.y_test[:50]
    net.eval()
    assert judge(net, x, labels, 10) == pytest.approx(judge(net, x, labels), rel=1e-6)
    assert judge(net, x, labels, 20) == pytest.approx(judge(net, x[:40], labels[:40]), rel=1e-6)
    net.train()
    assert abs(judge(net, x, labels, 10)[1] - judge(net, x, labels)[1]) > 1e-3


def test_algorithm_2_takes_means_over_batches_in_training_mode():
    pool, size = digits().x_train[:60], 6
    net = network(64, 0)
    for _ in range(3):
        net.forward(pool[:20] * 3)  # to be forgotten
    net = algorithm_2(net, pool, size)
    first = norms(net)[0]
    x = (pool @ net.layers[0].w).reshape(10, size, 100)
    np.testing.assert_allclose(first.running_mean, x.mean(axis=(0, 1)), rtol=1e-3, atol=1e-5)
    wanted = x.var(axis=1).mean(axis=0) * size / (size - 1)
    np.testing.assert_allclose(first.running_var, wanted, rtol=1e-4)
    assert not any(layer.training for layer in net.layers)


def test_a_run_is_reproducible_and_tells_of_all_memories():
    one, same, other = run(SMALL, 0), run(SMALL, 0), run(SMALL, 1)
    assert one["steps"].tolist() == [1, 10, 100]
    names = [*MOMENTA, *DERIVED, "precise"]
    for name in names:
        assert np.shape(one[f"{name} accuracy"]) == np.shape(one[f"{name} loss"]) == (3,)
        assert one[f"{name} loss"] == same[f"{name} loss"] != other[f"{name} loss"]
    assert {len(np.atleast_1d(one[f"{n} loss"])) for n in ("batch", "algorithm 2")} == {1}
    # After one batch these differ in the start alone, or not at all.
    assert one["cumulative loss"][0] == pytest.approx(one["no start loss"][0], rel=1e-5)
    assert one["slow loss"][0] != one["cumulative loss"][0]


def test_measuring_leaves_training_alone():
    often, seldom = run(SMALL | {"points": 6}, 0), run(SMALL, 0)
    for name in ("default", "slow", "cumulative", "precise"):
        assert often[f"{name} loss"][-1] == seldom[f"{name} loss"][-1]
    assert often["batch loss"] == seldom["batch loss"]


def test_precise_statistics_are_taken_of_the_pool(monkeypatch):
    seen = []

    def spy(net, batches):
        seen.append(sum(map(len, batches)))
        return net

    monkeypatch.setattr(inference.nn, "precise", spy)
    run(SMALL | {"points": 2}, 0)
    assert seen == [100, 100]


def test_weights_and_order_have_random_numbers_of_their_own(monkeypatch):
    seen = []

    def spy(n, size, rng):
        seen.append(rng.standard_normal())
        return inference_batches(n, size, rng)

    inference_batches = inference.batches
    monkeypatch.setattr(inference, "batches", spy)
    for seed in (0, 1):
        run(SMALL | {"examples": 8, "points": 2}, seed)
    assert seen[0] != seen[1]

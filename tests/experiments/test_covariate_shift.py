from itertools import permutations

import numpy as np
import pytest

from bncourse import nn
from bncourse.data import digits
from bncourse.experiments.covariate_shift import (
    EXPERIMENT,
    activation_inputs,
    run,
    shift,
    wasserstein,
)
from bncourse.experiments.two_nets import Config, network

SHORT = {"data": "digits", "depth": 2, "std": 0.4, "lr": 0.5, "steps": 40, "every": 20}


@pytest.fixture(scope="module")
def results():
    return {norm: run(SHORT | {"norm": norm}, 0) for norm in (False, True)}


@pytest.fixture
def a():
    return np.random.default_rng(0).normal(1, 2, (50, 3))


def test_the_distance_is_the_smallest_of_all_pairings():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 5), rng.normal(1, 2, 5)
    best = min(np.abs(a - b[list(p)]).mean() for p in permutations(range(5)))
    assert wasserstein(a, b) == pytest.approx(best, rel=1e-12)


def test_the_distance_is_the_area_between_the_distribution_functions():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0, 1, 40), rng.exponential(1, 40)
    grid = np.sort(np.concatenate([a, b]))
    share_a, share_b = ((v[:, None] <= grid[:-1]).mean(axis=0) for v in (a, b))
    area = (np.abs(share_a - share_b) * np.diff(grid)).sum()
    assert wasserstein(a, b) == pytest.approx(area, rel=1e-12)


def test_a_shift_by_one_spread_is_one(a):
    np.testing.assert_allclose(shift(a, a + a.std(axis=0)), 1)
    np.testing.assert_allclose(shift(a, a - a.std(axis=0)), 1)


def test_units_of_measurement_cancel(a):
    b = np.random.default_rng(1).normal(0, 3, a.shape)
    np.testing.assert_allclose(shift(7 - 0.1 * a, 7 - 0.1 * b), shift(a, b))
    np.testing.assert_allclose(shift(b, a), shift(a, b))


def test_other_examples_in_the_same_places_are_no_shift(a):
    assert (shift(a, a[::-1]) == 0).all()
    assert shift(a[:, 0], a[::-1, 0]) == 0


def test_each_unit_is_measured_by_itself(a):
    b = a + [0, 0, 1]
    assert (shift(a, b) > 0).tolist() == [False, False, True]
    assert shift(a, b)[2] == shift(a[:, 2], b[:, 2])


def test_constant_units():
    zeros = np.zeros(4)
    assert shift(zeros, zeros) == 0 and shift(zeros, zeros + 1) == np.inf
    assert np.isnan(shift(np.array([np.nan, 1]), np.array([0.0, 1])))


@pytest.mark.parametrize(
    "x, y", [(np.ones(3), np.ones(4)), (np.ones((2, 0, 3)),) * 2, (np.ones(0),) * 2, (1.0, 2.0)]
)
def test_shapes_that_do_not_fit_are_told(x, y):
    for measure in (shift, wasserstein):
        with pytest.raises(ValueError, match="a and b must both have shape"):
            measure(x, y)


def test_what_enters_the_activations_is_what_a_forward_pass_gives_them():
    x = digits(binary=True).x_test[:30]
    plain = network(Config(norm=False, std=0.4, hidden=7))
    below, _ = nn.Sequential(*plain.layers[:4]).forward(x)
    first, second, third = activation_inputs(plain, x)
    np.testing.assert_array_equal(first, plain[0].forward(x)[0])
    np.testing.assert_array_equal(third, plain[4].forward(below)[0])
    assert second.shape == (30, 7)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_is_measured_with_the_statistics_of_the_probe(training):
    net = network(Config(norm=True, std=0.4, hidden=7)).train(training)
    net[1].beta[:] = np.arange(7)
    net[1].gamma[:] = 2
    before = net.state_dict()
    first = activation_inputs(net, digits(binary=True).x_test[:30])[0]
    np.testing.assert_allclose(first.mean(axis=0), np.arange(7), atol=1e-5)
    np.testing.assert_allclose(first.std(axis=0), 2, rtol=1e-3)
    after = net.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("norm", [True, False])
def test_what_is_measured(results, norm):
    r = results[norm]
    shapes = {name: np.shape(values) for name, values in r.items()}
    assert shapes == {
        "loss": (2,),
        "shift": (2, 2),
        "moved": (2,),
        "moved_mean": (2,),
        "moved_absolute": (2,),
        "from_start": (2,),
        "percentiles": (3, 3),
        "accuracy": (),
    }
    np.testing.assert_allclose(r["moved"], r["shift"].sum(axis=0), atol=1e-3)
    assert (r["moved_mean"] <= r["moved"] + 1e-6).all() and (r["moved_mean"] > 0).all()
    assert (r["from_start"] > 0).all()
    assert (np.diff(r["percentiles"], axis=1) > 0).all()
    assert 0.3 < r["accuracy"] < 1 and 0 < r["loss"][1] < r["loss"][0]


def test_over_one_interval_all_shifts_are_the_same():
    r = run(SHORT | {"norm": False, "steps": 20}, 0)
    np.testing.assert_allclose(r["from_start"], r["moved"])
    np.testing.assert_allclose(r["shift"][0], r["moved"], atol=1e-4)
    spread = r["moved_absolute"] / r["moved"]
    assert ((0.2 < spread) & (spread < 2)).all()


def test_frozen_weights_do_not_shift():
    for norm in (True, False):
        r = run(SHORT | {"norm": norm, "lr": 0.0}, 3)
        assert (r["shift"] == 0).all() and (r["from_start"] == 0).all()
        assert (r["percentiles"] == r["percentiles"][0]).all()


def test_batch_norm_shifts_less(results):
    assert (results[True]["moved"] < 0.5 * results[False]["moved"]).all()


def test_runs_repeat_to_the_bit_and_seeds_differ(results):
    same, other = (run(SHORT | {"norm": True}, seed) for seed in (0, 1))
    assert all(np.array_equal(same[name], results[True][name]) for name in same)
    assert not np.array_equal(other["shift"], same["shift"])


def test_the_grid():
    assert len(EXPERIMENT.cells()) == 54
    assert {c["data"] for c in EXPERIMENT.configs} == {"mnist"}
    assert {c["data"] for c in EXPERIMENT.quick} == {"digits"}

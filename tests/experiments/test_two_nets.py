import numpy as np
import pytest

from bncourse import nn
from bncourse.data import digits
from bncourse.experiments import EXPERIMENTS, two_nets
from bncourse.experiments.two_nets import Config, measure, milestones, network, run

SHORT = {"std": 0.01, "steps": 120, "every": 60}


@pytest.fixture(scope="module")
def data():
    return digits(binary=True)


@pytest.fixture(scope="module")
def with_norm(data):
    return run(Config(norm=True, **SHORT), data)


def test_batch_norm_learns_where_the_plain_net_does_not(data, with_norm):
    plain = run(Config(norm=False, **SHORT), data)
    assert with_norm.accuracy[-1] > 0.75
    assert plain.accuracy[-1] < 0.2


def test_what_is_measured(with_norm):
    assert with_norm.config == Config(norm=True, **SHORT)
    assert with_norm.steps.tolist() == [0, 60, 120]
    assert with_norm.accuracy.shape == (3,) and with_norm.percentiles.shape == (3, 3)
    assert (np.diff(with_norm.percentiles, axis=1) > 0).all()
    assert ((0 <= with_norm.accuracy) & (with_norm.accuracy <= 1)).all()


def test_a_run_can_be_repeated_to_the_bit(data):
    config = Config(norm=True, std=0.1, steps=20, every=10, hidden=11)
    first, same = run(config, data), run(config, data)
    other = run(Config(norm=True, std=0.1, steps=20, every=10, hidden=11, seed=1), data)
    assert np.array_equal(first.accuracy, same.accuracy)
    assert np.array_equal(first.percentiles, same.percentiles)
    assert not np.array_equal(first.percentiles, other.percentiles)


def test_the_data_is_not_changed(data):
    before = [a.copy() for a in data]
    run(Config(norm=True, steps=5, every=5, hidden=7), data)
    assert all(map(np.array_equal, data, before))


def test_the_watched_unit_is_the_input_of_the_last_activation(data):
    config = Config(norm=True, steps=0, every=1, hidden=7, depth=2)
    net = network(config).eval()
    a, _ = nn.Sequential(*net.layers[:5]).forward(data.x_test)
    found = run(config, data, unit=3).percentiles[0]
    np.testing.assert_allclose(found, np.percentile(a[:, 3], (15, 50, 85)))


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("depth", [1, 3])
def test_the_network_is_that_of_the_config(norm, depth):
    net = network(Config(norm=norm, depth=depth, hidden=7, std=0.5), n_in=5, n_out=4)
    kinds = [nn.Dense, nn.BatchNorm, nn.Sigmoid] if norm else [nn.Dense, nn.Sigmoid]
    assert [type(layer) for layer in net.layers] == kinds * depth + [nn.Dense]
    assert (net[0].b is None) == norm and net.layers[-1].b is not None
    assert net[0].w.shape == (5, 7) and net.layers[-1].w.shape == (7, 4)


@pytest.mark.parametrize(
    "activation, kind", [("sigmoid", nn.Sigmoid), ("tanh", nn.Tanh), ("relu", nn.ReLU)]
)
def test_the_activation_can_be_chosen(activation, kind):
    net = network(Config(norm=True, hidden=7, activation=activation), n_in=5)
    assert [type(layer) for layer in net.layers[2::3]] == [kind] * 3


def test_both_nets_start_from_the_same_weights():
    a, b = (network(Config(norm=norm)).parameters() for norm in (True, False))
    weights = [[v for name, v in p.items() if name.endswith("w")] for p in (a, b)]
    assert all(map(np.array_equal, *weights))


@pytest.mark.parametrize(
    "options, kind, message",
    [
        ({"std": -1}, ValueError, "std must be finite and at least 0, not -1"),
        ({"lr": float("nan")}, ValueError, "lr must be finite and at least 0, not nan"),
        ({"hidden": 0}, ValueError, "hidden must be at least 1, not 0"),
        ({"depth": 0}, ValueError, "depth must be at least 1, not 0"),
        ({"every": 0}, ValueError, "every must be at least 1, not 0"),
        ({"steps": -1}, ValueError, "steps must be at least 0, not -1"),
        ({"batch_size": 60.0}, TypeError, "batch_size must be a whole number, not 60.0"),
        ({"activation": "gelu"}, ValueError, "activation must be one of .*relu, not 'gelu'"),
        ({"seed": None}, TypeError, "seed must be a whole number, not None"),
    ],
)
def test_bad_configs(options, kind, message):
    with pytest.raises(kind, match=message):
        Config(norm=True, **options)


@pytest.mark.parametrize("unit", [7, 100])
def test_a_unit_that_is_not_there_is_told(data, unit):
    with pytest.raises(ValueError, match=f"unit must lie in 0 to 6, not {unit}"):
        run(Config(norm=True, hidden=7), data, unit)


def test_it_can_be_measured_at_chosen_steps(data):
    config = Config(norm=True, steps=20, every=5, hidden=7)
    each, chosen = run(config, data), run(config, data, at=(0, 5, 20))
    assert chosen.steps.tolist() == [0, 5, 20]
    assert np.array_equal(chosen.percentiles, each.percentiles[[0, 1, 4]])
    assert np.array_equal(chosen.accuracy, each.accuracy[[0, 1, 4]])


def test_a_measurement_beyond_the_end_is_told(data):
    with pytest.raises(ValueError, match="at must end with the last step, 20, not 30"):
        run(Config(norm=True, steps=20, hidden=7), data, at=(0, 30))


@pytest.mark.parametrize("steps", [10, 15, 1500, 50_000])
def test_milestones_rise_from_the_start_to_the_end(steps):
    found = milestones(steps)
    assert found[0] == 0 and found[-1] == steps and (np.diff(found) > 0).all()
    assert len(found) < 46 and all(step % 10 == 0 for step in found[:-1])


def test_milestones_suit_both_kinds_of_axes():
    found = milestones(50_000)
    assert set(range(0, 50_001, 2500)) <= set(found)
    assert sum(step < 500 for step in found) > 10


CONFIG = {"data": "digits", "norm": True, "std": 0.1, "lr": 0.5, "steps": 30}


def test_a_cell_is_a_run_on_binary_images(data):
    found = measure(CONFIG, seed=3)
    same = run(Config(True, 0.1, 0.5, steps=30, seed=3), data, at=milestones(30))
    assert {name: a.shape for name, a in found.items()} == {
        "steps": (4,), "accuracy": (4,), "percentiles": (4, 3)
    }  # fmt: skip
    for name, values in found.items():
        assert np.array_equal(values, getattr(same, name))


def test_a_cell_that_diverges_is_a_cell():
    with np.errstate(all="ignore"):
        found = measure(CONFIG | {"norm": False, "lr": 1e38}, seed=0)
    assert not np.isfinite(found["percentiles"]).all() and len(found["steps"]) == 4


def test_mnist_is_taken_where_it_is_asked_for(monkeypatch, data):
    two_nets._binary.cache_clear()
    monkeypatch.setattr(two_nets, "mnist", lambda binary: data if binary else None)
    try:
        found = measure(CONFIG | {"data": "mnist"}, seed=3)
    finally:
        two_nets._binary.cache_clear()
    assert np.array_equal(found["accuracy"], measure(CONFIG, seed=3)["accuracy"])


def test_the_grid_is_that_of_the_paper_with_what_it_leaves_open():
    experiment = EXPERIMENTS["two-nets"]
    assert {c["steps"] for c in experiment.configs} == {50_000}
    assert {c["data"] for c in experiment.configs} == {"mnist"}
    assert {c["std"] for c in experiment.configs} == {0.01, 0.1, 0.4}
    assert len({c["lr"] for c in experiment.configs}) >= 3 and len(experiment.seeds) >= 3
    for config in experiment.configs:
        assert {**config, "norm": not config["norm"]} in experiment.configs
    default = Config(norm=True)
    assert (default.batch_size, default.hidden, default.depth) == (60, 100, 3)
    assert {c["data"] for c in experiment.quick} == {"digits"}

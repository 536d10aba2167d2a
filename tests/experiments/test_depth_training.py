"""Deep nets in training: what is built, what is measured, and which of them learn."""

import numpy as np
import pytest

from bncourse import nn
from bncourse.data import digits
from bncourse.experiments import depth_training
from bncourse.experiments.depth_training import EXPERIMENT, network, run

SMALL = {"data": "digits", "depth": 12, "width": 60, "gain": 2, "norm": False, "lr": 0.03}


def test_the_network_ends_in_ten_scores():
    net = network(64, depth=3, width=20, gain=2, norm=True)
    kinds = [type(module) for module in net.layers]
    assert kinds == [nn.Dense, nn.BatchNorm, nn.ReLU] * 3 + [nn.Dense]
    assert [net[k].w.shape for k in (0, 3, 6, 9)] == [(64, 20), (20, 20), (20, 20), (20, 10)]
    assert {net[k].w.dtype.name for k in (0, 3, 6, 9)} == {"float32"}


def test_weights_have_the_variances_that_are_said():
    net = network(300, depth=2, width=400, gain=3.0, norm=False, seed=5)
    found = [net[k].w.var() * len(net[k].w) for k in (0, 2, 4)]
    np.testing.assert_allclose(found, [3, 3, 1], rtol=0.05)


def test_a_run_can_be_repeated_and_depends_on_its_seed():
    config = SMALL | {"steps": 20, "every": 10}
    one, same, other = run(config, 0), run(config, 0), run(config, 1)
    assert one["steps"].tolist() == [0, 10, 20] and one["accuracy"].shape == (3,)
    assert np.array_equal(one["accuracy"], same["accuracy"])
    assert not np.array_equal(one["accuracy"], other["accuracy"])


def test_weights_and_order_have_random_numbers_of_their_own(monkeypatch):
    seen = []

    def spy(net, optimizer, x, labels, steps, batch_size, rng, every, record):
        seen.append((net[0].w[0, 0], rng.standard_normal()))
        return [(0, 0.1)]

    monkeypatch.setattr(depth_training, "fit", spy)
    for seed in (0, 1):
        run(SMALL | {"steps": 1, "every": 1}, seed)
    (w, order), (other_w, other_order) = seen
    assert w != other_w and order != other_order
    assert order != np.random.default_rng(0).standard_normal()  # that would be the weights'


def test_the_test_set_is_standardized_by_the_training_set(monkeypatch):
    seen = []
    monkeypatch.setattr(depth_training, "accuracy", lambda net, x, labels: seen.append(x) or 0.0)
    run(SMALL | {"steps": 0, "every": 1}, 0)
    data = digits()
    wanted = (data.x_test - data.x_train.mean()) / data.x_train.std()
    np.testing.assert_allclose(seen[0], wanted, atol=1e-6)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # what diverges overflows
@pytest.mark.parametrize(
    ("settings", "learns"),
    [
        ({"gain": 2}, True),
        ({"gain": 0.5}, False),
        ({"gain": 16}, False),
        ({"gain": 0.5, "norm": True, "lr": 0.1}, True),
        ({"gain": 16, "norm": True, "lr": 0.3}, True),
    ],
)
def test_which_nets_learn(settings, learns):
    right = run(SMALL | settings | {"steps": 150, "every": 150}, 0)["accuracy"][-1]
    assert right > 0.6 if learns else right < 0.3


def test_the_grid_has_every_net_at_every_rate():
    configs = EXPERIMENT.configs
    for norm, gains in ((False, (1, 1.4, 2, 2.8, 4)), (True, (1, 2, 4))):
        for gain in gains:
            rates = {c["lr"] for c in configs if (c["norm"], c["gain"]) == (norm, gain)}
            assert {0.01, 0.03, 0.1, 0.3} <= rates

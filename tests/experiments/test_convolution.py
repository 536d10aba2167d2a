"""Convolutional nets that are normalized by map or by position: what is built and measured."""

import numpy as np
import pytest

from bncourse import nn
from bncourse.experiments import convolution
from bncourse.experiments.convolution import EXPERIMENT, network, run, shifted, worth

SMALL = {"data": "digits", "norm": "maps", "lr": 1.0, "steps": 8}


@pytest.mark.parametrize(("norm", "count"), [("maps", 112), ("positions", 7840)])
def test_the_numbers_of_parameters_are_those_that_are_told(norm, count):
    layers = [a for a in network(norm, 28, 0).layers if isinstance(a, nn.BatchNorm)]
    assert sum(a.gamma.size + a.beta.size for a in layers) == count


def test_only_what_is_not_normalized_has_a_bias():
    for norm in ("none", "maps", "positions"):
        net = network(norm, 8, 0)
        convolutions = [a for a in net.layers if isinstance(a, nn.Conv2d)]
        assert [a.w.shape[0] for a in convolutions] == [8, 16, 32]
        assert all((a.b is None) == (norm != "none") for a in convolutions)
        assert net.forward(np.zeros((2, 1, 8, 8), "float32"))[0].shape == (2, 10)


def test_all_nets_of_a_seed_begin_with_the_same_weights():
    nets = [network(norm, 8, 3) for norm in ("none", "maps", "positions")]
    for a in nets[1:]:
        assert np.array_equal(a.layers[0].w, nets[0].layers[0].w)
        assert np.array_equal(a.layers[-1].w, nets[0].layers[-1].w)
    assert not np.array_equal(network("none", 8, 4).layers[0].w, nets[0].layers[0].w)


def test_images_move_to_the_right_and_paper_comes_in():
    x = np.arange(12.0).reshape(1, 1, 3, 4) + 1
    assert np.array_equal(shifted(x, 0), x)
    assert shifted(x, 1)[0, 0].tolist() == [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11]]
    with pytest.raises(ValueError, match="pixels"):
        shifted(x, -1)


def test_independent_values_are_worth_their_number_and_equal_ones_are_worth_one():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (4000, 2, 4, 4))
    np.testing.assert_allclose(worth(noise), 16, rtol=0.1)
    np.testing.assert_allclose(worth(np.repeat(noise[..., :1, :1], 4, axis=2)), 1)
    shared = 0.2**0.5 * rng.normal(0, 1, (4000, 2, 1, 1)) + 0.8**0.5 * noise
    np.testing.assert_allclose(worth(shared), 16 / (1 + 15 * 0.2), rtol=0.1)
    assert np.isnan(worth(np.zeros((5, 1, 2, 2)))).all()


def test_a_run_can_be_repeated_and_depends_on_its_seed():
    one, same, other = run(SMALL, 0), run(SMALL, 0), run(SMALL, 1)
    assert one["steps"].tolist() == [0, 2, 4, 6, 8] and one["moved"].shape == (5,)
    assert [one[f"worth{k}"].shape for k in (1, 2, 3)] == [(8,), (16,), (32,)]
    assert all(np.array_equal(one[k], same[k]) for k in one)
    assert not np.array_equal(one["worth1"], other["worth1"])
    assert one["moved"][0] == one["accuracy"][-1]


def test_the_rate_falls_to_zero(monkeypatch):
    seen = []
    monkeypatch.setattr(
        convolution, "fit", lambda net, optimizer, *rest: seen.append(optimizer) or [(0, 0.1)]
    )
    run(SMALL, 0)
    assert "cosine(1.0, 8" in str(seen[0].settings())


def test_the_maps_are_what_the_convolutions_put_out():
    net = network("maps", 8, 0).eval()
    x = np.random.default_rng(0).normal(0, 1, (3, 1, 8, 8)).astype("float32")
    first, *_ = convolution._maps(net, x)
    assert np.array_equal(first, net.layers[0].forward(x)[0])


@pytest.mark.parametrize("norm", ["maps", "positions"])
def test_they_learn_and_a_move_of_half_the_image_undoes_it(norm):
    moved = run({"data": "digits", "norm": norm, "lr": 2.0, "steps": 150}, 0)["moved"]
    assert moved[0] > 0.85 and moved[-1] < 0.6


def test_each_net_has_its_rates():
    chosen = [(c["norm"], c["lr"]) for c in EXPERIMENT.configs]
    assert {("maps", 3.0), ("none", 1.0), ("positions", 3.0)} <= set(chosen)
    assert {lr for norm, lr in chosen if norm == "none"} == {0.1, 0.3, 1.0, 3.0}

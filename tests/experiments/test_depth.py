"""The profile of a deep net is what the chapter's formulas say."""

import numpy as np
import pytest

from bncourse import nn
from bncourse.experiments.depth import EXPERIMENT, layers, profile, run, standardized


def sent(widths, n=60, seed=0, **options):
    """The profile of random layers for random numbers."""
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(0, 1, (n, widths[0])), rng.normal(0, 1, (n, widths[-1]))
    return profile(layers(widths, rng=rng, **options), x, dy)


@pytest.mark.parametrize("gain", [1, 2, 4])
def test_rectifiers_multiply_the_mean_square_by_half_the_gain(gain):
    """In expectation, at every width: here 8, in both directions."""
    found = [sent([8] * 4, n=20, seed=seed, gain=gain) for seed in range(3000)]
    up = np.mean([p.size**2 for p in found], axis=0)
    down = np.mean([p.gradient**2 for p in found], axis=0)
    np.testing.assert_allclose(up, (gain / 2) ** np.arange(4), rtol=0.1)
    np.testing.assert_allclose(down, (gain / 2) ** np.arange(3, -1, -1), rtol=0.1)


def test_going_back_it_is_the_number_of_outputs_that_counts():
    found = [sent([32, 8, 32, 8], n=20, seed=seed) for seed in range(2000)]
    down = np.mean([p.gradient**2 for p in found], axis=0)
    np.testing.assert_allclose(down, [1 / 4, 1, 1 / 4, 1], rtol=0.1)


def test_against_a_net_by_hand():
    rng = np.random.default_rng(1)
    x, dy = rng.normal(0, 1, (7, 5)), rng.normal(0, 1, (7, 3))
    made = layers([5, 4, 3], gain=2, rng=2)
    one, two = made[0][0].w, made[1][0].w
    h = np.maximum(x @ one, 0)
    top = np.maximum(h @ two, 0)
    back = (dy * (top > 0)) @ two.T
    first = (back * (h > 0)) @ one.T
    found = profile(made, x, dy)
    np.testing.assert_allclose(found.size**2, [np.mean(a**2) for a in (x, h, top)])
    np.testing.assert_allclose(
        found.spread**2, [a.var(axis=0).mean() for a in (x, h, top)], rtol=1e-12
    )
    np.testing.assert_allclose(found.gradient**2, [np.mean(a**2) for a in (first, back, dy)])


def test_the_variance_of_the_weights_is_the_gain_by_the_inputs():
    for layer, n_in in zip(layers([400, 300, 500], gain=3.0), (400, 300), strict=True):
        np.testing.assert_allclose(layer[0].w.var() * n_in, 3, rtol=0.02)


def test_batch_norm_does_not_see_the_gain():
    small, large = (sent([50] * 6, gain=gain, norm=True) for gain in (0.1, 1e4))
    np.testing.assert_allclose(small.size, large.size, rtol=2e-3)
    np.testing.assert_allclose(small.gradient, large.gradient, rtol=2e-3)
    np.testing.assert_allclose(small.size[1:], 0.5**0.5, rtol=0.1)


def test_batch_norm_of_weights_below_eps_lets_the_signal_die():
    assert sent([50] * 12, gain=1e-6, norm=True).size[-1] < 1e-6


def test_kinds_of_layers():
    kinds = [[type(m) for m in layer] for layer in layers([3, 4, 5], 1, "tanh", norm=True)]
    assert kinds == [[nn.Dense, nn.BatchNorm, nn.Tanh]] * 2
    plain = layers([3, 4, 5], 1, "sigmoid", dtype="float32")
    assert [[type(m) for m in layer] for layer in plain] == [[nn.Dense, nn.Sigmoid]] * 2
    assert plain[0][0].w.dtype == "float32" and not plain[0][0].b.any()
    assert layers([3, 4], norm=True)[0][0].b is None
    assert layers([3, 4], norm=True)[0][1].gamma.dtype == "float64"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([3, 4], 2, "softplus"), ValueError, "activation must be one of relu, sigmoid, tanh"),
        (([3],), ValueError, "widths must hold"),
        (([3, 4], -1), ValueError, "gain"),
        (([3, 4], "two"), TypeError, "gain"),
    ],
)
def test_bad_input_is_told(arguments, error, words):
    with pytest.raises(error, match=words):
        layers(*arguments)


def test_standardized_by_a_reference():
    x = np.random.default_rng(0).normal(3, 2, (40, 5))
    np.testing.assert_allclose([standardized(x).mean(), standardized(x).std()], [0, 1], atol=1e-12)
    np.testing.assert_allclose(standardized(x[:3], x), (x[:3] - x.mean()) / x.std())


def test_a_run_has_a_value_for_each_layer_and_can_be_repeated():
    config = EXPERIMENT.quick[0] | {"depth": 4, "width": 9}
    one, same, other = run(config, 0), run(config, 0), run(config, 1)
    assert {name: series.shape for name, series in one.items()} == {
        "size": (5,),
        "spread": (5,),
        "gradient": (5,),
    }
    assert one["size"][0] == pytest.approx(1, abs=0.05)
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["size"], other["size"])


def test_a_run_has_the_activation_of_its_config():
    config = {"data": "digits", "depth": 5, "width": 30, "gain": 1, "norm": False}
    sizes = {a: run(config | {"activation": a}, 0)["size"][-1] for a in ("sigmoid", "tanh", "relu")}
    assert 0.45 < sizes["sigmoid"] < 0.6
    assert sizes["relu"] < 0.25 < sizes["tanh"] < 0.45

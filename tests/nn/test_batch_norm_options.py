"""What a batch norm layer can be told: parameters, statistics, ghosts, masks, freezing, sizes."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn
from bncourse.moments import Moments
from bncourse.nn import BatchNorm


@pytest.fixture
def x(rng):
    return rng.normal(2, 3, (8, 3))


@pytest.mark.parametrize(
    ("affine", "names"),
    [(True, {"gamma", "beta"}), (False, set()), ("gamma", {"gamma"}), ("beta", {"beta"})],
)
def test_parameters_come_together_or_alone(x, affine, names):
    layer = BatchNorm(3, affine=affine)
    assert set(layer.parameters()) == names
    y, cache = layer.forward(x)
    layer.backward(y, cache)
    assert set(layer.gradients()) == names


@pytest.mark.parametrize(("variance", "ddof"), [("unbiased", 1), ("biased", 0)])
def test_the_stored_variance_is_the_one_asked_for(x, variance, ddof):
    layer = BatchNorm(3, momentum=1.0, variance=variance, dtype="float64")
    layer.forward(x)
    np.testing.assert_allclose(layer.running_var, x.var(axis=0, ddof=ddof))


def test_without_running_statistics_the_batch_serves_in_evaluation_too(x):
    layer = BatchNorm(3, track_running_stats=False)
    assert layer.running_mean is None and layer.running_var is None
    trained, _ = layer.forward(x)
    evaluated, cache = layer.eval().forward(x)
    assert np.array_equal(trained, evaluated)
    np.testing.assert_allclose(
        layer.backward(x, cache), F.batch_norm_backward(x, F.batch_norm_forward(x)[1])[0]
    )
    assert layer.num_batches_tracked == 0


def test_ghosts_of_a_layer_are_those_of_the_function(x):
    layer = BatchNorm(3, momentum=1.0, virtual_batch_size=4, dtype="float64")
    y, cache = layer.forward(x)
    want, want_cache = F.ghost_batch_norm_forward(x, 4, layer.gamma, layer.beta)
    assert np.array_equal(y, want)
    dx, dgamma, _ = F.ghost_batch_norm_backward(x, want_cache)
    assert np.array_equal(layer.backward(x, cache), dx)
    assert np.array_equal(layer.grads["gamma"], dgamma)
    np.testing.assert_allclose(layer.running_var, x.var(axis=0, ddof=1))  # of the whole batch
    np.testing.assert_allclose(
        layer.eval().forward(x[:1])[0], (x[:1] - x.mean(0)) / np.sqrt(x.var(axis=0, ddof=1) + 1e-5)
    )


def test_masked_values_do_not_enter_the_running_statistics(x):
    mask = np.array([1, 1, 1, 0, 1, 0, 1, 1], bool)
    layer = BatchNorm(3, momentum=1.0, dtype="float64")
    dirty = np.where(mask[:, None], x, np.nan)
    layer.forward(dirty, mask=mask)
    np.testing.assert_allclose(layer.running_mean, x[mask].mean(axis=0))
    np.testing.assert_allclose(layer.running_var, x[mask].var(axis=0, ddof=1))
    before = layer.running_mean
    layer.forward(dirty, mask=np.zeros(8, bool))
    assert layer.running_mean is before and layer.num_batches_tracked == 1


def test_mask_and_ghosts_do_not_go_together(x):
    with pytest.raises(ValueError, match="mask and virtual_batch_size"):
        BatchNorm(3, virtual_batch_size=4).forward(x, mask=np.ones(8, bool))


def test_several_channel_axes_give_one_statistic_for_each_activation(rng):
    x = rng.normal(1, 2, (6, 3, 5))
    layer = BatchNorm((3, 5), axis=(1, 2), momentum=1.0, dtype="float64")
    y, cache = layer.forward(x)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(layer.running_mean, x.mean(axis=0))
    layer.backward(x, cache)
    assert layer.grads["gamma"].shape == (3, 5)
    with pytest.raises(ValueError, match=r"x has \(3, 4\) channels on axis \(1, 2\)"):
        layer.forward(x[:, :, :4])


def test_a_lazy_layer_takes_its_size_from_the_first_input(x):
    layer = BatchNorm(None)
    assert layer.parameters() == {}
    y, _ = layer.forward(x.astype("float32"))
    assert np.array_equal(y, BatchNorm(3).forward(x.astype("float32"))[0])
    assert layer.num_features == 3
    with pytest.raises(ValueError, match="num_features=3"):
        layer.forward(np.ones((4, 2)))


def test_a_frozen_layer_is_as_in_evaluation_and_learns_nothing(x):
    net = nn.Sequential(BatchNorm(3, momentum=1.0), nn.Sigmoid())
    net.forward(x)
    layer = net[0].freeze()
    before = layer.running_mean
    net.train()
    y, cache = net.forward(x[:1])
    assert np.array_equal(y, net.eval().forward(x[:1])[0])
    net.train()
    dx = net.backward(np.ones_like(y), cache)
    assert dx.any() and net.gradients() == {}
    assert layer.running_mean is before and layer.num_batches_tracked == 1
    layer.unfreeze()
    net.forward(x)
    assert layer.num_batches_tracked == 2


def test_what_is_not_tracked_can_be_neither_frozen_nor_observed(x):
    layer = BatchNorm(3, track_running_stats=False)
    for call in (layer.freeze, lambda: layer.observe(x)):
        with pytest.raises(ValueError, match="track_running_stats is False"):
            call()


@pytest.mark.parametrize("sizes", [[8], [1] * 8, [3, 5], [1, 0, 7]])
def test_observed_in_any_portions_the_statistics_are_those_of_the_whole(x, sizes):
    layer = BatchNorm(3, dtype="float64")
    for part in np.split(x, np.cumsum(sizes)[:-1]):
        layer.observe(part)
    np.testing.assert_allclose(layer.running_mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(layer.running_var, x.var(axis=0, ddof=1), rtol=1e-13)
    assert layer.population.count == 8 and layer.num_batches_tracked == 0


def test_a_single_example_observed_says_nothing_about_the_variance(x):
    layer = BatchNorm(3, dtype="float64")
    layer.observe(x[:1])
    assert np.array_equal(layer.running_mean, x[0]) and np.all(layer.running_var == 1)


def test_observing_takes_feature_maps_and_moments(rng):
    maps = rng.standard_normal((4, 3, 5, 5))
    a, b = BatchNorm(3), BatchNorm(3)
    a.observe(maps)
    b.observe(Moments.of(maps, (0, 2, 3)))
    assert np.array_equal(a.running_var, b.running_var)
    assert a.population.count == 100
    with pytest.raises(ValueError, match="moments are of shape"):
        a.observe(Moments.of(maps[:, :1], (0, 2, 3)))
    assert a.population.count == 100


def test_reset_forgets_all(x):
    layer = BatchNorm(3)
    layer.forward(x)
    layer.observe(x)
    layer.reset_running_stats()
    assert np.all(layer.running_mean == 0) and np.all(layer.running_var == 1)
    assert layer.num_batches_tracked == 0 and layer.population is None


def test_two_forwards_before_one_backward_do_not_disturb_each_other(x):
    layer = BatchNorm(3, dtype="float64")
    _, cache = layer.forward(x)
    expected = layer.backward(x, cache)
    layer.forward(10 * x + 3)
    assert np.array_equal(layer.backward(x, cache), expected)

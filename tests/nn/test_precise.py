"""Exact population statistics: independent of the cut, of what was there before, and of lag."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn


def network(seed=0):
    return nn.Sequential(
        nn.Dense(3, 5, rng=seed, dtype="float64"),
        nn.BatchNorm(5, dtype="float64"),
        nn.ReLU(),
        nn.Dense(5, 4, rng=seed + 1, dtype="float64"),
        nn.BatchNorm(4, dtype="float64"),
    )


@pytest.fixture
def x(rng):
    return rng.normal(1, 2, (24, 3))


def test_each_layer_gets_the_statistics_of_what_reaches_it_in_evaluation(x):
    net = nn.precise(network(), [x])
    a = x @ net[0].w + net[0].b
    np.testing.assert_allclose(net[1].running_mean, a.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(net[1].running_var, a.var(axis=0, ddof=1), rtol=1e-12)
    y = F.batch_norm_inference(a, net[1].gamma, net[1].beta, a.mean(0), a.var(0, ddof=1))
    b = np.maximum(y, 0) @ net[3].w + net[3].b
    np.testing.assert_allclose(net[4].running_mean, b.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(net[4].running_var, b.var(axis=0, ddof=1), rtol=1e-12)


@pytest.mark.parametrize("sizes", [[12, 12], [1, 2, 3, 18], [1] * 24, [5, 0, 19]])
def test_the_cut_into_batches_does_not_matter(x, sizes):
    whole = nn.precise(network(), [x])
    parts = nn.precise(network(), np.split(x, np.cumsum(sizes)[:-1]))
    for k in (1, 4):
        np.testing.assert_allclose(parts[k].running_mean, whole[k].running_mean, rtol=1e-12)
        np.testing.assert_allclose(parts[k].running_var, whole[k].running_var, rtol=1e-12)


def test_what_was_there_before_does_not_matter(x):
    net = network()
    net.forward(100 * x)
    nn.precise(net, [x])
    assert np.array_equal(net[4].running_var, nn.precise(network(), [x])[4].running_var)
    assert net[1].num_batches_tracked == 0


def test_modes_are_as_before_and_frozen_layers_are_left_alone(x):
    net = network()
    net[1].freeze()
    net[3].eval()
    before = net[1].running_mean
    nn.precise(net, [x])
    assert net.training and net[1].training and not net[3].training
    assert net[1].running_mean is before and net[1].frozen
    assert "forward" not in vars(net[4])


def test_a_failure_leaves_everything_as_it_was(x):
    net = network()
    net.forward(x)
    before = net.state_dict()
    with pytest.raises(ValueError, match="x has shape"):
        nn.precise(net, [x, x[:, :2]])
    with pytest.raises(ValueError, match="at least two values for each channel"):
        nn.precise(net, [x[:1]])
    with pytest.raises(TypeError, match="batches must be a sequence"):
        nn.precise(net, iter([x]))
    after = net.state_dict()
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[k], after[k]) for k in before)
    assert net.training

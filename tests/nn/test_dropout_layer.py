import numpy as np
import pytest

from bncourse import nn

X = np.ones((50, 40))


def test_each_forward_pass_draws_anew_and_each_backward_uses_its_own_mask():
    layer = nn.Dropout(0.5, rng=1)
    (y1, cache1), (y2, cache2) = layer.forward(X), layer.forward(X)
    assert not np.array_equal(y1, y2)
    assert np.array_equal(layer.backward(X, cache1), y1)
    assert np.array_equal(layer.backward(X, cache2), y2)


def test_in_evaluation_nothing_happens():
    layer = nn.Dropout(0.9).eval()
    before = layer.rng.bit_generator.state
    y, cache = layer.forward(X)
    assert np.array_equal(y, X) and np.array_equal(layer.backward(2 * X, cache), 2 * X)
    assert layer.rng.bit_generator.state == before


def test_a_cache_remembers_the_mode_of_its_own_pass():
    layer = nn.Dropout(0.5)
    y, cache = layer.forward(X)
    assert np.array_equal(layer.eval().backward(X, cache), y)
    _, cache = layer.forward(X)
    assert np.array_equal(layer.train().backward(X, cache), X)


def test_seeds_and_shared_generators():
    assert np.array_equal(nn.Dropout(rng=3).forward(X)[0], nn.Dropout(rng=3).forward(X)[0])
    rng = np.random.default_rng(3)
    first, second = nn.Dropout(rng=rng), nn.Dropout(rng=rng)
    assert not np.array_equal(first.forward(X)[0], second.forward(X)[0])


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox])
def test_a_state_goes_on_where_it_was_saved(kind):
    net = nn.Sequential(nn.Dropout(0.5, np.random.Generator(kind(7))))
    net.forward(X)
    state = net.state_dict()
    expected = [net.forward(X)[0] for _ in range(2)]
    other = nn.Sequential(nn.Dropout(0.5, np.random.Generator(kind(8))))
    other.load_state_dict(state)
    assert all(np.array_equal(other.forward(X)[0], y) for y in expected)


def test_a_state_without_chance_leaves_the_generator_alone():
    layer = nn.Dropout(rng=2)
    layer.load_state_dict({})
    assert np.array_equal(layer.forward(X)[0], nn.Dropout(rng=2).forward(X)[0])


def test_bad_input():
    for p, kind, message in (
        (1.5, ValueError, r"p must lie in \[0, 1\], not 1.5"),
        ("a", TypeError, "p must be a number"),
    ):
        with pytest.raises(kind, match=message):
            nn.Dropout(p)
    layer = nn.Dropout()
    for net in (layer, layer.eval()):
        with pytest.raises(TypeError, match="x has dtype int64"):
            net.forward(X.astype(int))
    with pytest.raises(ValueError, match=r"dy has shape \(40,\)"):
        layer.backward(X[0], layer.forward(X)[1])
    with pytest.raises(TypeError, match="cache must be an array"):
        layer.backward(X, None)

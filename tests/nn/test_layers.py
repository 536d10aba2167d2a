import numpy as np
import pytest

from bncourse import nn
from bncourse.gradcheck import central_difference, relative_error


def small_net(dtype="float64"):
    return nn.Sequential(
        nn.Dense(5, 4, bias=False, rng=1, dtype=dtype),
        nn.BatchNorm(4, dtype=dtype),
        nn.Sigmoid(),
        nn.Dense(4, 3, rng=2, dtype=dtype),
        nn.Tanh(),
        nn.ReLU(),
    )


def test_dense_is_drawn_from_its_seed():
    layer = nn.Dense(500, 400, rng=3)
    assert layer.w.shape == (500, 400) and layer.w.dtype == layer.b.dtype == "float32"
    assert np.array_equal(layer.w, nn.Dense(500, 400, rng=3).w)
    assert not np.array_equal(layer.w, nn.Dense(500, 400, rng=4).w)
    assert np.isclose(layer.w.std(), (2 / 500) ** 0.5, rtol=0.01) and not layer.b.any()
    assert np.isclose(nn.Dense(500, 400, std=0.01).w.std(), 0.01, rtol=0.01)
    assert not nn.Dense(5, 4, std=0).w.any()


def test_a_shared_generator_goes_on():
    rng = np.random.default_rng(0)
    assert not np.array_equal(nn.Dense(5, 4, rng=rng).w, nn.Dense(5, 4, rng=rng).w)


def test_without_bias_there_is_none():
    assert nn.Dense(5, 4, bias=False).b is None
    assert list(nn.Dense(5, 4, bias=False).parameters()) == ["w"]


@pytest.mark.parametrize(
    "options, kind, message",
    [
        ({"n_in": 0}, ValueError, "n_in must be at least 1, not 0"),
        ({"n_out": -1}, ValueError, "n_out must be at least 1, not -1"),
        ({"n_in": 2.5}, TypeError, "n_in must be a whole number, not 2.5"),
        ({"std": -1}, ValueError, "std must be finite and at least 0, not -1"),
        ({"std": float("nan")}, ValueError, "std must be finite and at least 0, not nan"),
        ({"std": "0.1"}, TypeError, "std must be a number"),
        ({"dtype": "int8"}, TypeError, "dtype must be a floating dtype"),
    ],
)
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        nn.Dense(**{"n_in": 5, "n_out": 4, **options})


def test_a_chain_is_its_layers_one_after_the_other(rng):
    net, x = small_net(), rng.standard_normal((7, 5))
    y, caches = net.forward(x)
    for layer in small_net().layers:
        x, _ = layer.forward(x)
    assert np.array_equal(x, y) and len(caches) == len(net) == 6
    assert net[1] is net.layers[1]


def test_the_gradients_of_a_chain_agree_with_central_differences(rng):
    net, x = small_net(), rng.standard_normal((7, 5))
    y, cache = net.forward(x)
    dy = rng.standard_normal(y.shape)
    dx = net.backward(dy, cache)
    assert relative_error(dx, central_difference(lambda v: net.forward(v)[0], x, dy)) < 1e-8
    for name, parameter in net.parameters().items():

        def output(value, parameter=parameter):
            keep = parameter.copy()
            parameter[:] = value
            y, _ = net.forward(x)
            parameter[:] = keep
            return y

        expected = central_difference(output, parameter, dy)
        assert relative_error(net.gradients()[name], expected) < 1e-8, name


@pytest.mark.parametrize("layer", [nn.Dense(5, 5), nn.Sigmoid(), nn.ReLU(), nn.Tanh()])
def test_layers_keep_nothing_between_forward_and_backward(rng, layer):
    x, dy = rng.standard_normal((2, 2, 7, 5)).astype("float32")
    caches = [layer.forward(v)[1] for v in x]
    mixed = [layer.backward(g, c) for g, c in zip(dy, caches, strict=True)]
    alone = [layer.backward(g, layer.forward(v)[1]) for g, v in zip(dy, x, strict=True)]
    assert all(map(np.array_equal, mixed, alone))


@pytest.mark.parametrize("bad", [None, nn.Dense, np.tanh])
def test_only_layers_make_a_chain(bad):
    with pytest.raises(TypeError, match="layer 1 must be a Module, not"):
        nn.Sequential(nn.Tanh(), bad)


@pytest.mark.parametrize("cache", [None, (), (1,), [None] * 6])
def test_a_cache_of_something_else_is_told(cache):
    with pytest.raises(ValueError, match="cache must be the tuple of 6 that forward"):
        small_net().backward(np.ones((7, 3)), cache)


def test_an_empty_chain_is_the_identity():
    x = np.ones((2, 3))
    y, cache = nn.Sequential().forward(x)
    assert y is x and nn.Sequential().backward(y, cache) is y

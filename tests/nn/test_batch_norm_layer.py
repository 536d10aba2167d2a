"""The layer: PyTorch's running statistics, written out by hand, and what bad input leaves alone."""

import array_api_strict as strict
import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn
from bncourse.nn import BatchNorm


def batches(rng, shape=(7, 3), count=4):
    return [rng.standard_normal(shape) * (i + 1) + i for i in range(count)]


def state(layer):
    parts = (layer.running_mean, layer.running_var, layer.num_batches_skipped)
    return [np.array(a) for a in parts] + [layer.num_batches_tracked]


def moved(layer, place):
    """The layer with its arrays in a place; ``to`` knows only NumPy and CuPy."""
    for name in (*layer.parameter_names, *layer.buffer_names):
        if getattr(layer, name) is not None:
            setattr(layer, name, place.put(getattr(layer, name)))
    return layer


def test_a_new_layer_is_the_identity_of_its_statistics():
    layer = BatchNorm(3)
    assert layer.running_mean.tolist() == [0, 0, 0] and layer.running_var.tolist() == [1, 1, 1]
    assert layer.gamma.tolist() == [1, 1, 1] and layer.beta.tolist() == [0, 0, 0]
    assert layer.num_batches_tracked == 0 and layer.training
    assert (layer.eps, layer.momentum) == (1e-5, 0.1)
    arrays = (layer.gamma, layer.beta, layer.running_mean, layer.running_var)
    assert {a.dtype for a in arrays} == {np.dtype("float32")}


@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0, 0.25, np.float32(0.25)])
@pytest.mark.parametrize("shape, axes", [((7, 3), 0), ((2, 3), 0), ((5, 3, 2), (0, 2))])
def test_running_statistics_follow_pytorch(rng, momentum, shape, axes):
    layer = BatchNorm(3, momentum=momentum, dtype="float64")
    mean, var = np.zeros(3), np.ones(3)
    for n, x in enumerate(batches(rng, shape), start=1):
        layer.forward(x)
        m = x.size // 3
        mean = (1 - float(momentum)) * mean + float(momentum) * x.mean(axis=axes)
        var = (1 - float(momentum)) * var + float(momentum) * x.var(axis=axes) * m / (m - 1)
        np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(layer.running_var, var, rtol=1e-12)
        assert layer.num_batches_tracked == n


def test_running_statistics_by_numbers():
    """x = 0, 2: mean 1, unbiased variance 2. From 0 and 1 a tenth of the way: 0.1 and 1.1."""
    layer = BatchNorm(1, dtype="float64")
    layer.forward(np.array([[0.0], [2.0]]))
    np.testing.assert_allclose([layer.running_mean[0], layer.running_var[0]], [0.1, 1.1])


def test_without_momentum_all_batches_count_alike(rng):
    layer = BatchNorm(3, momentum=None, dtype="float64")
    seen = batches(rng)
    for x in seen:
        layer.forward(x)
    means = [x.mean(axis=0) for x in seen]
    variances = [x.var(axis=0, ddof=1) for x in seen]
    np.testing.assert_allclose(layer.running_mean, np.mean(means, axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.running_var, np.mean(variances, axis=0), rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_everywhere(home, rng, momentum):
    place, dtype = home
    layer = moved(BatchNorm(3, momentum=momentum, dtype=dtype), place)
    peer = BatchNorm(3, momentum=momentum, dtype="float64")
    for x in batches(rng):
        x = x.astype(dtype)
        y, cache = layer.forward(place.put(x))
        dx = layer.backward(y, cache)
        peer.forward(x.astype("float64"))
        assert {str(place.get(a).dtype) for a in (y, dx, layer.running_var)} == {dtype}
    limit = 10 * place.accurate(dtype)
    np.testing.assert_allclose(place.get(layer.running_mean), peer.running_mean, limit, 10 * limit)
    np.testing.assert_allclose(place.get(layer.running_var), peer.running_var, limit)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_what_has_no_weight_does_not_matter_not_even_infinity(rng):
    """An infinite variance, of values too large to be squared, times a weight of 0 would be NaN."""
    x, huge = rng.standard_normal((7, 3)), np.full((7, 3), 1e200) * rng.standard_normal((7, 1))
    newest = nn.BatchNorm(3, momentum=1, dtype="float64")
    newest.forward(huge)
    assert np.isinf(newest.running_var).all()
    y, _ = newest.eval().forward(huge)
    assert np.array_equal(y, np.zeros_like(y))
    newest.train().forward(x)
    np.testing.assert_allclose(newest.running_var, x.var(axis=0, ddof=1))
    first = nn.BatchNorm(3, momentum=0, dtype="float64")
    first.forward(huge)
    assert np.array_equal(first.running_var, np.ones(3)) and first.num_batches_tracked == 1


def test_what_one_holds_of_running_statistics_stays_as_it_was(rng):
    layer = BatchNorm(3)
    held = layer.running_mean, layer.running_var
    layer.forward(batches(rng)[1])
    assert held[0].tolist() == [0, 0, 0] and held[1].tolist() == [1, 1, 1]


def test_evaluation_uses_running_statistics_and_leaves_them(rng):
    layer = BatchNorm(3, eps=1e-2)
    layer.gamma[:], layer.beta[:] = [1, 2, 3], [0, 1, 2]
    for x in batches(rng):
        layer.forward(x.astype("float32"))
    before = state(layer)
    x = batches(rng)[2].astype("float32")
    y, cache = layer.eval().forward(x)
    std = np.sqrt(layer.running_var + 1e-2)
    expected = layer.gamma * (x - layer.running_mean) / std + layer.beta
    np.testing.assert_allclose(y, expected, 1e-5, 1e-6)
    one, _ = layer.forward(x[:1])
    assert np.array_equal(one, y[:1])
    assert all(map(np.array_equal, state(layer), before))


def test_in_evaluation_the_statistics_are_constants_for_the_gradient(rng):
    layer = BatchNorm(3, dtype="float64").eval()
    layer.gamma[:], layer.running_mean, layer.running_var = [1, 2, 3], np.arange(3.0), np.ones(3)
    x, dy = rng.standard_normal((2, 7, 3))
    y, cache = layer.forward(x)
    np.testing.assert_allclose(layer.backward(dy, cache), layer.gamma * dy / np.sqrt(1 + 1e-5))
    x_hat = (x - np.arange(3.0)) / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(layer.grads["gamma"], (dy * x_hat).sum(axis=0))
    np.testing.assert_allclose(layer.grads["beta"], dy.sum(axis=0))


def test_applied_twice_before_going_back_it_adds_up_the_right_gradients(rng):
    layer = BatchNorm(3, dtype="float64")
    layer.gamma[:] = [1, 2, 3]
    first, second = batches(rng)[:2]
    dy = rng.standard_normal((2, 7, 3))
    caches = [layer.forward(x)[1] for x in (first, second)]
    for upstream, cache, x in zip(dy, caches, (first, second), strict=True):
        expected = F.batch_norm_backward(
            upstream, F.batch_norm_forward(x, layer.gamma, layer.beta)[1]
        )
        assert np.array_equal(layer.backward(upstream, cache), expected[0])
    x_hats = [cache.x_hat for cache in caches]
    np.testing.assert_allclose(layer.grads["gamma"], (dy * x_hats).sum(axis=(0, 1)), rtol=1e-12)
    np.testing.assert_allclose(layer.grads["beta"], dy.sum(axis=(0, 1)), rtol=1e-12)


def test_without_affine_there_is_nothing_to_learn(rng):
    layer = BatchNorm(3, affine=False)
    y, cache = layer.forward(rng.standard_normal((7, 3)))
    layer.backward(y, cache)
    assert layer.parameters() == layer.gradients() == {}


@pytest.mark.parametrize("axis", [-1, 2, np.int64(2)])
def test_the_channel_axis_may_be_another(rng, axis):
    layer = BatchNorm(3, axis=axis, dtype="float64")
    x = rng.standard_normal((5, 2, 3))
    y, _ = layer.forward(x)
    np.testing.assert_allclose(y, F.batch_norm_forward(x, axis=-1)[0])
    np.testing.assert_allclose(layer.running_mean, 0.1 * x.mean(axis=(0, 1)))


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 5), (2, 3, 0)])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_an_empty_batch_leaves_the_statistics(rng, shape, momentum):
    layer = BatchNorm(3, momentum=momentum)
    layer.forward(rng.standard_normal((7, 3)))
    before = state(layer)
    y, cache = layer.forward(np.ones(shape))
    assert y.shape == layer.backward(y, cache).shape == shape
    assert all(map(np.array_equal, state(layer), before))


def with_nan(bad=np.nan):
    x = np.random.default_rng(1).standard_normal((7, 3))
    x[2, 1] = bad
    return x


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
class TestOnNonfinite:
    def test_propagate_lets_it_into_its_channel(self, bad):
        layer = BatchNorm(3)
        layer.forward(with_nan(bad))
        assert np.isfinite(layer.running_mean).tolist() == [True, False, True]
        assert np.isfinite(layer.running_var).tolist() == [True, False, True]

    def test_raise_changes_nothing(self, bad):
        layer = BatchNorm(3, on_nonfinite="raise")
        layer.forward(with_nan(0))
        before = state(layer)
        with pytest.raises(ValueError, match="x holds NaN or infinity.*on_nonfinite='skip'"):
            layer.forward(with_nan(bad))
        assert all(map(np.array_equal, state(layer), before))

    def test_skip_leaves_only_that_channel(self, bad):
        layer = BatchNorm(3, on_nonfinite="skip", dtype="float64")
        layer.forward(with_nan(bad))
        x = with_nan(bad)
        expected_mean, expected_var = 0.1 * x.mean(axis=0), 0.9 + 0.1 * x.var(axis=0, ddof=1)
        expected_mean[1], expected_var[1] = 0, 1
        np.testing.assert_allclose(layer.running_mean, expected_mean)
        np.testing.assert_allclose(layer.running_var, expected_var)
        assert layer.num_batches_tracked == 1
        assert layer.num_batches_skipped.tolist() == [0, 1, 0]

    @pytest.mark.parametrize("place_of_the_bad", [0, 1, 2])
    def test_skip_and_no_momentum_average_what_was_kept(self, bad, place_of_the_bad, rng):
        layer = BatchNorm(3, momentum=None, on_nonfinite="skip", dtype="float64")
        seen = batches(rng, count=3)
        seen[place_of_the_bad][0, 1] = bad
        for x in seen:
            layer.forward(x)
        for channel in range(3):
            kept = [x[:, channel] for x in seen if np.isfinite(x[:, channel]).all()]
            mean, var = np.mean(kept, axis=1).mean(), np.var(kept, axis=1, ddof=1).mean()
            np.testing.assert_allclose(layer.running_mean[channel], mean)
            np.testing.assert_allclose(layer.running_var[channel], var)


@pytest.mark.parametrize("mode", ["raise", "skip"])
def test_on_nonfinite_everywhere(place, mode, rng):
    layer = moved(BatchNorm(3, momentum=None, on_nonfinite=mode), place)
    layer.forward(place.put(batches(rng)[0], "float32"))
    assert np.isfinite(place.get(layer.running_var)).all()


BAD_OPTIONS = [
    ({"num_features": 0}, ValueError, "num_features must be at least 1, not 0"),
    ({"num_features": 2.5}, TypeError, "num_features must be a whole number, not 2.5"),
    ({"num_features": "3"}, TypeError, "num_features must be a whole number, not '3'"),
    ({"eps": 0}, ValueError, "eps must be positive, not 0"),
    ({"eps": -1e-5}, ValueError, "eps must be positive, not -1e-05"),
    ({"eps": float("nan")}, ValueError, "eps must be finite, not nan"),
    ({"eps": float("inf")}, ValueError, "eps must be finite, not inf"),
    ({"eps": None}, TypeError, "eps must be a number, not None"),
    ({"eps": "1e-5"}, TypeError, "eps must be a number"),
    ({"eps": True}, TypeError, "eps must be a number, not True"),
    ({"momentum": 1.1}, ValueError, r"momentum must lie in \[0, 1\], not 1.1"),
    ({"momentum": -0.1}, ValueError, r"momentum must lie in \[0, 1\], not -0.1"),
    ({"momentum": float("nan")}, ValueError, r"momentum must lie in \[0, 1\], not nan"),
    ({"momentum": True}, TypeError, "momentum must be a number, not True"),
    ({"momentum": "0.1"}, TypeError, "momentum must be a number"),
    ({"axis": 1.0}, TypeError, "axis must be an int or a tuple of ints, not 1.0"),
    ({"axis": (1, 2)}, ValueError, r"num_features is 3, but axis is \(1, 2\)"),
    ({"affine": "both"}, ValueError, "affine must be True, False, 'gamma' or 'beta', not 'both'"),
    ({"variance": "sample"}, ValueError, "variance must be 'unbiased' or 'biased', not 'sample'"),
    ({"virtual_batch_size": 0}, ValueError, "virtual_batch_size must be at least 1, not 0"),
    ({"axis": None}, TypeError, "axis must be an int or a tuple of ints, not None"),
    ({"on_nonfinite": "ignore"}, ValueError, "on_nonfinite must be .* not 'ignore'"),
    ({"on_nonfinite": None}, ValueError, "on_nonfinite must be .* not None"),
    ({"dtype": "int32"}, TypeError, "dtype must be a floating dtype .* not 'int32'"),
    ({"dtype": "complex64"}, TypeError, "dtype must be a floating dtype"),
]


@pytest.mark.parametrize("options, kind, message", BAD_OPTIONS, ids=str)
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        BatchNorm(**{"num_features": 3, **options})


X = np.arange(21.0).reshape(7, 3)
BAD_X = [
    (None, TypeError, "x must be an array, not NoneType"),
    (X.tolist(), TypeError, "x must be an array, not list"),
    (X.astype(int), TypeError, "x has dtype int64"),
    (X + 0j, TypeError, "x is complex"),
    (np.ma.masked_array(X, X > 9), TypeError, "x is a MaskedArray"),
    (X[:, :2], ValueError, "x has 2 channels on axis 1, but .* num_features=3"),
    (X[:, :1], ValueError, "x has 1 channels on axis 1, but .* num_features=3"),
    (X[0], ValueError, "x must have at least 2 axes"),
    (np.array(1.0), ValueError, "x must have at least 2 axes"),
    (strict.asarray(X), TypeError, "x lives in array_api_strict .* but running_mean in numpy"),
]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("x, kind, message", BAD_X, ids=[m for *_, m in BAD_X])
def test_bad_x_changes_nothing(x, kind, message, affine, training):
    layer = BatchNorm(3, affine=affine).train(training)
    before = state(layer)
    with pytest.raises(kind, match=message):
        layer.forward(x)
    assert all(map(np.array_equal, state(layer), before))


@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_that_x_does_not_have_is_told(axis):
    with pytest.raises(ValueError, match=f"axis {axis} does not exist: x has 2 axes"):
        BatchNorm(3, axis=axis).forward(X)


def test_one_value_per_channel_changes_nothing_in_training_and_passes_in_evaluation():
    layer = BatchNorm(3)
    before = state(layer)
    with pytest.raises(ValueError, match="one value per channel"):
        layer.forward(X[:1])
    assert all(map(np.array_equal, state(layer), before))
    assert layer.eval().forward(X[:1])[0].shape == (1, 3)


@pytest.mark.parametrize("dy, kind", [(X[:2], ValueError), (None, TypeError), (X > 0, TypeError)])
def test_a_bad_upstream_gradient_leaves_the_gradients(dy, kind):
    layer = BatchNorm(3)
    y, cache = layer.forward(X)
    layer.backward(y, cache)
    before = {name: g.copy() for name, g in layer.grads.items()}
    with pytest.raises(kind, match="dy"):
        layer.backward(dy, cache)
    assert all(np.array_equal(layer.grads[name], g) for name, g in before.items())


def test_the_bias_of_the_layer_before_has_no_gradient(rng):
    net = nn.Sequential(nn.Dense(5, 3, rng=1, dtype="float64"), BatchNorm(3, dtype="float64"))
    y, cache = net.forward(rng.standard_normal((7, 5)))
    net.backward(rng.standard_normal(y.shape), cache)
    assert np.max(np.abs(net.gradients()["0.b"])) < 1e-13

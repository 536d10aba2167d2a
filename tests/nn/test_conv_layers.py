"""Convolutions as layers: their parameters, and that a layer adds nothing to the function."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn
from bncourse.gradcheck import central_difference, relative_error

MAKERS = {
    "conv": lambda **k: nn.Conv2d(4, 6, (3, 2), **{"dtype": "float64", **k}),
    "transpose": lambda **k: nn.ConvTranspose2d(4, 6, (3, 2), **{"dtype": "float64", **k}),
}
makers = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def test_a_layer_is_its_function(rng):
    x = rng.standard_normal((2, 4, 5, 6))
    conv = nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), 2, rng=3, dtype="float64")
    conv.b += rng.standard_normal(6)
    y, cache = conv.forward(x)
    assert np.array_equal(y, F.conv_forward(x, conv.w, conv.b, (2, 1), (1, 0), 2)[0])
    dx = conv.backward(y, cache)
    for found, wanted in zip(
        (dx, conv.grads["w"], conv.grads["b"]), F.conv_backward(y, cache), strict=True
    ):
        assert np.array_equal(found, wanted)


def test_a_transposed_layer_is_its_function(rng):
    x = rng.standard_normal((2, 4, 5, 6))
    layer = nn.ConvTranspose2d(4, 6, (3, 2), 2, (1, 0), (0, 1), 2, rng=3, dtype="float64")
    layer.b += rng.standard_normal(6)
    y, cache = layer.forward(x)
    expected = F.conv_transpose_forward(x, layer.w, layer.b, 2, (1, 0), (0, 1), 2)[0]
    assert np.array_equal(y, expected)
    dx = layer.backward(y, cache)
    for found, wanted in zip(
        (dx, layer.grads["w"], layer.grads["b"]), F.conv_transpose_backward(y, cache), strict=True
    ):
        assert np.array_equal(found, wanted)


@makers
def test_a_layer_applied_twice_before_going_back(rng, make):
    layer = make(padding=1)
    first, second = rng.standard_normal((2, 2, 4, 5, 6))
    y1, cache1 = layer.forward(first)
    y2, cache2 = layer.forward(second)
    dy1, dy2 = rng.standard_normal((2, *y1.shape))
    dx1 = layer.backward(dy1, cache1)
    dx2 = layer.backward(dy2, cache2)
    once = make(padding=1)
    both, cache = once.forward(np.concatenate([first, second]))
    dx = once.backward(np.concatenate([dy1, dy2]), cache)
    np.testing.assert_allclose(np.concatenate([y1, y2]), both, rtol=1e-12)
    np.testing.assert_allclose(np.concatenate([dx1, dx2]), dx, rtol=0, atol=1e-12)
    for name, gradient in once.grads.items():
        np.testing.assert_allclose(layer.grads[name], gradient, rtol=0, atol=1e-12)


@makers
def test_parameters_their_names_dtypes_and_seeds(make):
    layer = make(groups=2, dtype="float32", rng=1)
    assert list(layer.parameters()) == ["w", "b"]
    assert layer.w.dtype == layer.b.dtype == "float32" and not layer.b.any()
    assert np.array_equal(layer.w, make(groups=2, dtype="float32", rng=1).w)
    assert not np.array_equal(layer.w, make(groups=2, dtype="float32", rng=2).w)
    assert list(make(bias=False).parameters()) == ["w"]
    assert np.array_equal(make(std=3, rng=1).w, 3 * make(std=1, rng=1).w)


def test_shapes_of_the_weights_are_those_of_pytorch():
    assert nn.Conv2d(4, 6, (3, 5), groups=2).w.shape == (6, 2, 3, 5)
    assert nn.ConvTranspose2d(4, 6, (3, 5), groups=2).w.shape == (4, 3, 3, 5)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("layer, size", [(nn.Conv2d, 9), (nn.ConvTranspose2d, 24)])
def test_he_initialization_doubles_the_variance_and_relu_halves_it(rng, layer, size, groups):
    """For inputs with mean square 1, outputs away from the border have mean square 2."""
    stride = {"stride": 2} if layer is nn.ConvTranspose2d else {}
    net = layer(64, 64, 4, groups=groups, bias=False, rng=0, dtype="float64", **stride)
    y, _ = net.forward(rng.standard_normal((4, 64, size, size)))
    inside = y[:, :, 4:-4, 4:-4] if stride else y
    assert abs((inside**2).mean() - 2) < 0.1


def residual(width):
    branch = nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False, rng=5, dtype="float64"),
        nn.BatchNorm(width, dtype="float64"),
        nn.Tanh(),
    )
    return nn.Residual(branch)


def test_a_network_of_all_layers_has_the_gradients_of_differences(rng):
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, bias=False, rng=1, dtype="float64"),
        nn.BatchNorm(2, dtype="float64"),
        nn.Tanh(),
        nn.MaxPool2d(2),
        residual(2),
        nn.Residual(
            nn.Conv2d(2, 4, 1, 2, rng=2, dtype="float64"),
            nn.Conv2d(2, 4, 1, 2, rng=3, dtype="float64"),
        ),
        nn.ConvTranspose2d(4, 2, 3, stride=2, output_padding=1, rng=4, dtype="float64"),
        nn.AvgPool2d(2),
        nn.Identity(),
        nn.Flatten(),
        nn.Dense(18, 3, rng=6, dtype="float64"),
    )
    x = rng.standard_normal((3, 1, 8, 8))
    y, cache = net.forward(x)
    dy = rng.standard_normal(y.shape)
    dx = net.backward(dy, cache)
    assert relative_error(dx, central_difference(lambda v: net.forward(v)[0], x, dy)) < 1e-7
    for name, w in net.parameters().items():

        def output(v, w=w):
            before = w.copy()
            w[...] = v
            y = net.forward(x)[0]
            w[...] = before
            return y

        assert relative_error(net.gradients()[name], central_difference(output, w, dy)) < 1e-7


@makers
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_folding_takes_the_batch_norm_in(rng, make, groups, bias):
    net = nn.Sequential(make(groups=groups, bias=bias, padding=1), nn.BatchNorm(6, dtype="float64"))
    norm = net[1]
    norm.gamma[...] = [1, -2, 0, 0.5, 3, -1]
    norm.beta[...] = rng.standard_normal(6)
    for _ in range(3):
        net.forward(rng.standard_normal((8, 4, 5, 6)) + 1)
    x = rng.standard_normal((2, 4, 5, 6))
    expected, _ = net.eval().forward(x)
    y, _ = nn.fold(net).forward(x)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)


BAD = [
    ((0, 6, 3), {}, ValueError, "n_in must be at least 1, not 0"),
    ((4, 6.0, 3), {}, TypeError, "n_out must be a whole number, not 6.0"),
    ((4, 6, 0), {}, ValueError, "kernel must be at least 1, not 0"),
    ((4, 6, (3, 3, 3)), {}, ValueError, "kernel must hold 2 numbers"),
    ((4, 6, 3), {"stride": 0}, ValueError, "stride must be at least 1, not 0"),
    ((4, 6, 3), {"padding": -1}, ValueError, "padding must be at least 0, not -1"),
    ((4, 6, 3), {"groups": 3}, ValueError, "groups must divide n_in=4 and n_out=6, but it is 3"),
    ((4, 6, 3), {"groups": 4}, ValueError, "groups must divide"),
    ((4, 6, 3), {"std": -1}, ValueError, "std must be finite and at least 0, not -1"),
    ((4, 6, 3), {"dtype": "int32"}, TypeError, "dtype must be a floating dtype"),
]


@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("given, options, kind, message", BAD, ids=[m for *_, m in BAD])
def test_bad_options(layer, given, options, kind, message):
    with pytest.raises(kind, match=message):
        layer(*given, **options)


def test_bad_output_padding():
    with pytest.raises(ValueError, match="output_padding must be less than stride"):
        nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=2)


@makers
@pytest.mark.parametrize("shape", [(2, 3, 5, 6), (4, 5, 6), (2, 4, 5)])
def test_an_input_that_does_not_fit_is_told_in_words_of_the_layer(make, shape):
    with pytest.raises(ValueError, match=r"this layer was made for \(N, 4, H, W\)"):
        make().forward(np.ones(shape))


@makers
@pytest.mark.parametrize("x", [None, [1.0], np.ones((2, 4, 5, 6), int)])
def test_an_input_that_is_no_array_of_floats(make, x):
    with pytest.raises(TypeError, match="x (must be an array|has dtype)"):
        make().forward(x)

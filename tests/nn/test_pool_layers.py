import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn


@pytest.mark.parametrize(
    "layer, forward, backward",
    [
        (nn.MaxPool2d((3, 2), 1, (1, 0)), F.max_pool_forward, F.max_pool_backward),
        (nn.AvgPool2d((3, 2), 1, (1, 0)), F.avg_pool_forward, F.avg_pool_backward),
    ],
)
def test_pooling_is_its_function(rng, layer, forward, backward):
    first, second = rng.standard_normal((2, 2, 3, 5, 6))
    y, cache = layer.forward(first)
    layer.forward(second)
    assert np.array_equal(y, forward(first, (3, 2), 1, (1, 0))[0])
    assert np.array_equal(layer.backward(y, cache), backward(y, cache))


@pytest.mark.parametrize("layer", [nn.MaxPool2d, nn.AvgPool2d])
def test_windows_do_not_overlap_by_default(layer):
    assert layer(3).stride == (3, 3)
    assert layer(2).forward(np.ones((1, 2, 5, 7)))[0].shape == (1, 2, 2, 3)


def test_the_global_average_and_flatten_lead_to_rows(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    for layer, shape in ((nn.GlobalAvgPool2d(), (2, 3)), (nn.Flatten(), (2, 60))):
        y, cache = layer.forward(x)
        assert y.shape == shape and layer.backward(y, cache).shape == x.shape
    assert np.array_equal(nn.GlobalAvgPool2d().forward(x)[0], F.global_avg_pool_forward(x)[0])


@pytest.mark.parametrize("layer", [nn.MaxPool2d, nn.AvgPool2d])
@pytest.mark.parametrize(
    "given, kind, message",
    [
        ((0,), ValueError, "kernel must be at least 1, not 0"),
        ((2.0,), TypeError, "kernel must be a whole number or 2 of them"),
        ((2, 0), ValueError, "stride must be at least 1, not 0"),
        ((2, 1, -1), ValueError, "padding must be at least 0, not -1"),
        ((2, 1, 2), ValueError, r"padding must be at most half of kernel, \(2, 2\)"),
    ],
)
def test_bad_options(layer, given, kind, message):
    with pytest.raises(kind, match=message):
        layer(*given)


@pytest.mark.parametrize("layer", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.GlobalAvgPool2d()])
def test_bad_input(layer):
    with pytest.raises(ValueError, match=r"this layer takes \(N, C, H, W\)"):
        layer.forward(np.ones((3, 4, 5)))
    with pytest.raises(TypeError, match="x has dtype int64"):
        layer.forward(np.ones((2, 3, 4, 5), int))

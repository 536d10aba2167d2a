"""Layer, group, instance and RMS norm as layers: the functions, with parameters of their own."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.nn import GroupNorm, InstanceNorm, LayerNorm, RMSNorm

SHAPE = (2, 4, 3, 5)
LAYERS = {
    "layer": (
        lambda **o: LayerNorm(5, **o),
        F.layer_norm_forward,
        F.layer_norm_backward,
        (5,),
    ),
    "layer, two axes": (
        lambda **o: LayerNorm((3, 5), **o),
        lambda x, g, b: F.layer_norm_forward(x, g, b, axis=(-2, -1)),
        F.layer_norm_backward,
        (3, 5),
    ),
    "group": (
        lambda **o: GroupNorm(2, 4, **o),
        lambda x, g, b: F.group_norm_forward(x, 2, g, b),
        F.group_norm_backward,
        (4,),
    ),
    "instance": (
        lambda **o: InstanceNorm(4, **o),
        F.instance_norm_forward,
        F.instance_norm_backward,
        (4,),
    ),
    "rms": (
        lambda **o: RMSNorm(5, **o),
        lambda x, g, b: F.rms_norm_forward(x, g),
        lambda dy, cache: (*F.rms_norm_backward(dy, cache), None),
        (5,),
    ),
}


@pytest.fixture(params=LAYERS)
def case(request):
    return LAYERS[request.param]


def test_a_layer_is_its_function_with_learned_parameters(case, rng):
    make, forward, backward, shape = case
    layer = make(dtype="float64")
    for parameter in layer.parameters().values():
        assert parameter.shape == shape
        parameter[...] = rng.standard_normal(shape)
    x, dy = rng.standard_normal((2, *SHAPE))
    y, cache = layer.forward(x)
    want, want_cache = forward(x, layer.gamma, layer.beta)
    assert np.array_equal(y, want)
    dx, dgamma, dbeta = backward(dy, want_cache)
    assert np.array_equal(layer.backward(dy, cache), dx)
    assert np.array_equal(layer.grads["gamma"], dgamma)
    assert ("beta" in layer.grads) == (dbeta is not None)
    if dbeta is not None:
        assert np.array_equal(layer.grads["beta"], dbeta)


def test_without_parameters_there_is_nothing_to_learn(case, rng):
    layer = case[0](affine=False)
    y, cache = layer.forward(rng.standard_normal(SHAPE))
    layer.backward(y, cache)
    assert layer.parameters() == {} and layer.gradients() == {}


def test_training_and_evaluation_are_the_same(case, rng):
    layer, x = case[0](), rng.standard_normal(SHAPE)
    assert np.array_equal(layer.forward(x)[0], layer.eval().forward(x)[0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: GroupNorm(3, 4), "groups must divide num_features, but they are 3 and 4"),
        (lambda: GroupNorm(2, 4).forward(np.ones((2, 6, 3))), "x has 6 channels on axis 1"),
        (lambda: InstanceNorm(4).forward(np.ones((2, 6, 3))), "x has 6 channels on axis 1"),
        (lambda: LayerNorm((3, 5)).forward(np.ones((2, 5))), "made for"),
        (lambda: LayerNorm(0), "shape must be at least 1"),
        (lambda: LayerNorm(5, eps=0), "eps must be positive"),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(ValueError, match=words):
        call()

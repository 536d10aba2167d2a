"""Layer, group, instance and RMS norm: against loops, complex step, and each other."""

import numpy as np
import pytest
from reference import LONG

from bncourse import functional as F
from bncourse.gradcheck import complex_step, relative_error

SHAPE = (3, 4, 5, 2)


def over(x, axes, centered=True, eps=1e-5):
    """The normalized ``x``, in any precision that ``x`` has, complex too."""
    d = x - x.mean(axis=axes, keepdims=True) if centered else x
    return d / np.sqrt((d * d).mean(axis=axes, keepdims=True) + eps)


def grouped(x, groups):
    n, c, *rest = x.shape
    inner = x.reshape(n, groups, c // groups, *rest)
    return over(inner, tuple(range(2, inner.ndim))).reshape(x.shape)


def along(parameter, axis):
    """A parameter of channels, shaped to broadcast; other parameters do already."""
    return parameter if axis is None else parameter[:, None, None]


NORMS = {
    "layer": (
        lambda x, g, b: F.layer_norm_forward(x, g, b),
        F.layer_norm_backward,
        lambda x: over(x, (-1,)),
        (2,),
    ),
    "layer over two axes": (
        lambda x, g, b: F.layer_norm_forward(x, g, b, axis=(-2, -1)),
        F.layer_norm_backward,
        lambda x: over(x, (-2, -1)),
        (5, 2),
    ),
    "group": (
        lambda x, g, b: F.group_norm_forward(x, 2, g, b),
        F.group_norm_backward,
        lambda x: grouped(x, 2),
        (4,),
    ),
    "instance": (
        lambda x, g, b: F.instance_norm_forward(x, g, b),
        F.instance_norm_backward,
        lambda x: over(x, (2, 3)),
        (4,),
    ),
    "rms": (
        lambda x, g, b: F.rms_norm_forward(x, g),
        F.rms_norm_backward,
        lambda x: over(x, (-1,), centered=False),
        (2,),
    ),
}


@pytest.fixture(params=NORMS)
def norm(request):
    forward, backward, plain, shape = NORMS[request.param]
    channels = shape == (4,)

    def affine(x, g, b):
        g, b = (p[:, None, None] if channels else p for p in (g, b))
        return plain(x) * g + (0 if request.param == "rms" else b)

    return forward, backward, affine, shape


def test_the_output_is_that_of_the_formula(home, norm, rng):
    place, dtype = home
    forward, _, affine, shape = norm
    x = rng.normal(3, 2, SHAPE).astype(dtype)
    g, b = rng.uniform(0.5, 2, shape).astype(dtype), rng.standard_normal(shape).astype(dtype)
    y, _ = forward(place.put(x), place.put(g), place.put(b))
    want = affine(x.astype(LONG), g.astype(LONG), b.astype(LONG))
    y = place.get(y)
    assert y.dtype == dtype
    tolerance = 20 * place.accurate(dtype)
    np.testing.assert_allclose(y, want.astype("float64"), rtol=tolerance, atol=tolerance)


def test_the_gradients_are_those_of_a_complex_step(norm, rng):
    forward, backward, affine, shape = norm
    x, dy = rng.normal(1, 2, SHAPE), rng.standard_normal(SHAPE)
    g, b = rng.uniform(0.5, 2, shape), rng.standard_normal(shape)
    dx, dgamma, *dbeta = backward(dy, forward(x, g, b)[1])
    assert relative_error(dx, complex_step(lambda z: affine(z, g, b), x, dy)) < 1e-12
    assert relative_error(dgamma, complex_step(lambda z: affine(x, z, b), g, dy)) < 1e-12
    for d in dbeta:
        assert relative_error(d, complex_step(lambda z: affine(x, g, z), b, dy)) < 1e-12


def test_gradients_live_where_the_input_does(home, norm, rng):
    place, dtype = home
    forward, backward, _, shape = norm
    x, dy = (place.put(rng.standard_normal(SHAPE), dtype) for _ in range(2))
    g, b = (place.put(rng.standard_normal(shape), dtype) for _ in range(2))
    for gradient, like in zip(backward(dy, forward(x, g, b)[1]), (x, g, b), strict=False):
        assert place.get(gradient).dtype == dtype and gradient.shape == like.shape


def test_without_parameters_nothing_is_scaled(norm, rng):
    forward, backward, affine, shape = norm
    x = rng.standard_normal(SHAPE)
    y, cache = forward(x, None, None)
    np.testing.assert_allclose(y, affine(x, np.ones(shape), np.zeros(shape)), rtol=1e-12)
    assert all(g is None for g in backward(y, cache)[1:])


def test_one_group_is_a_layer_norm_and_as_many_as_channels_an_instance_norm(rng):
    x = rng.standard_normal(SHAPE)
    one, _ = F.group_norm_forward(x, 1)
    np.testing.assert_allclose(one, F.layer_norm_forward(x, axis=(1, 2, 3))[0], rtol=1e-12)
    all_, _ = F.group_norm_forward(x, 4)
    np.testing.assert_allclose(all_, F.instance_norm_forward(x)[0], rtol=1e-12)


def test_instance_norm_of_one_example_is_its_batch_norm(rng):
    x = rng.standard_normal((1, 4, 5, 2))
    np.testing.assert_allclose(
        F.instance_norm_forward(x)[0], F.batch_norm_forward(x)[0], rtol=1e-12
    )


def test_layer_norm_of_a_table_is_batch_norm_of_its_transpose(rng):
    x = rng.standard_normal((6, 7))
    np.testing.assert_allclose(
        F.layer_norm_forward(x)[0], F.batch_norm_forward(x.T)[0].T, rtol=1e-12
    )


def test_far_from_zero_float32_keeps_its_digits(rng):
    x = (rng.standard_normal((4, 4096)) + 1e4).astype("float32")
    y, _ = F.layer_norm_forward(x)
    np.testing.assert_allclose(y, over(x.astype("float64"), (-1,)), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: F.group_norm_forward(x, 3), ValueError, "groups must divide"),
        (lambda x: F.group_norm_forward(x, 0), ValueError, "groups must be at least 1"),
        (lambda x: F.group_norm_forward(x, 2.0), TypeError, "groups must be a whole number"),
        (lambda x: F.group_norm_forward(x, 2, [1.0] * 3), ValueError, r"gamma has shape \(3,\)"),
        (lambda x: F.instance_norm_forward(x[..., 0, 0]), ValueError, "needs positions"),
        (lambda x: F.layer_norm_forward(x, axis=4), ValueError, "axis 4 does not exist"),
        (lambda x: F.layer_norm_forward(x, axis=()), ValueError, "at least one axis"),
        (lambda x: F.layer_norm_forward(x, eps=0), ValueError, "eps must be positive"),
        (lambda x: F.layer_norm_forward(x.astype(int)), TypeError, "x has dtype int"),
        (lambda x: F.layer_norm_forward(x, [1.0] * 3), ValueError, r"gamma has shape \(3,\)"),
        (lambda x: F.layer_norm_backward(x, None), TypeError, "cache must be the second value"),
        (lambda x: F.group_norm_backward(x, None), TypeError, "cache must be the second value"),
        (lambda x: F.rms_norm_backward(x, None), TypeError, "cache must be the second value"),
    ],
)
def test_bad_input_is_told(call, error, words):
    with pytest.raises(error, match=words):
        call(np.ones(SHAPE))

"""Bad input is answered in words that name the argument, and nothing has changed after."""

import array_api_strict as strict
import numpy as np
import pytest
from places import PLACES

from bncourse import functional as F
from bncourse.moments import Moments

X, GAMMA, MEAN, VAR = np.arange(21.0).reshape(7, 3) ** 2, np.ones(3), np.zeros(3), np.ones(3)
masked = np.ma.masked_array


def forward(**changed):
    return F.batch_norm_forward(**{"x": X, "gamma": GAMMA, "beta": MEAN, **changed})


def inference(**changed):
    given = {"x": X, "gamma": GAMMA, "beta": MEAN, "mean": MEAN, "var": VAR}
    return F.batch_norm_inference(**{**given, **changed})


def backward(**changed):
    return F.batch_norm_backward(**{"dy": X, "cache": forward()[1], **changed})


both = pytest.mark.parametrize("f", [forward, inference])

BAD_X = [
    (None, TypeError, "x must be an array, not NoneType.*np.asarray"),
    (X.tolist(), TypeError, "x must be an array, not list.*np.asarray"),
    (1.0, TypeError, "x must be an array, not float"),
    ("x", TypeError, "x must be an array, not str"),
    (X.astype(int), TypeError, "x has dtype int64.*float32"),
    (X > 0, TypeError, "x has dtype bool.*float32"),
    (X.astype(object), TypeError, "x has dtype object"),
    (X + 0j, TypeError, "x is complex.*two features"),
    (masked(X, X > 9), TypeError, "x is a MaskedArray.*plain array"),
    (X[0], ValueError, "x must have at least 2 axes.*not 1"),
    (X[0, 0], ValueError, "x must have at least 2 axes.*not 0"),
    (X[:, :2], ValueError, r"(gamma|beta|mean|var) has shape \(3,\), but x asks for \(2,\)"),
    (strict.asarray(X), TypeError, "x lives in array_api_strict .* but gamma in numpy"),
]


@both
@pytest.mark.parametrize("x, kind, message", BAD_X, ids=[m for *_, m in BAD_X])
def test_bad_x(f, x, kind, message):
    with pytest.raises(kind, match=message):
        f(x=x)


BAD_VECTORS = [
    (1.0, TypeError, "must be an array, not float"),
    ("g", TypeError, "must be an array, not str"),
    (np.ones(4), ValueError, r"has shape \(4,\), but x asks for \(3,\)"),
    (np.ones((3, 1)), ValueError, r"has shape \(3, 1\), but x asks for \(3,\)"),
    (np.ones(1), ValueError, r"has shape \(1,\), but x asks for \(3,\)"),
    (np.float64(1), ValueError, r"has shape \(\), but x asks for \(3,\)"),
    ([1, 2], ValueError, r"has shape \(2,\), but x asks for \(3,\)"),
    (np.ones(3) * 1j, TypeError, "has dtype complex128, but real"),
    (np.ones(3) > 0, TypeError, "has dtype bool, but real"),
    (np.array(["a"] * 3), TypeError, "dtype|must be an array"),
    ([1, 2j, 3], TypeError, "flat list of real numbers, not .*2j"),
    ([[1], [2], [3]], TypeError, "flat list of real numbers"),
    (["1", "2", "3"], TypeError, "flat list of real numbers"),
    (
        strict.ones(3),
        TypeError,
        r'x lives in numpy but .* in array_api_strict.*to\(\w+, "numpy"',
    ),
    (masked(GAMMA, GAMMA < 0), TypeError, "is a MaskedArray"),
]
VECTORS = [(forward, n) for n in ("gamma", "beta")]
VECTORS += [(inference, n) for n in ("gamma", "beta", "mean", "var")]


@pytest.mark.parametrize("f, name", VECTORS)
@pytest.mark.parametrize("value, kind, message", BAD_VECTORS, ids=[m for *_, m in BAD_VECTORS])
def test_bad_parameters_and_statistics(f, name, value, kind, message):
    with pytest.raises(kind, match=message) as error:
        f(**{name: value})
    assert name in str(error.value)


@pytest.mark.parametrize("name", ["mean", "var"])
def test_inference_needs_statistics(name):
    with pytest.raises(TypeError, match="mean and var must be given"):
        inference(**{name: None})


def test_a_negative_variance_is_refused(place):
    arguments = [place.put(a, "float32") for a in (X, GAMMA, MEAN, MEAN, -VAR)]
    with pytest.raises(ValueError, match="var must not be negative"):
        F.batch_norm_inference(*arguments)


@both
@pytest.mark.parametrize("eps", [0, 0.0, -1e-5, float("nan"), float("inf"), 1e-310])
def test_eps_out_of_range(f, eps):
    with pytest.raises(ValueError, match="eps must be .*not"):
        f(eps=eps)


@both
@pytest.mark.parametrize("eps", [None, "1e-5", True, 1j, [1e-5], np.array(1e-5)])
def test_eps_of_another_type(f, eps):
    with pytest.raises(TypeError, match="eps must be a number, not"):
        f(eps=eps)


def test_an_eps_that_the_device_cannot_hold_is_refused():
    place = PLACES["no_float64"]
    constant = place.put(np.ones((7, 3)), "float32")
    with pytest.raises(ValueError, match="eps must be positive, at least 1.2e-38"):
        F.batch_norm_forward(constant, eps=1e-45)


BAD_AXES = [
    (2, ValueError, "axis 2 does not exist: x has 2 axes"),
    (-3, ValueError, "axis -3 does not exist: x has 2 axes"),
    ((0, 2), ValueError, r"axis \(0, 2\) does not exist"),
    ((), ValueError, "axis .* must name some axes of x"),
    ((0, 1), ValueError, "axis .* but not all 2 of them"),
    ((1, -1), ValueError, "axis .* names the same axis twice"),
    (1.0, TypeError, "axis must be an int or a tuple of ints, not 1.0"),
    ("1", TypeError, "axis must be an int or a tuple of ints, not '1'"),
    (None, TypeError, "axis must be an int or a tuple of ints, not None"),
    (True, TypeError, "axis must be an int or a tuple of ints, not True"),
]


@both
@pytest.mark.parametrize("axis, kind, message", BAD_AXES)
def test_bad_axis(f, axis, kind, message):
    with pytest.raises(kind, match=message):
        f(axis=axis, gamma=None, beta=None)


@both
def test_an_axis_may_be_a_numpy_int(f):
    f(axis=np.int64(1))


BAD_DY = [
    (None, TypeError, "dy must be an array, not NoneType"),
    (X.tolist(), TypeError, "dy must be an array, not list"),
    (X.astype(int), TypeError, "dy has dtype int64"),
    (X + 0j, TypeError, "dy is complex"),
    (X[:1], ValueError, r"dy has shape \(1, 3\), but .* \(7, 3\)"),
    (X.T, ValueError, r"dy has shape \(3, 7\), but .* \(7, 3\)"),
    (X[0], ValueError, r"dy has shape \(3,\), but .* \(7, 3\)"),
    (strict.asarray(X), TypeError, "dy lives in array_api_strict .* but cache in numpy"),
]


@pytest.mark.parametrize("dy, kind, message", BAD_DY)
def test_bad_dy(dy, kind, message):
    with pytest.raises(kind, match=message):
        backward(dy=dy)


@pytest.mark.parametrize("cache", [None, X, (1, 2), Moments.of(X)])
def test_bad_cache(cache):
    with pytest.raises(TypeError, match="cache must be the second value that batch_norm_forward"):
        backward(cache=cache)


def test_two_devices_do_not_mix():
    here, there = PLACES["strict"], PLACES["device1"]
    with pytest.raises(TypeError, match="x lives in .*CPU_DEVICE.* but gamma in .*device1"):
        F.batch_norm_forward(here.put(X), there.put(GAMMA))
    _, cache = F.batch_norm_forward(here.put(X))
    with pytest.raises(TypeError, match="dy lives in .*device1.* but cache in .*CPU_DEVICE"):
        F.batch_norm_backward(there.put(X), cache)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 1, 1)])
def test_one_value_per_channel_names_the_three_ways_out(home, shape):
    place, dtype = home
    message = "one value per channel.*larger batch.*running statistics.*layer norm"
    with pytest.raises(ValueError, match=message):
        F.batch_norm_forward(place.put(np.ones(shape), dtype))
    one = place.put(np.ones(3), dtype)
    F.batch_norm_inference(place.put(np.ones(shape), dtype), one, one, one, one)


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 5), (2, 3, 0), (0, 3, 0, 2), (4, 0), (0, 0)])
def test_an_empty_batch_gives_an_empty_result(home, shape):
    place, dtype = home
    x = place.put(np.ones(shape), dtype)
    parameter = place.put(np.ones(shape[1]), dtype)
    y, cache = F.batch_norm_forward(x, parameter, parameter)
    dx, dgamma, dbeta = F.batch_norm_backward(x, cache)
    y_inference = F.batch_norm_inference(x, parameter, parameter, parameter, parameter)
    for a in (y, dx, y_inference):
        assert place.get(a).shape == shape and str(place.get(a).dtype) == dtype
    for a in (dgamma, dbeta):
        assert place.get(a).shape == (shape[1],) and not place.get(a).any()
    assert cache.moments.count == (0 if shape[1] else shape[0])


@pytest.mark.parametrize("f", [forward, inference, backward])
def test_arguments_are_as_before_after_an_error(f):
    arguments = {name: a.copy() for name, a in (("gamma", GAMMA), ("beta", MEAN))}
    x = X.copy()
    with pytest.raises((TypeError, ValueError)):
        if f is backward:
            f(dy=x, cache=None)
        else:
            f(x=x, eps=-1, **arguments)
    assert np.array_equal(x, X)
    assert np.array_equal(arguments["gamma"], GAMMA) and np.array_equal(arguments["beta"], MEAN)

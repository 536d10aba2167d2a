import array_api_strict as strict
import numpy as np
import pytest
import reference

from bncourse import functional as F
from bncourse.gradcheck import central_difference, complex_step, relative_error

PAIRS = {
    "sigmoid": (F.sigmoid_forward, F.sigmoid_backward, reference.analytic_sigmoid),
    "relu": (F.relu_forward, F.relu_backward, reference.analytic_relu),
    "tanh": (F.tanh_forward, F.tanh_backward, np.tanh),
}
pairs = pytest.mark.parametrize("forward, backward, exact", PAIRS.values(), ids=PAIRS)


@pairs
@pytest.mark.parametrize("shape", [(7, 3), (2, 3, 5), (3,), (), (0, 3)])
def test_values_and_gradients_everywhere(home, rng, forward, backward, exact, shape):
    place, dtype = home
    x, dy = (np.asarray(a, dtype) for a in rng.standard_normal((2, *shape)))
    y, cache = forward(place.put(x))
    dx = backward(place.put(dy), cache)
    expected = complex_step(exact, x.astype("float64"), dy.astype("float64"))
    for found, wanted in ((y, exact(x.astype("float64"))), (dx, expected)):
        found = place.get(found)
        assert found.shape == shape and str(found.dtype) == dtype
        np.testing.assert_allclose(found, wanted, rtol=0, atol=5 * place.accurate(dtype))


@pairs
def test_gradients_agree_with_numerical_ones(rng, forward, backward, exact):
    x, dy = 2 * rng.standard_normal((2, 7, 3))
    dx = backward(dy, forward(x)[1])
    assert relative_error(dx, complex_step(exact, x, dy)) < 1e-12
    assert relative_error(dx, central_difference(lambda v: forward(v)[0], x, dy)) < 1e-8


@pairs
def test_the_largest_inputs_neither_overflow_nor_warn(home, forward, backward, exact):
    place, dtype = home
    big = float(np.finfo(dtype).max)
    with np.errstate(over="raise", invalid="raise"):
        y, cache = forward(place.put([-big, -1e4, 0, 1e4, big], dtype))
        dx = backward(place.put([1] * 5, dtype), cache)
    assert np.isfinite(place.get(y)).all() and np.isfinite(place.get(dx)).all()


@pairs
def test_nan_stays_nan_and_alone(place, forward, backward, exact):
    y, _ = forward(place.put([1, np.nan, -1], "float32"))
    assert np.array_equal(np.isnan(place.get(y)), [False, True, False])


def test_relu_passes_nothing_back_at_zero():
    y, cache = F.relu_forward(np.array([-1.0, 0.0, 2.0]))
    assert y.tolist() == [0, 0, 2]
    assert F.relu_backward(np.ones(3), cache).tolist() == [0, 0, 1]


def test_sigmoid_keeps_its_digits_in_the_tail():
    y, _ = F.sigmoid_forward(np.array([-700.0, -40.0]))
    np.testing.assert_allclose(y, np.exp([-700.0, -40.0]), rtol=1e-14)


@pytest.mark.parametrize(
    "dtype, x, rtol", [("float64", -700, 1e-13), ("float32", -85, 1e-5), ("float16", -15, 0.1)]
)
def test_sigmoid_is_as_small_as_it_should_be(dtype, x, rtol):
    y, _ = F.sigmoid_forward(np.array([x, -np.inf], dtype))
    np.testing.assert_allclose(y, [np.exp(float(x)), 0], rtol=rtol)


@pairs
def test_nothing_is_changed(rng, forward, backward, exact):
    x, dy = rng.standard_normal((2, 7, 3))
    before = x.copy(), dy.copy()
    backward(dy, forward(x)[1])
    assert np.array_equal(x, before[0]) and np.array_equal(dy, before[1])


@pairs
@pytest.mark.parametrize(
    "x, message",
    [
        (None, "x must be an array, not NoneType"),
        ([1.0], "x must be an array, not list"),
        (1.0, "x must be an array, not float"),
        (np.arange(3), "x has dtype int64"),
        (np.ones(3) * 1j, "x is complex"),
    ],
)
def test_bad_x(forward, backward, exact, x, message):
    with pytest.raises(TypeError, match=message):
        forward(x)


@pairs
@pytest.mark.parametrize(
    "dy, kind, message",
    [
        (None, TypeError, "dy must be an array, not NoneType"),
        (np.ones((7, 3), int), TypeError, "dy has dtype int64"),
        (np.ones(3), ValueError, r"dy has shape \(3,\), but .* \(7, 3\)"),
        (np.ones((1, 3)), ValueError, r"dy has shape \(1, 3\)"),
        (strict.ones((7, 3)), TypeError, "dy lives in array_api_strict.* but cache in numpy"),
    ],
)
def test_bad_dy(forward, backward, exact, dy, kind, message):
    with pytest.raises(kind, match=message):
        backward(dy, forward(np.ones((7, 3)))[1])


@pairs
@pytest.mark.parametrize("cache", [None, (np.ones(3),), "cache"])
def test_bad_cache(forward, backward, exact, cache):
    with pytest.raises(TypeError, match="cache must be an array"):
        backward(np.ones(3), cache)

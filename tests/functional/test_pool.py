"""Pooling against loops over windows: everywhere, with ties, borders and NaN."""

import array_api_strict as strict
import numpy as np
import pytest
import sliding

from bncourse import functional as F
from bncourse.gradcheck import central_difference, complex_step, relative_error

# shape of x, kernel, stride, padding
CASES = [
    ((2, 3, 4, 6), (2, 2), (2, 2), (0, 0)),
    ((2, 3, 5, 7), (2, 2), (2, 2), (0, 0)),
    ((2, 3, 5, 7), (3, 2), (1, 2), (1, 0)),
    ((1, 2, 5, 5), (3, 3), (2, 2), (1, 1)),
    ((2, 2, 5, 5), (1, 2), (2, 3), (0, 1)),
    ((2, 2, 4, 4), (4, 4), (1, 1), (2, 2)),
    ((2, 1, 6, 5), (1, 1), (1, 1), (0, 0)),
    ((3, 2, 7), (3,), (2,), (1,)),
    ((2, 2, 4, 3, 5), (2, 2, 3), (2, 1, 2), (1, 0, 1)),
]
cases = pytest.mark.parametrize("shape, kernel, stride, padding", CASES, ids=str)
POOLS = {
    "max": (F.max_pool_forward, F.max_pool_backward, sliding.max_pool),
    "avg": (F.avg_pool_forward, F.avg_pool_backward, sliding.avg_pool),
}
pools = pytest.mark.parametrize("forward, backward, loop", POOLS.values(), ids=POOLS)


def assert_close(found, expected, dtype, tolerance):
    assert found.shape == expected.shape and str(found.dtype) == dtype
    np.testing.assert_allclose(found, expected.astype(float), rtol=0, atol=tolerance)


@pools
@cases
def test_forward_is_the_loop(home, rng, forward, backward, loop, shape, kernel, stride, padding):
    place, dtype = home
    x = rng.standard_normal(shape).astype(dtype)
    y, _ = forward(place.put(x), kernel, stride, padding)
    expected = loop(x.astype(np.longdouble), kernel, stride, padding)
    assert_close(place.get(y), expected, dtype, 4 * place.accurate(dtype))


@cases
def test_gradient_of_the_maximum_goes_to_the_first_of_the_largest(
    home, rng, shape, kernel, stride, padding
):
    place, dtype = home
    x = rng.integers(4, size=shape).astype(dtype)  # with ties in most windows
    y, cache = F.max_pool_forward(place.put(x), kernel, stride, padding)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = place.get(F.max_pool_backward(place.put(dy), cache))
    expected = sliding.max_pool_gradient(dy.astype(float), x.astype(float), kernel, stride, padding)
    assert_close(dx, expected, dtype, 8 * place.accurate(dtype))


@cases
def test_gradient_of_the_mean(home, rng, shape, kernel, stride, padding):
    place, dtype = home
    x = rng.standard_normal(shape).astype(dtype)
    y, cache = F.avg_pool_forward(place.put(x), kernel, stride, padding)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = place.get(F.avg_pool_backward(place.put(dy), cache))
    expected = complex_step(
        lambda v: sliding.avg_pool(v, kernel, stride, padding), x.astype(float), dy.astype(float)
    )
    assert_close(dx, expected, dtype, 4 * place.accurate(dtype))


@pools
@pytest.mark.parametrize("shape, kernel, stride, padding", CASES[1:4], ids=str)
def test_gradients_agree_with_differences(
    rng, forward, backward, loop, shape, kernel, stride, padding
):
    x = rng.standard_normal(shape)
    y, cache = forward(x, kernel, stride, padding)
    dy = rng.standard_normal(y.shape)
    numerical = central_difference(lambda v: forward(v, kernel, stride, padding)[0], x, dy)
    assert relative_error(backward(dy, cache), numerical) < 1e-8


@pools
def test_windows_do_not_overlap_by_default(rng, forward, backward, loop):
    x = rng.standard_normal((2, 3, 6, 9))
    y, cache = forward(x, (2, 3))
    assert np.array_equal(y, forward(x, (2, 3), (2, 3))[0]) and y.shape == (2, 3, 3, 3)
    assert cache.stride == cache.kernel == (2, 3)


def test_a_tie_is_not_shared():
    y, cache = F.max_pool_forward(np.zeros((1, 1, 2, 2)), 2)
    assert F.max_pool_backward(np.ones(y.shape), cache).tolist() == [[[[1, 0], [0, 0]]]]


@pytest.mark.parametrize("kernel", [(16, 16), (1, 257), (17, 17)])
def test_windows_of_more_than_256_elements_remember_which(kernel):
    x = np.zeros((1, 1, *kernel))
    x[0, 0, -1, -1] = 1
    y, cache = F.max_pool_forward(x, kernel)
    assert np.array_equal(F.max_pool_backward(y, cache), x)


@pytest.mark.parametrize("where", [0, 1, 2, 3])
def test_nan_is_the_largest_and_gets_the_gradient(place, where):
    x = np.array([1, 2, 3, 4], "float32")
    x[where] = np.nan
    x = np.stack([x, np.arange(4, dtype="float32")]).reshape(1, 2, 2, 2)
    y, cache = F.max_pool_forward(place.put(x), 2)
    assert np.isnan(place.get(y)[0, 0, 0, 0]) and place.get(y)[0, 1, 0, 0] == 3
    dx = place.get(F.max_pool_backward(place.put(np.ones((1, 2, 1, 1)), "float32"), cache))
    assert dx[0, 0].ravel().tolist() == [float(i == where) for i in range(4)]


def test_negative_numbers_are_larger_than_the_padding(place):
    y, _ = F.max_pool_forward(place.put(-np.ones((1, 1, 3, 3)), "float32"), 3, 1, 1)
    assert np.array_equal(place.get(y), -np.ones((1, 1, 3, 3)))


def test_float16_is_averaged_in_float32():
    y, cache = F.avg_pool_forward(np.full((1, 1, 64, 64), 100, "float16"), 64)
    assert y.dtype == "float16" and y[0, 0, 0, 0] == 100


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 5), (2, 3, 2, 2, 2), (0, 3, 4, 5)], ids=str)
def test_global_average(home, rng, shape):
    place, dtype = home
    x, dy = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape[:2]).astype(dtype)
    y, cache = F.global_avg_pool_forward(place.put(x))
    axes = tuple(range(2, x.ndim))
    assert_close(place.get(y), x.astype(float).mean(axis=axes), dtype, place.accurate(dtype))
    dx = place.get(F.global_avg_pool_backward(place.put(dy), cache))
    expected = complex_step(lambda v: v.mean(axis=axes), x.astype(float), dy.astype(float))
    assert_close(dx, expected, dtype, place.accurate(dtype))
    if type(dx) is np.ndarray:
        assert dx.flags.writeable


def test_global_average_of_float16_does_not_overflow():
    y, _ = F.global_avg_pool_forward(np.full((1, 1, 64, 64), 1000, "float16"))
    assert y[0, 0] == 1000


@pools
def test_an_empty_batch_gives_an_empty_result(home, forward, backward, loop):
    place, dtype = home
    y, cache = forward(place.put(np.ones((0, 3, 4, 4)), dtype), 2)
    assert y.shape == (0, 3, 2, 2) and backward(y, cache).shape == (0, 3, 4, 4)


@pools
def test_nothing_is_changed(rng, forward, backward, loop):
    x = rng.standard_normal((2, 3, 4, 4))
    before = x.copy()
    for kernel in (1, 2):
        y, cache = forward(x, kernel)
        dy = np.ones_like(y)
        dx = backward(dy, cache)
        expected = dx.copy()
        for result in (y, dx):
            result[...] = np.nan
        assert np.array_equal(x, before) and np.array_equal(dy, np.ones_like(dy))
        assert np.array_equal(backward(dy, cache), expected)


X = np.ones((2, 3, 4, 5))
BAD = [
    ({"x": None}, TypeError, "x must be an array, not NoneType"),
    ({"x": X.astype(int)}, TypeError, "x has dtype int64"),
    ({"x": X + 0j}, TypeError, "x is complex"),
    ({"x": X[0, 0]}, ValueError, r"x has shape \(4, 5\), but \(N, C, H, W\) is needed"),
    ({"x": X[None, None]}, ValueError, "one to three spatial axes"),
    ({"kernel": 0}, ValueError, "kernel must be at least 1, not 0"),
    ({"kernel": 5}, ValueError, r"spatial shape \(4, 5\).* window of \(5, 5\) does not fit"),
    ({"kernel": None}, TypeError, "kernel must be a whole number or 2 of them"),
    ({"kernel": (2, 2, 2)}, ValueError, "kernel must hold 2 numbers"),
    ({"stride": 0}, ValueError, "stride must be at least 1, not 0"),
    ({"stride": 1.0}, TypeError, "stride must be a whole number or 2 of them"),
    ({"padding": -1}, ValueError, "padding must be at least 0, not -1"),
    ({"padding": 2}, ValueError, r"padding must be at most half of kernel, \(2, 2\)"),
    ({"kernel": 3, "padding": (1, 2)}, ValueError, "at most half of kernel"),
]


@pools
@pytest.mark.parametrize("changed, kind, message", BAD, ids=[m for *_, m in BAD])
def test_bad_input(forward, backward, loop, changed, kind, message):
    with pytest.raises(kind, match=message):
        forward(**{"x": X, "kernel": 2, **changed})


@pools
@pytest.mark.parametrize(
    "dy, kind, message",
    [
        (None, TypeError, "dy must be an array"),
        (np.ones((2, 3, 2, 2), int), TypeError, "dy has dtype int64"),
        (X, ValueError, r"dy has shape \(2, 3, 4, 5\), but .* \(2, 3, 2, 2\)"),
        (strict.ones((2, 3, 2, 2)), TypeError, "dy lives in array_api_strict"),
    ],
)
def test_bad_dy(forward, backward, loop, dy, kind, message):
    with pytest.raises(kind, match=message):
        backward(dy, forward(X, 2)[1])


@pools
def test_bad_cache(forward, backward, loop):
    with pytest.raises(TypeError, match="cache must be the second value that ..._pool_forward"):
        backward(X, None)


def test_bad_input_of_the_global_average():
    for x, kind, message in (
        (X.astype(int), TypeError, "x has dtype int64"),
        (X[0, 0], ValueError, r"x has shape \(4, 5\), but \(N, C, H, W\) is needed"),
        (X[..., :0], ValueError, "no map empty"),
    ):
        with pytest.raises(kind, match=message):
            F.global_avg_pool_forward(x)
    with pytest.raises(ValueError, match=r"dy has shape \(2, 3, 4, 5\), but .* \(2, 3\)"):
        F.global_avg_pool_backward(X, X)

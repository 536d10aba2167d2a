"""Batch norm against a loop in extended precision: everywhere, in every layout."""

import copy

import numpy as np
import pytest
import reference

from bncourse import functional as F

LAYOUTS = [
    ((7, 3), 1),
    ((2, 3), 1),
    ((2, 1), 1),
    ((7, 3), -1),
    ((5, 3), 0),
    ((5, 3, 7), 1),
    ((3, 5, 2, 7), 1),
    ((3, 2, 7, 5), -1),
    ((1, 3, 5), 1),
    ((5, 3, 2), (1, 2)),
    ((5, 3, 2), (-1, 1)),
    ((3, 5, 2, 3), (1, 3)),
    ((2, 3, 2, 2, 3), 1),
]
layouts = pytest.mark.parametrize("shape, axis", LAYOUTS, ids=str)


def channels(shape, axis):
    axes = sorted(a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,)))
    return tuple(shape[a] for a in axes)


def sorted_axis(shape, axis):
    """The oracle takes axes in the order that it is given; the package sorts them."""
    return tuple(sorted(a % len(shape) for a in axis)) if isinstance(axis, tuple) else axis


def example(rng, shape, axis, dtype):
    x = (rng.standard_normal(shape) * 2 + 3).astype(dtype)
    gamma, beta = rng.standard_normal((2, *channels(shape, axis))).astype(dtype)
    return x, gamma, beta


def assert_close(actual, expected, tolerance):
    assert actual.shape == expected.shape
    expected = expected.astype(float)
    expected = expected.astype(float)
    scale = max(1, np.max(np.abs(expected), initial=0))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


@layouts
def test_forward_is_the_loop(home, rng, shape, axis):
    place, dtype = home
    x, gamma, beta = example(rng, shape, axis, dtype)
    y, cache = F.batch_norm_forward(*map(place.put, (x, gamma, beta)), eps=1e-3, axis=axis)
    axis = sorted_axis(shape, axis)
    assert str(place.get(y).dtype) == dtype
    assert_close(
        place.get(y),
        reference.batch_norm_forward(x, gamma, beta, 1e-3, axis),
        4 * place.accurate(dtype),
    )
    assert cache.moments.count == x.size // gamma.size
    for row, mean, m2 in zip(
        reference._rows(x, axis)[0],
        place.get(cache.moments.mean).ravel(),
        place.get(cache.moments.m2).ravel(),
        strict=True,
    ):
        wide = place.accurate("float64" if "float64" in place.dtypes else "float32")
        expected = reference.moments(row)
        np.testing.assert_allclose([mean, m2], np.array(expected, float), rtol=4 * wide, atol=wide)


@layouts
def test_backward_is_the_six_equations(home, rng, shape, axis):
    place, dtype = home
    x, gamma, beta = example(rng, shape, axis, dtype)
    dy = rng.standard_normal(shape).astype(dtype)
    _, cache = F.batch_norm_forward(*map(place.put, (x, gamma, beta)), eps=1e-3, axis=axis)
    gradients = F.batch_norm_backward(place.put(dy), cache)
    expected = reference.batch_norm_backward(dy, x, gamma, 1e-3, sorted_axis(shape, axis))
    for found, wanted in zip(gradients, expected, strict=True):
        found = place.get(found)
        assert str(found.dtype) == dtype
        assert_close(found, wanted.reshape(found.shape), 20 * place.accurate(dtype))


@layouts
def test_inference_is_the_loop(home, rng, shape, axis):
    place, dtype = home
    x, gamma, beta = example(rng, shape, axis, dtype)
    mean, var = rng.standard_normal(gamma.shape), rng.uniform(0.5, 2, gamma.shape)
    mean, var = mean.astype(dtype), var.astype(dtype)
    arguments = [place.put(a) for a in (x, gamma, beta, mean, var)]
    y = place.get(F.batch_norm_inference(*arguments, eps=1e-3, axis=axis))
    expected = reference.batch_norm_inference(
        x, gamma, beta, mean, var, 1e-3, sorted_axis(shape, axis)
    )
    assert str(y.dtype) == dtype
    assert_close(y, expected, 2 * place.accurate(dtype))


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("shift", [True, False])
def test_scale_and_shift_may_each_be_left_out(home, rng, scale, shift):
    place, dtype = home
    x, gamma, beta = example(rng, (7, 3), 1, dtype)
    gamma, beta = gamma if scale else None, beta if shift else None
    here = [None if a is None else place.put(a) for a in (gamma, beta)]
    y, cache = F.batch_norm_forward(place.put(x), *here)
    expected = reference.batch_norm_forward(x, gamma, beta)
    assert_close(place.get(y), expected, 4 * place.accurate(dtype))
    _, dgamma, dbeta = F.batch_norm_backward(y, cache)
    assert (dgamma is not None, dbeta is not None) == (scale, shift)
    mean, var = place.put(np.zeros(3), dtype), place.put(np.ones(3), dtype)
    y = place.get(F.batch_norm_inference(place.put(x), *here, mean, var))
    expected = reference.batch_norm_inference(x, gamma, beta, np.zeros(3), np.ones(3))
    assert_close(y, expected, 4 * place.accurate(dtype))


def test_no_argument_and_no_cache_is_changed(home, rng):
    place, dtype = home
    x, gamma, beta = map(place.put, example(rng, (7, 3), 1, dtype))
    mean, var, dy = place.put([0, 1, 2], dtype), place.put([1, 2, 3], dtype), x + 1
    arguments = [x, gamma, beta, mean, var, dy]
    before = [place.get(a).copy() for a in arguments]
    _, cache = F.batch_norm_forward(x, gamma, beta)
    kept = [place.get(a).copy() for a in (cache.x_hat, cache.inv_std, *cache.moments[1:])]
    first = F.batch_norm_backward(dy, cache)
    F.batch_norm_inference(x, gamma, beta, mean, var)
    again = F.batch_norm_backward(dy, cache)
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(place.get(a), place.get(b))
    for a, b in zip(arguments, before, strict=True):
        assert np.array_equal(place.get(a), b)
    for a, b in zip((cache.x_hat, cache.inv_std, *cache.moments[1:]), kept, strict=True):
        assert np.array_equal(place.get(a), b)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("parameters", [(None, None), (np.ones(3), None), (None, np.zeros(3))])
def test_changing_the_output_in_place_leaves_the_gradient_alone(rng, dtype, parameters):
    x, dy = rng.standard_normal((2, 7, 3)).astype(dtype)
    y, cache = F.batch_norm_forward(x, *parameters)
    expected = F.batch_norm_backward(dy, copy.deepcopy(cache))[0]
    y[:] = np.nan
    assert np.array_equal(F.batch_norm_backward(dy, cache)[0], expected)


@pytest.mark.parametrize("shape", [(7, 3), (40, 5, 6, 6)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_cache_holds_the_input_itself_and_nothing_else_as_large(rng, shape, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    _, cache = F.batch_norm_forward(x)
    held = [a for a in (*cache, *cache.moments) if isinstance(a, np.ndarray) and a.size == x.size]
    assert [a is x for a in held] == [True]


def fortran(a):
    return np.asfortranarray(a)


def strided(a):
    wide = np.full([2 * n for n in a.shape], np.nan, a.dtype)
    wide[tuple(slice(None, None, 2) for _ in a.shape)] = a
    return wide[tuple(slice(None, None, 2) for _ in a.shape)]


def backwards(a):
    return np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1]


def channels_last(a):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


MEMORY = [np.ascontiguousarray, fortran, strided, backwards, channels_last, read_only]


@pytest.mark.parametrize("x_memory", MEMORY)
@pytest.mark.parametrize("dy_memory", MEMORY)
def test_memory_layouts_of_x_and_dy_do_not_matter(rng, x_memory, dy_memory):
    x, dy = rng.standard_normal((2, 5, 3, 2, 7))
    gamma, beta = rng.standard_normal((2, 3))
    y, cache = F.batch_norm_forward(x_memory(x), x_memory(gamma[:, None])[:, 0], beta)
    assert_close(y, reference.batch_norm_forward(x, gamma, beta), 1e-14)
    expected = reference.batch_norm_backward(dy, x, gamma)
    for found, wanted in zip(F.batch_norm_backward(dy_memory(dy), cache), expected, strict=True):
        assert_close(found, wanted, 1e-14)


@pytest.mark.parametrize("x_dtype", ["float16", "float32", "float64", "longdouble"])
@pytest.mark.parametrize("gamma_dtype", ["float16", "float32", "float64", "int64"])
@pytest.mark.parametrize("dy_dtype", ["float16", "float64"])
def test_mixed_dtypes_follow_x_and_gradients_their_parameter(rng, x_dtype, gamma_dtype, dy_dtype):
    x, dy = rng.standard_normal((2, 7, 3))
    x, dy = x.astype(x_dtype), dy.astype(dy_dtype)
    gamma, beta = np.array([1, 2, 3], gamma_dtype), np.array([0, 1, -1], "float32")
    y, cache = F.batch_norm_forward(x, gamma, beta)
    dx, dgamma, dbeta = F.batch_norm_backward(dy, cache)
    assert y.dtype == dx.dtype == x.dtype
    assert dgamma.dtype == (x.dtype if gamma_dtype == "int64" else gamma_dtype)
    assert dbeta.dtype == "float32"
    limit = 2e-3 if x_dtype == "float16" else 1e-6
    assert_close(y, reference.batch_norm_forward(x, gamma, beta), limit)


def test_lists_are_taken_as_parameters_and_statistics(place, rng):
    x = place.put(rng.standard_normal((7, 3)), "float32")
    lists = [1, 2.5, np.float32(3)], (0, 1, 2), [0, 0, 1], [1, 2, 1]
    here = [place.put(v, "float32") for v in lists]
    for f, n in ((lambda *a: F.batch_norm_forward(*a)[0], 2), (F.batch_norm_inference, 4)):
        assert np.array_equal(place.get(f(x, *lists[:n])), place.get(f(x, *here[:n])))


@pytest.mark.parametrize("eps", [np.float32(1e-3), np.float64(1e-3), 1e-3, 1])
def test_any_real_number_will_do_as_eps(place, rng, eps):
    x = rng.standard_normal((7, 3)).astype("float32")
    y = place.get(F.batch_norm_forward(place.put(x), eps=eps)[0])
    assert_close(y, reference.batch_norm_forward(x, eps=float(eps)), 4e-6)


def test_nhwc_is_nchw(home, rng):
    place, dtype = home
    x, dy = rng.standard_normal((2, 3, 5, 2, 7)).astype(dtype)
    gamma, beta = (place.put(v, dtype) for v in rng.standard_normal((2, 5)))
    y, cache = F.batch_norm_forward(place.put(x), gamma, beta)
    last = [np.ascontiguousarray(np.moveaxis(a, 1, -1)) for a in (x, dy)]
    y_last, cache_last = F.batch_norm_forward(place.put(last[0]), gamma, beta, axis=-1)
    accuracy = 10 * place.accurate(dtype)
    assert_close(place.get(y_last), np.moveaxis(place.get(y), 1, -1), accuracy)
    first = F.batch_norm_backward(place.put(dy), cache)
    other = F.batch_norm_backward(place.put(last[1]), cache_last)
    assert_close(place.get(other[0]), np.moveaxis(place.get(first[0]), 1, -1), accuracy)
    for a, b in zip(first[1:], other[1:], strict=True):
        assert_close(place.get(b), place.get(a), accuracy)


def test_gamma_and_beta_can_give_the_input_back(rng):
    x = rng.standard_normal((7, 3)) * 5 + 2
    gamma, beta = np.sqrt(x.var(axis=0) + 1e-5), x.mean(axis=0)
    np.testing.assert_allclose(F.batch_norm_forward(x, gamma, beta)[0], x, rtol=1e-13)


def test_inference_with_the_statistics_of_the_batch_is_the_training_output(home, rng):
    place, dtype = home
    x = place.put(rng.standard_normal((7, 3)) + 5, dtype)
    y, cache = F.batch_norm_forward(x)
    same = F.batch_norm_inference(x, None, None, cache.moments.mean, cache.moments.var)
    assert_close(place.get(same), place.get(y), 4 * place.accurate(dtype))

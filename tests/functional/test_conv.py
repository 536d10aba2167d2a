"""Convolution against loops over windows, in extended precision: everywhere, with every option."""

import array_api_strict as strict
import numpy as np
import pytest
import sliding

from bncourse import functional as F
from bncourse import kernels
from bncourse.functional import correlation
from bncourse.gradcheck import central_difference, complex_step, relative_error

# shape of x, shape of w, stride, padding, groups
CASES = [
    ((2, 3, 5, 6), (4, 3, 3, 3), (1, 1), (1, 1), 1),
    ((3, 3, 5, 7), (2, 3, 3, 3), (1, 1), (0, 0), 1),
    ((2, 1, 5, 6), (5, 1, 3, 3), (1, 1), (1, 1), 1),
    ((2, 4, 5, 7), (4, 2, 3, 2), (2, 3), (1, 0), 2),
    ((2, 4, 5, 5), (4, 1, 3, 3), (1, 1), (1, 1), 4),
    ((2, 3, 6, 5), (6, 1, 3, 3), (2, 2), (1, 1), 3),
    ((2, 3, 5, 4), (4, 3, 1, 1), (1, 1), (0, 0), 1),
    ((2, 3, 5, 4), (2, 3, 1, 1), (2, 2), (0, 0), 1),
    ((2, 3, 5, 4), (2, 3, 1, 1), (1, 1), (1, 2), 1),
    ((2, 2, 4, 3), (3, 2, 2, 3), (1, 1), (4, 5), 1),
    ((2, 2, 4, 3), (3, 2, 2, 3), (1, 1), (2, 1), 1),
    ((1, 2, 7, 5), (3, 2, 7, 5), (1, 1), (0, 0), 1),
    ((2, 3, 3, 3), (2, 3, 3, 3), (2, 2), (0, 0), 1),
    ((2, 2, 8, 8), (3, 2, 2, 2), (3, 3), (0, 0), 1),
    ((2, 6, 4, 5), (4, 3, 2, 3), (1, 2), (0, 1), 2),
    ((3, 2, 7), (4, 2, 3), (2,), (1,), 1),
    ((3, 4, 7), (4, 2, 3), (1,), (1,), 2),
    ((2, 2, 3, 4, 5), (2, 2, 2, 3, 2), (1, 2, 1), (1, 0, 1), 1),
    ((2, 2, 3, 4, 3), (2, 1, 2, 3, 2), (1, 1, 1), (1, 0, 1), 2),
    ((0, 3, 5, 6), (4, 3, 3, 3), (1, 1), (1, 1), 1),
    ((0, 3, 5, 6), (4, 3, 1, 1), (1, 1), (0, 0), 1),
    ((0, 3, 5, 6), (4, 3, 3, 3), (2, 2), (1, 1), 1),
    ((2, 3, 0, 5), (4, 3, 3, 3), (1, 1), (2, 2), 1),
]
cases = pytest.mark.parametrize("shape, weights, stride, padding, groups", CASES, ids=str)


def example(rng, shape, weights, stride, padding, groups, dtype="float64"):
    count = [
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip(shape[2:], padding, weights[2:], stride, strict=True)
    ]
    shapes = shape, weights, weights[:1], (shape[0], weights[0], *count)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def assert_close(found, expected, dtype, tolerance):
    assert found.shape == expected.shape and str(found.dtype) == dtype
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    np.testing.assert_allclose(found, expected.astype(float), rtol=0, atol=tolerance * scale)


@cases
def test_forward_and_backward_are_the_loops(home, rng, shape, weights, stride, padding, groups):
    place, dtype = home
    x, w, b, dy = example(rng, shape, weights, stride, padding, groups, dtype)
    y, cache = F.conv_forward(*map(place.put, (x, w, b)), stride, padding, groups)
    found = [y, *F.conv_backward(place.put(dy), cache)]
    x, w, b, dy = (a.astype(np.longdouble) for a in (x, w, b, dy))
    expected = [sliding.conv(x, w, b, stride, padding, groups)] if len(x) else [dy]
    expected += sliding.conv_gradients(dy, x, w, stride, padding, groups)
    for a, wanted in zip(found, expected, strict=True):
        assert_close(place.get(a), wanted, dtype, 4 * place.accurate(dtype))


def test_without_bias_there_is_no_gradient_of_it(home, rng):
    place, dtype = home
    x, w, b, dy = map(place.put, example(rng, *CASES[0], dtype=dtype))
    y, cache = F.conv_forward(x, w, None, *CASES[0][2:])
    zero = place.put(np.zeros(b.shape), dtype)
    assert np.array_equal(place.get(y), place.get(F.conv_forward(x, w, zero, *CASES[0][2:])[0]))
    assert F.conv_backward(dy, cache)[2] is None


@cases
@pytest.mark.parametrize("block", [1, 1 << 30])
def test_blocks_of_any_size_give_the_same(
    rng, monkeypatch, shape, weights, stride, padding, groups, block
):
    x, w, b, dy = example(rng, (3 * shape[0], *shape[1:]), weights, stride, padding, groups)

    def both():
        y, cache = F.conv_forward(x, w, b, stride, padding, groups)
        return y, *F.conv_backward(dy, cache)

    expected = both()
    monkeypatch.setattr(correlation, "_BLOCK", block)
    for found, wanted in zip(both(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_a_last_block_may_be_smaller(rng, monkeypatch):
    case = (7, 2, 4, 5), (3, 2, 3, 3), (1, 1), (1, 1), 1
    x, w, b, dy = example(rng, *case)
    monkeypatch.setattr(correlation, "_BLOCK", 3 * 2 * 3 * 6 * 5 * 8)  # three images
    y, cache = F.conv_forward(x, w, b, *case[2:])
    assert [s.stop - s.start for s in correlation._blocks(x, 2 * 3 * 6 * 5)] == [3, 3, 1]
    expected = sliding.conv_gradients(dy, x, w, *case[2:])
    for found, wanted in zip(F.conv_backward(dy, cache), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(y, sliding.conv(x, w, b, *case[2:]), rtol=0, atol=1e-13)


@pytest.mark.parametrize("case", [CASES[3], CASES[5]], ids=str)
def test_work_is_counted_by_multiplications(rng, monkeypatch, case):
    x, w, _, dy = example(rng, *case)
    compiled, shared = [], []
    monkeypatch.setattr(correlation.planes, "supports", lambda *a: compiled.append(a[-1]))
    monkeypatch.setattr(correlation, "share", lambda f, n, m: shared.append(m) or [f(slice(0, n))])
    with kernels.using("auto"):
        F.conv_backward(dy, F.conv_forward(x, w, None, *case[2:])[1])
    assert compiled == [dy.size * w[0].size] * 2
    assert shared == [dy.size * w[0].size] * 3


@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_gradients_agree_with_numerical_ones(rng, case):
    x, w, b, dy = example(rng, *case)
    options = case[2:]
    gradients = F.conv_backward(dy, F.conv_forward(x, w, b, *options)[1])
    for i, gradient in enumerate(gradients):

        def loop(v, i=i):
            return sliding.conv(*[v if j == i else a for j, a in enumerate((x, w, b))], *options)

        def package(v, i=i):
            arguments = [v if j == i else a for j, a in enumerate((x, w, b))]
            return F.conv_forward(*arguments, *options)[0]

        at = (x, w, b)[i]
        assert relative_error(gradient, complex_step(loop, at, dy)) < 1e-12
        assert relative_error(gradient, central_difference(package, at, dy)) < 1e-8


def test_a_gradient_that_is_not_wanted_is_not_there(rng):
    x, w = rng.standard_normal((2, 3, 5, 5)), rng.standard_normal((4, 3, 2, 2))
    y, cache = F.conv_forward(x, w)
    dx, dw, _ = F.conv_backward(y, cache, input_gradient=False)
    assert dx is None and np.array_equal(dw, F.conv_backward(y, cache)[1])


def test_numbers_stand_for_all_axes(rng):
    x, w = rng.standard_normal((2, 2, 7, 6)), rng.standard_normal((3, 2, 3, 3))
    y, cache = F.conv_forward(x, w, None, np.int64(2), 1)
    pairs = F.conv_forward(x, w, None, (2, 2), [1, 1])[0]
    assert np.array_equal(y, pairs)
    assert (cache.stride, cache.padding) == ((2, 2), (1, 1))


def test_a_convolution_over_one_pixel_is_a_dense_layer(home, rng):
    place, dtype = home
    if dtype == "float16":
        pytest.skip("the dense layer sums in float16 there")
    x, w, b = (rng.standard_normal(s).astype(dtype) for s in ((5, 3), (4, 3), (4,)))
    y, _ = F.conv_forward(*map(place.put, (x[:, :, None, None], w[:, :, None, None], b)))
    dense, _ = F.dense_forward(*map(place.put, (x, np.ascontiguousarray(w.T), b)))
    np.testing.assert_allclose(place.get(y)[:, :, 0, 0], place.get(dense), rtol=1e-5)


def fortran(a):
    return np.asfortranarray(a)


def channels_last(a):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


def mirrored(a):
    return np.ascontiguousarray(a[..., ::-1])[..., ::-1]


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


@pytest.mark.parametrize("memory", [fortran, channels_last, mirrored, read_only])
@pytest.mark.parametrize("case", [CASES[0], CASES[3], CASES[6]], ids=str)
def test_memory_layouts_do_not_matter(rng, memory, case):
    x, w, b, dy = example(rng, *case)
    y, cache = F.conv_forward(memory(x), memory(w), b, *case[2:])
    np.testing.assert_allclose(y, sliding.conv(x, w, b, *case[2:]), rtol=0, atol=1e-13)
    expected = sliding.conv_gradients(dy, x, w, *case[2:])
    for found, wanted in zip(F.conv_backward(memory(dy), cache), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", CASES[:8], ids=str)
def test_nothing_is_changed_and_a_cache_serves_twice(rng, case):
    x, w, b, dy = arguments = example(rng, *case)
    before = [a.copy() for a in arguments]
    y, cache = F.conv_forward(x, w, b, *case[2:])
    first = F.conv_backward(dy, cache)
    expected = [a.copy() for a in first]
    for result in (y, *first):
        result[...] = np.nan  # what is returned is the caller's
    assert all(map(np.array_equal, arguments, before))
    assert all(map(np.array_equal, F.conv_backward(dy, cache), expected))


def test_mixed_dtypes_promote_and_gradients_follow_their_argument(rng):
    x, w, b, dy = example(rng, *CASES[0], dtype="float32")
    y, cache = F.conv_forward(x, w.astype("float64"), b)
    assert y.dtype == "float64"
    found = F.conv_backward(np.ones(y.shape, "float16"), cache)
    assert [str(a.dtype) for a in found] == ["float32", "float64", "float32"]


def test_float16_is_summed_in_float32():
    w = np.array([2048, 1, 1], "float16").reshape(1, 1, 3, 1)
    y, _ = F.conv_forward(np.ones((1, 1, 3, 1), "float16"), w)
    assert y.dtype == "float16" and y.item() == 2050  # in float16, 2048 + 1 is 2048


def test_the_gradient_of_the_bias_is_summed_in_the_widest_precision():
    one = np.ones((1, 1, 1, 1), "float32")
    _, cache = F.conv_forward(one.repeat(4, axis=2), one, one[0, 0, 0])
    dy = np.array([2**24, 1, 1, -(2**24)], "float32").reshape(1, 1, 4, 1)
    assert F.conv_backward(dy, cache)[2] == 2  # in float32, 2**24 + 1 is 2**24


def test_nan_reaches_only_the_windows_that_hold_it(place):
    x = np.zeros((2, 1, 5, 5), "float32")
    x[0, 0, 0, 0] = np.nan
    y = F.conv_forward(place.put(x), place.put(np.ones((2, 1, 3, 3)), "float32"), None, 1, 1)[0]
    bad = np.zeros((2, 2, 5, 5), bool)
    bad[0, :, :2, :2] = True
    assert np.array_equal(np.isnan(place.get(y)), bad)


X, W = np.ones((2, 4, 5, 6)), np.ones((6, 2, 3, 3))
BAD = [
    ({"x": None}, TypeError, "x must be an array, not NoneType"),
    ({"x": X.tolist()}, TypeError, "x must be an array, not list"),
    ({"x": X.astype(int)}, TypeError, "x has dtype int64"),
    ({"x": X + 0j}, TypeError, "x is complex"),
    ({"x": strict.ones((2, 4, 5, 6))}, TypeError, "x lives in array_api_strict .* but w in numpy"),
    ({"x": X[0]}, ValueError, r"x has shape \(4, 5, 6\) and w \(6, 2, 3, 3\)"),
    ({"x": X[:, :2]}, ValueError, "x has 2 channels, but w .* in 2 groups asks for 4"),
    ({"x": X[:, :, :2]}, ValueError, r"spatial shape \(2, 6\).* window of \(3, 3\) does not fit"),
    ({"w": None}, TypeError, "w must be an array, not NoneType"),
    ({"w": W.astype(int)}, TypeError, "w has dtype int64"),
    ({"w": W[0]}, ValueError, r"w \(2, 3, 3\)"),
    ({"w": W[..., :0]}, ValueError, "no axis may be empty"),
    ({"w": W[0, 0], "x": X[0, 0]}, ValueError, "one to three spatial axes are needed"),
    ({"b": [1.0] * 6}, TypeError, "b must be an array, not list"),
    ({"b": np.ones(6, int)}, TypeError, "b has dtype int64"),
    ({"b": np.ones(4)}, ValueError, r"b has shape \(4,\), but w asks for \(6,\)"),
    ({"stride": 0}, ValueError, "stride must be at least 1, not 0"),
    ({"stride": 1.5}, TypeError, "stride must be a whole number or 2 of them.*not 1.5"),
    ({"stride": True}, TypeError, "stride must be a whole number"),
    ({"stride": (1, 1, 1)}, ValueError, r"stride must hold 2 numbers.*not \(1, 1, 1\)"),
    ({"stride": (1, "2")}, TypeError, "stride must be a whole number, not '2'"),
    ({"padding": -1}, ValueError, "padding must be at least 0, not -1"),
    ({"padding": "same"}, TypeError, "padding must be a whole number or 2 of them.*not 'same'"),
    ({"padding": (1,)}, ValueError, "padding must hold 2 numbers"),
    ({"groups": 4}, ValueError, "groups must divide the first axis of w, 6, but it is 4"),
    ({"groups": 0}, ValueError, "groups must be at least 1, not 0"),
    ({"groups": 2.0}, TypeError, "groups must be a whole number, not 2.0"),
]


@pytest.mark.parametrize("changed, kind, message", BAD, ids=[m for *_, m in BAD])
def test_bad_input(changed, kind, message):
    with pytest.raises(kind, match=message):
        F.conv_forward(**{"x": X, "w": W, "groups": 2, **changed})


BAD_DY = [
    (None, TypeError, "dy must be an array"),
    (np.ones((2, 6, 3, 4), int), TypeError, "dy has dtype int64"),
    (np.ones((2, 6, 5, 6)), ValueError, r"dy has shape \(2, 6, 5, 6\), but .* \(2, 6, 3, 4\)"),
    (np.ones((6, 3, 4)), ValueError, r"dy has shape \(6, 3, 4\)"),
    (strict.ones((2, 6, 3, 4)), TypeError, "dy lives in array_api_strict"),
]


@pytest.mark.parametrize("dy, kind, message", BAD_DY)
def test_bad_dy(dy, kind, message):
    with pytest.raises(kind, match=message):
        F.conv_backward(dy, F.conv_forward(X, W, groups=2)[1])


def test_bad_cache():
    with pytest.raises(TypeError, match="cache must be the second value that conv_forward"):
        F.conv_backward(X, None)

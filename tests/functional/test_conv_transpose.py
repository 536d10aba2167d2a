"""Transposed convolution against loops, and against the convolution that it is the gradient of."""

import array_api_strict as strict
import numpy as np
import pytest
import sliding

from bncourse import functional as F
from bncourse.gradcheck import central_difference, complex_step, relative_error

# shape of x, shape of w, stride, padding, output padding, groups
CASES = [
    ((2, 3, 4, 5), (3, 2, 3, 3), (1, 1), (0, 0), (0, 0), 1),
    ((2, 3, 4, 5), (3, 4, 3, 3), (1, 1), (1, 1), (0, 0), 1),
    ((2, 3, 4, 3), (3, 4, 3, 2), (2, 3), (1, 0), (1, 2), 1),
    ((2, 4, 3, 4), (4, 3, 3, 3), (2, 2), (1, 1), (1, 0), 2),
    ((2, 4, 3, 4), (4, 1, 2, 3), (2, 1), (0, 1), (0, 0), 4),
    ((2, 4, 3, 4), (4, 2, 3, 3), (1, 1), (1, 1), (0, 0), 4),
    ((1, 6, 3, 2), (6, 2, 2, 2), (3, 3), (0, 0), (2, 1), 3),
    ((2, 2, 6, 5), (2, 3, 2, 2), (1, 1), (2, 1), (0, 0), 1),
    ((2, 2, 3, 4), (2, 3, 1, 1), (1, 1), (0, 0), (0, 0), 1),
    ((2, 2, 3, 4), (2, 3, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 4, 5), (4, 3, 3), (2,), (1,), (1,), 2),
    ((2, 2, 3, 2, 3), (2, 2, 2, 3, 2), (1, 2, 2), (0, 1, 0), (0, 1, 0), 1),
    ((0, 3, 4, 3), (3, 4, 3, 2), (2, 3), (1, 0), (1, 2), 1),
]
NAMES = "shape, weights, stride, padding, extra, groups"
cases = pytest.mark.parametrize(NAMES, CASES, ids=str)


def example(rng, shape, weights, stride, padding, extra, groups, dtype="float64"):
    sizes = zip(shape[2:], weights[2:], stride, padding, extra, strict=True)
    size = [(n - 1) * s - 2 * p + k + o for n, k, s, p, o in sizes]
    out = weights[1] * groups
    shapes = shape, weights, (out,), (shape[0], out, *size)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


@cases
def test_forward_is_the_loop(home, rng, shape, weights, stride, padding, extra, groups):
    place, dtype = home
    x, w, b, dy = example(rng, shape, weights, stride, padding, extra, groups, dtype)
    here = map(place.put, (x, w, b))
    y = place.get(F.conv_transpose_forward(*here, stride, padding, extra, groups)[0])
    x, w, b = (a.astype(np.longdouble) for a in (x, w, b))
    expected = sliding.conv_transpose(x, w, b, stride, padding, extra, groups).astype(float)
    assert y.shape == dy.shape and str(y.dtype) == dtype
    scale = max(1, np.max(np.abs(expected), initial=0))
    np.testing.assert_allclose(y, expected, rtol=0, atol=4 * place.accurate(dtype) * scale)


def test_without_bias_there_is_no_gradient_of_it(home, rng):
    place, dtype = home
    x, w, b, dy = map(place.put, example(rng, *CASES[3], dtype=dtype))
    y, cache = F.conv_transpose_forward(x, w, None, *CASES[3][2:])
    zero = place.put(np.zeros(b.shape), dtype)
    with_zero = F.conv_transpose_forward(x, w, zero, *CASES[3][2:])[0]
    assert np.array_equal(place.get(y), place.get(with_zero))
    assert F.conv_transpose_backward(dy, cache)[2] is None


@cases
def test_backward_is_a_loop_too(home, rng, shape, weights, stride, padding, extra, groups):
    place, dtype = home
    x, w, b, dy = example(rng, shape, weights, stride, padding, extra, groups, dtype)
    _, cache = F.conv_transpose_forward(*map(place.put, (x, w, b)), stride, padding, extra, groups)
    found = F.conv_transpose_backward(place.put(dy), cache)
    x, w, dy = (a.astype(np.longdouble) for a in (x, w, dy))
    # A convolution that reads dy, in which x is what comes from above.
    expected = [
        sliding.conv(dy, w, None, stride, padding, groups) if len(x) else x,
        sliding.conv_gradients(x, dy, w, stride, padding, groups)[1],
        dy.sum(axis=(0, *range(2, dy.ndim))),
    ]
    for gradient, wanted in zip(found, expected, strict=True):
        gradient = place.get(gradient)
        assert gradient.shape == wanted.shape and str(gradient.dtype) == dtype
        limit = 4 * place.accurate(dtype) * max(1, float(np.max(np.abs(wanted), initial=0)))
        np.testing.assert_allclose(gradient, wanted.astype(float), rtol=0, atol=limit)


@pytest.mark.parametrize("case", CASES[2:5], ids=str)
def test_gradients_agree_with_numerical_ones(rng, case):
    x, w, b, dy = example(rng, *case)
    options = case[2:]
    gradients = F.conv_transpose_backward(dy, F.conv_transpose_forward(x, w, b, *options)[1])
    for i, gradient in enumerate(gradients):

        def loop(v, i=i):
            arguments = [v if j == i else a for j, a in enumerate((x, w, b))]
            return sliding.conv_transpose(*arguments, *options)

        def package(v, i=i):
            arguments = [v if j == i else a for j, a in enumerate((x, w, b))]
            return F.conv_transpose_forward(*arguments, *options)[0]

        at = (x, w, b)[i]
        assert relative_error(gradient, complex_step(loop, at, dy)) < 1e-12
        assert relative_error(gradient, central_difference(package, at, dy)) < 1e-8


@cases
def test_it_is_the_gradient_of_a_convolution(rng, shape, weights, stride, padding, extra, groups):
    x, w, _, u = example(rng, shape, weights, stride, padding, extra, groups)
    y, _ = F.conv_transpose_forward(x, w, None, stride, padding, extra, groups)
    v, cache = F.conv_forward(u, w, None, stride, padding, groups)
    assert v.shape == x.shape
    np.testing.assert_allclose(F.conv_backward(x, cache)[0], y, rtol=0, atol=1e-13)
    np.testing.assert_allclose(np.vdot(x, v), np.vdot(y, u), rtol=1e-12)


def test_output_padding_adds_rows_that_hold_the_bias_alone(rng):
    x, w, b = rng.standard_normal((1, 2, 3, 3)), rng.standard_normal((2, 2, 1, 1)), np.ones(2)
    y, _ = F.conv_transpose_forward(x, w, b, stride=3, output_padding=2)
    assert y.shape == (1, 2, 9, 9) and (y[..., 7:, :] == 1).all() and (y[..., 7:] == 1).all()


def test_nothing_is_changed_and_a_cache_serves_twice(rng):
    for case in CASES:
        x, w, b, dy = arguments = example(rng, *case)
        before = [a.copy() for a in arguments]
        y, cache = F.conv_transpose_forward(x, w, b, *case[2:])
        first = F.conv_transpose_backward(dy, cache)
        expected = [a.copy() for a in first]
        for result in (y, *first):
            result[...] = np.nan
        assert all(map(np.array_equal, arguments, before))
        assert all(map(np.array_equal, F.conv_transpose_backward(dy, cache), expected))


X, W = np.ones((2, 4, 3, 3)), np.ones((4, 3, 3, 3))
BAD = [
    ({"x": None}, TypeError, "x must be an array, not NoneType"),
    ({"x": X.astype(int)}, TypeError, "x has dtype int64"),
    ({"x": strict.ones((2, 4, 3, 3))}, TypeError, "x lives in array_api_strict .* but w in numpy"),
    ({"x": X[0]}, ValueError, r"x has shape \(4, 3, 3\) and w \(4, 3, 3, 3\)"),
    ({"x": X[:, :2]}, ValueError, "x has 2 channels, but w .* asks for 4"),
    ({"x": X[:, :, :0]}, ValueError, r"spatial shape \(0, 3\).*nothing is left"),
    ({"w": W + 0j}, TypeError, "w is complex"),
    ({"w": W[:, :0]}, ValueError, "no axis may be empty"),
    ({"b": np.ones(3)}, ValueError, r"b has shape \(3,\), but w asks for \(6,\)"),
    ({"b": np.ones(6, int)}, TypeError, "b has dtype int64"),
    ({"stride": 0}, ValueError, "stride must be at least 1, not 0"),
    ({"padding": -1}, ValueError, "padding must be at least 0, not -1"),
    ({"padding": 4}, ValueError, r"gives an output of \(-1, -1\): nothing is left"),
    ({"output_padding": 2}, ValueError, r"output_padding must be less than stride, \(2, 2\)"),
    ({"output_padding": (0, 1.0)}, TypeError, "output_padding must be a whole number, not 1.0"),
    ({"groups": 3}, ValueError, "groups must divide the channels of x, .* 4, but it is 3"),
]


@pytest.mark.parametrize("changed, kind, message", BAD, ids=[m for *_, m in BAD])
def test_bad_input(changed, kind, message):
    with pytest.raises(kind, match=message):
        F.conv_transpose_forward(**{"x": X, "w": W, "stride": 2, "groups": 2, **changed})


BAD_DY = [
    (None, TypeError, "dy must be an array"),
    (np.ones((2, 6, 7, 7), int), TypeError, "dy has dtype int64"),
    (np.ones((2, 6, 3, 3)), ValueError, r"dy has shape \(2, 6, 3, 3\), but .* \(2, 6, 7, 7\)"),
    (strict.ones((2, 6, 7, 7)), TypeError, "dy lives in array_api_strict"),
]


@pytest.mark.parametrize("dy, kind, message", BAD_DY)
def test_bad_dy(dy, kind, message):
    with pytest.raises(kind, match=message):
        F.conv_transpose_backward(dy, F.conv_transpose_forward(X, W, stride=2, groups=2)[1])


def test_the_cache_of_a_convolution_will_not_do():
    _, cache = F.conv_forward(X, np.ones((6, 4, 3, 3)))
    with pytest.raises(TypeError, match="cache must be the second value that conv_transpose_for"):
        F.conv_transpose_backward(X, cache)

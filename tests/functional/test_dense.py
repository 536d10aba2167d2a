import array_api_strict as strict
import numpy as np
import pytest

from bncourse import functional as F
from bncourse.gradcheck import central_difference, complex_step, relative_error


def example(rng, dtype="float64", n=7):
    shapes = (n, 5), (5, 3), (3,), (n, 3)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


@pytest.mark.parametrize("n", [7, 1, 0])
def test_forward_and_backward_are_sums(home, rng, n):
    place, dtype = home
    x, w, b, dy = example(rng, dtype, n)
    y, cache = F.dense_forward(*map(place.put, (x, w, b)))
    long = [a.astype(np.longdouble) for a in (x, w, b, dy)]
    expected = [
        np.einsum("nd,dh->nh", long[0], long[1]) + long[2],
        np.einsum("nh,dh->nd", long[3], long[1]),
        np.einsum("nd,nh->dh", long[0], long[3]),
        long[3].sum(axis=0),
    ]
    for found, wanted in zip((y, *F.dense_backward(place.put(dy), cache)), expected, strict=True):
        found = place.get(found)
        assert str(found.dtype) == dtype and found.shape == wanted.shape
        np.testing.assert_allclose(
            found, wanted.astype(float), rtol=0, atol=20 * place.accurate(dtype)
        )


@pytest.mark.parametrize("numerical, limit", [(complex_step, 1e-12), (central_difference, 1e-8)])
def test_gradients_agree_with_numerical_ones(rng, numerical, limit):
    x, w, b, dy = example(rng)
    dx, dw, db = F.dense_backward(dy, F.dense_forward(x, w, b)[1])
    assert relative_error(dx, numerical(lambda v: v @ w + b, x, dy)) < limit
    assert relative_error(dw, numerical(lambda v: x @ v + b, w, dy)) < limit
    assert relative_error(db, numerical(lambda v: x @ w + v, b, dy)) < limit


def test_without_bias_there_is_no_gradient_of_it(place, rng):
    x, w, _, dy = map(place.put, example(rng, "float32"))
    y, cache = F.dense_forward(x, w)
    assert F.dense_backward(dy, cache)[2] is None
    np.testing.assert_allclose(place.get(y), place.get(x) @ place.get(w), rtol=1e-5)


def test_a_gradient_that_is_not_wanted_is_not_there(rng):
    x, w, dy = rng.standard_normal((3, 4, 4))
    _, cache = F.dense_forward(x, w)
    dx, dw, _ = F.dense_backward(dy, cache, input_gradient=False)
    assert dx is None and np.array_equal(dw, F.dense_backward(dy, cache)[1])


def test_nothing_is_changed(rng):
    arguments = example(rng)
    before = [a.copy() for a in arguments]
    F.dense_backward(arguments[3], F.dense_forward(*arguments[:3])[1])
    assert all(map(np.array_equal, arguments, before))


BAD = [
    ("x", None, TypeError, "x must be an array, not NoneType"),
    ("x", [[1.0] * 5], TypeError, "x must be an array, not list"),
    ("x", np.ones((7, 5), int), TypeError, "x has dtype int64"),
    ("x", np.ones(5), ValueError, r"x has shape \(5,\)"),
    ("x", np.ones((7, 4)), ValueError, r"x has shape \(7, 4\) and w \(5, 3\)"),
    ("x", strict.ones((7, 5)), TypeError, "x lives in array_api_strict .* but w in numpy"),
    ("w", None, TypeError, "w must be an array, not NoneType"),
    ("w", np.ones((5, 3)) * 1j, TypeError, "w is complex"),
    ("w", np.ones((5, 3, 1)), ValueError, r"w \(5, 3, 1\)"),
    ("b", [1.0, 2.0, 3.0], TypeError, "b must be an array, not list"),
    ("b", np.ones(3, int), TypeError, "b has dtype int64"),
    ("b", np.ones(1), ValueError, r"b has shape \(1,\), but w asks for \(3,\)"),
    ("b", np.ones((7, 3)), ValueError, r"b has shape \(7, 3\)"),
]


@pytest.mark.parametrize("name, value, kind, message", BAD)
def test_bad_input(rng, name, value, kind, message):
    x, w, b, _ = example(rng)
    with pytest.raises(kind, match=message):
        F.dense_forward(**{"x": x, "w": w, "b": b, name: value})


BAD_DY = [
    (None, TypeError, "dy must be an array"),
    (np.ones((7, 3), int), TypeError, "dy has dtype int64"),
    (np.ones((7, 5)), ValueError, r"dy has shape \(7, 5\), but .* \(7, 3\)"),
    (np.ones(3), ValueError, r"dy has shape \(3,\)"),
    (strict.ones((7, 3)), TypeError, "dy lives in array_api_strict"),
]


@pytest.mark.parametrize("dy, kind, message", BAD_DY)
def test_bad_dy(rng, dy, kind, message):
    with pytest.raises(kind, match=message):
        F.dense_backward(dy, F.dense_forward(*example(rng)[:3])[1])


def test_bad_cache(rng):
    with pytest.raises(TypeError, match="cache must be the second value that dense_forward"):
        F.dense_backward(np.ones((7, 3)), None)

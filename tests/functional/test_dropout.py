import array_api_strict as strict
import numpy as np
import pytest

from bncourse import functional as F
from bncourse.gradcheck import complex_step, relative_error


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0, 0, 1])
@pytest.mark.parametrize("shape", [(40, 30), (2, 3, 4, 5), (), (0, 3)])
def test_what_is_kept_is_scaled_up_and_the_rest_is_zero(home, p, shape):
    place, dtype = home
    x = np.ones(shape, dtype) * 3
    y, cache = F.dropout_forward(place.put(x), p, np.random.default_rng(5))
    mask, y = place.get(cache.mask), place.get(y)
    assert str(y.dtype) == dtype and y.shape == shape
    np.testing.assert_allclose(y[mask], 3 / (1 - p) if p < 1 else 0, rtol=1e-3)
    assert (y[~mask] == 0).all() and (p not in (0, 1) or (mask == (p == 0)).all())


def test_as_many_are_dropped_as_were_asked_for_and_the_mean_stays():
    y, cache = F.dropout_forward(np.ones(100_000), 0.2, np.random.default_rng(0))
    assert abs(cache.mask.mean() - 0.8) < 0.005  # four standard deviations of the mean
    assert abs(y.mean() - 1) < 0.007


def test_backward_takes_the_same_mask(home, rng):
    place, dtype = home
    x, dy = rng.standard_normal((2, 7, 3)).astype(dtype)
    y, cache = F.dropout_forward(place.put(x), 0.5, rng)
    factor = place.get(cache.mask) * 2.0
    dx = place.get(F.dropout_backward(place.put(dy), cache))
    assert str(dx.dtype) == dtype
    expected = complex_step(lambda v: v * factor, x.astype(float), dy.astype(float))
    assert relative_error(dx.astype(float), expected) < place.accurate(dtype)
    assert np.array_equal(place.get(y), (x * factor).astype(dtype))


def test_one_seed_gives_one_mask_in_every_library_and_dtype(home):
    place, dtype = home
    _, cache = F.dropout_forward(place.put(np.ones((7, 3)), dtype), 0.5, np.random.default_rng(3))
    _, here = F.dropout_forward(np.ones((7, 3)), 0.5, np.random.default_rng(3))
    assert np.array_equal(place.get(cache.mask), here.mask)


def test_the_generator_moves_on(rng):
    x = np.ones((20, 20))
    first, second = (F.dropout_forward(x, 0.5, rng)[1].mask for _ in range(2))
    assert not np.array_equal(first, second)


def test_a_nan_that_is_dropped_is_gone():
    x = np.full((50, 50), np.nan)
    y, cache = F.dropout_forward(x, 0.5, np.random.default_rng(0))
    assert np.array_equal(np.isnan(y), cache.mask)


def test_nothing_is_changed(rng):
    x, dy = rng.standard_normal((2, 7, 3))
    before = x.copy(), dy.copy()
    y, cache = F.dropout_forward(x, 0.0, rng)
    y[...] = F.dropout_backward(dy, cache)[...] = np.nan
    assert np.array_equal(x, before[0]) and np.array_equal(dy, before[1])


X = np.ones((7, 3))
GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize(
    "x, p, rng, kind, message",
    [
        (None, 0.5, GENERATOR, TypeError, "x must be an array"),
        (X.astype(int), 0.5, GENERATOR, TypeError, "x has dtype int64"),
        (X, "0.5", GENERATOR, TypeError, "p must be a number, not '0.5'"),
        (X, True, GENERATOR, TypeError, "p must be a number, not True"),
        (X, -0.1, GENERATOR, ValueError, r"p must lie in \[0, 1\], not -0.1"),
        (X, 1.1, GENERATOR, ValueError, r"p must lie in \[0, 1\], not 1.1"),
        (X, np.nan, GENERATOR, ValueError, "p must lie in"),
        (X, 0.5, 0, TypeError, "rng must be a numpy.random.Generator, .* not 0"),
        (X, 0.5, None, TypeError, "rng must be a numpy.random.Generator, .* not None"),
    ],
)
def test_bad_input(x, p, rng, kind, message):
    state = GENERATOR.bit_generator.state
    with pytest.raises(kind, match=message):
        F.dropout_forward(x, p, rng)
    assert GENERATOR.bit_generator.state == state


@pytest.mark.parametrize(
    "dy, kind, message",
    [
        (X.astype(int), TypeError, "dy has dtype int64"),
        (X[0], ValueError, r"dy has shape \(3,\), but .* \(7, 3\)"),
        (strict.ones((7, 3)), TypeError, "dy lives in array_api_strict"),
    ],
)
def test_bad_dy(dy, kind, message):
    with pytest.raises(kind, match=message):
        F.dropout_backward(dy, F.dropout_forward(X, 0.5, GENERATOR)[1])


def test_bad_cache():
    with pytest.raises(TypeError, match="cache must be the second value that dropout_forward"):
        F.dropout_backward(X, X)

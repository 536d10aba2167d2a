"""Where other implementations lose digits: far means, wide and narrow spreads, many values."""

import numpy as np
import pytest
import reference
from places import PLACES

from bncourse import functional as F
from bncourse.moments import Moments, merge


def exact(x, eps=1e-5):
    """Batch norm of (N, C) in extended precision, without a loop for many values."""
    x = x.astype(np.longdouble)
    d = x - x.mean(axis=0)
    return (d / np.sqrt((d * d).mean(axis=0) + np.longdouble(eps))).astype(float)


@pytest.mark.parametrize("mean", [0, 1e2, 1e4, 1e6])
def test_float32_is_the_float64_result_rounded_once(rng, mean):
    x = (rng.standard_normal((4096, 3)) + mean).astype("float32")
    dy = rng.standard_normal(x.shape).astype("float32")
    y, cache = F.batch_norm_forward(x)
    y_64, cache_64 = F.batch_norm_forward(x.astype("float64"))
    assert np.max(np.abs(y - y_64)) < 5e-7
    dx = F.batch_norm_backward(dy, cache)[0]
    dx_64 = F.batch_norm_backward(dy.astype("float64"), cache_64)[0]
    assert np.max(np.abs(dx - dx_64)) < 1e-6 * np.max(np.abs(dx_64))


@pytest.mark.parametrize("mean", [0, 1e2, 1e4, 1e6])
def test_float64_is_exact_far_from_the_origin(rng, mean):
    x = rng.standard_normal((997, 3)) + mean
    assert np.max(np.abs(F.batch_norm_forward(x)[0] - exact(x))) < 2e-15 * max(1, mean) + 2e-14


@pytest.mark.parametrize("mean", [1e4, 1e6])
def test_float32_statistics_survive_a_device_without_float64(rng, mean):
    place = PLACES["no_float64"]
    x = (rng.standard_normal((4099, 3)) + mean).astype("float32")
    y = place.get(F.batch_norm_forward(place.put(x))[0])
    assert np.max(np.abs(y - exact(x))) < 3e-6


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("var", [1e-12, 1e-6, 1e6, 1e12])
def test_spreads_from_tiny_to_huge(rng, dtype, var):
    x = (rng.standard_normal((101, 3)) * var**0.5).astype(dtype)
    for eps in (1e-5, 1e-30):
        y = F.batch_norm_forward(x, eps=eps)[0]
        limit = 1e-13 if dtype == "float64" else 5e-7
        assert np.max(np.abs(y - exact(x, eps))) < limit


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, -1e4, 65504.0])
@pytest.mark.parametrize("eps", [1e-5, 1e-30])
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
def test_a_constant_channel_gives_exactly_beta(home, value, eps):
    place, dtype = home
    x = place.put(np.full((7, 3), value), dtype)
    gamma, beta = place.put([1, 100, -3], dtype), place.put([0.1, -2, 7], dtype)
    y, cache = F.batch_norm_forward(x, gamma, beta, eps)
    assert np.array_equal(place.get(y), np.broadcast_to(place.get(beta), (7, 3)))
    _, dgamma, _ = F.batch_norm_backward(place.put(np.eye(7, 3) * 1e-3, dtype), cache)
    assert not place.get(dgamma).any()


def test_float16_sums_do_not_overflow(rng):
    x = (rng.standard_normal((70001, 2)) + 4).astype("float16")
    y, cache = F.batch_norm_forward(x)
    assert np.max(np.abs(y - exact(x))) < 2e-3
    one = np.ones(2)
    cache = cache._replace(gamma=one, beta=one)
    _, dgamma, dbeta = F.batch_norm_backward(np.ones_like(x), cache)
    assert np.array_equal(dbeta, [70001, 70001])
    assert np.max(np.abs(dgamma)) < 70001 * 1e-3


@pytest.mark.parametrize(
    "dtype, largest", [("float16", 6e4), ("float32", 3e38), ("float64", 1e150)]
)
def test_the_largest_finite_inputs_give_finite_outputs(rng, dtype, largest):
    x = rng.uniform(-1, 1, (101, 3))
    x = (x * largest).astype(dtype)
    y, cache = F.batch_norm_forward(x)
    assert np.isfinite(y).all()
    np.testing.assert_allclose(y.std(axis=0), 1, rtol=2e-3)
    assert all(np.isfinite(g).all() for g in F.batch_norm_backward(y, cache)[:1])


OVERFLOWS = [
    ("numpy", "float64", 1e300),
    ("strict", "float64", 1e300),
    ("no_float64", "float32", 1e36),
]


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("name, dtype, huge", OVERFLOWS, ids=lambda v: str(v))
@pytest.mark.parametrize("masked", [False, True])
def test_where_squares_overflow_the_result_is_that_of_smaller_values(
    rng, name, dtype, huge, masked
):
    """Powers of two apart, so that both are rounded alike; eps is lost beside either."""
    place = PLACES[name]
    power = 2.0 ** np.floor(np.log2(huge))
    small, dy = rng.standard_normal((2, 7, 3)).astype(dtype)
    gamma = place.put(np.array([2, -1, 3], dtype))
    mask = place.put(np.arange(7) != 2) if masked else None
    large = small * np.array([power, 1, power], dtype)
    results = []
    for x in (small, large):
        y, cache = F.batch_norm_forward(place.put(x), gamma, gamma, 1e-30, mask=mask)
        results.append([place.get(a) for a in (y, *F.batch_norm_backward(place.put(dy), cache))])
        last = cache.moments
    (y, dx, dgamma, dbeta), (y_large, dx_large, dgamma_large, dbeta_large) = results
    limit = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(y_large, y, rtol=limit, atol=limit)
    dx = dx / np.array([power, 1, power], dtype)
    assert np.all(np.abs(dx_large - dx) <= limit * np.max(np.abs(dx), axis=0))
    np.testing.assert_allclose(dgamma_large, dgamma, rtol=limit, atol=limit)
    assert np.array_equal(dbeta_large, dbeta)
    assert np.array_equal(np.isinf(place.get(last.m2)), [True, False, True])
    seen = slice(None) if mask is None else place.get(mask)
    np.testing.assert_allclose(place.get(last.mean), large[seen].mean(axis=0), rtol=limit)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_moments_of_huge_values_are_never_nan():
    """The sum of squares has no number to stand for it; mean, merge and difference have."""
    x = np.array([[1e300], [-3e299], [2e299]])
    whole = Moments.of(x)
    merged = merge(Moments.of(x[:1]), Moments.of(x[1:]))
    for moments in (whole, merged):
        np.testing.assert_allclose(moments.mean, 3e299, rtol=1e-15)
        assert moments.m2 == np.inf


@pytest.mark.filterwarnings("ignore:.*(overflow|invalid):RuntimeWarning")
def test_beside_a_channel_that_overflows_nan_and_constants_are_what_they_are(rng):
    x = rng.standard_normal((7, 4))
    expected = F.batch_norm_forward(x)[0]
    x[:, 1] *= 1e200
    x[:, 2] = 1e300
    x[3, 3] = np.inf
    y, cache = F.batch_norm_forward(x)
    assert np.array_equal(y[:, 0], expected[:, 0])
    np.testing.assert_allclose(y[:, 1].std(), 1)
    assert np.array_equal(y[:, 2], np.zeros(7))
    np.testing.assert_allclose(cache.inv_std[0, 2], 1e-5**-0.5)
    assert np.isnan(y[:, 3]).all()


def test_a_float32_buffer_would_show(rng):
    """Many values far from zero: a sum carried in float32 is wrong in the first digit."""
    x = (rng.standard_normal((300_007, 1)) + 100).astype("float32")
    moments = Moments.of(x, axis=0)
    mean = x.astype(np.longdouble).mean()
    var = ((x.astype(np.longdouble) - mean) ** 2).mean()
    np.testing.assert_allclose(moments.mean, float(mean), rtol=1e-14)
    np.testing.assert_allclose(moments.var, float(var), rtol=1e-12)


@pytest.mark.parametrize("name, dtype", [("numpy", "float64"), ("no_float64", "float32")])
@pytest.mark.parametrize("mean", [0, 1e4])
def test_many_values_cost_no_digits_where_nothing_is_wider(rng, name, dtype, mean):
    """A running sum of 65536 squares loses some hundred units in the last place."""
    place = PLACES[name]
    x = (rng.standard_normal((65_536, 3)) + mean).astype(dtype)
    long = x.astype(np.longdouble)
    d = long - long.mean(axis=0)
    moments = Moments.of(place.put(x))
    limit = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(place.get(moments.var), (d * d).mean(axis=0).astype(float), limit)


@pytest.mark.parametrize("shape", [(64, 3), (64, 3, 32, 32)], ids=len)
@pytest.mark.parametrize("dtype, accurate", [("float16", 2e-3), ("float32", 1e-2)])
def test_a_gradient_that_all_but_cancels_keeps_its_digits(rng, shape, dtype, accurate):
    """With dy along y, dx is the share of eps alone: small, and not lost in rounding of x_hat."""
    x = rng.standard_normal(shape).astype(dtype)
    y, cache = F.batch_norm_forward(x)
    dx = F.batch_norm_backward(y, cache)[0]
    assert dx.dtype == x.dtype
    axes = tuple(a for a in range(x.ndim) if a != 1)
    long, g = x.astype("float64"), y.astype("float64")
    d = long - long.mean(axis=axes, keepdims=True)
    std = np.sqrt((d * d).mean(axis=axes, keepdims=True) + 1e-5)
    h = d / std
    mean = g.mean(axis=axes, keepdims=True), (g * h).mean(axis=axes, keepdims=True)
    expected = (g - mean[0] - h * mean[1]) / std
    size = np.max(np.abs(expected))
    assert size < 3e-3
    assert np.max(np.abs(dx - expected)) < accurate * size


def test_inference_centers_before_it_scales(rng):
    """Folded into x * scale + shift, a float32 at mean 1e4 would lose three digits."""
    place = PLACES["no_float64"]
    x = (rng.standard_normal((97, 3)) + 1e4).astype("float32")
    mean, var = np.full(3, 1e4, "float32"), np.full(3, 0.3, "float32")
    y = place.get(F.batch_norm_inference(place.put(x), None, None, place.put(mean), place.put(var)))
    expected = reference.batch_norm_inference(x, None, None, mean, var)
    np.testing.assert_allclose(y, expected.astype(float), rtol=5e-7, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_nan_and_infinity_stay_in_their_channel(home, rng, bad):
    place, dtype = home
    clean, dy = rng.standard_normal((2, 7, 3)).astype(dtype)
    x = clean.copy()
    x[2, 1] = bad
    gamma = place.put(np.ones(3), dtype)
    mean, var = place.put(np.zeros(3), dtype), place.put(np.ones(3), dtype)
    results = []
    for a in (clean, x):
        y, cache = F.batch_norm_forward(place.put(a), gamma, gamma)
        dx, dgamma, dbeta = F.batch_norm_backward(place.put(dy), cache)
        y_inference = F.batch_norm_inference(place.put(a), gamma, gamma, mean, var)
        results.append([place.get(r) for r in (y, dx, dgamma, dbeta, y_inference)])
    for expected, found in zip(*results, strict=True):
        assert np.array_equal(found[..., [0, 2]], expected[..., [0, 2]])
    assert np.isnan(results[1][0][:, 1]).all()
    assert not np.isfinite(results[1][4][2, 1])
    assert np.array_equal(np.delete(results[1][4], 2, 0), np.delete(results[0][4], 2, 0))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_bad_upstream_gradient_stays_in_its_channel(rng, bad):
    x, dy = rng.standard_normal((2, 7, 3))
    _, cache = F.batch_norm_forward(x, np.ones(3), np.zeros(3))
    expected = F.batch_norm_backward(dy, cache)
    dy[0, 1] = bad
    for found, wanted in zip(F.batch_norm_backward(dy, cache), expected, strict=True):
        assert np.array_equal(found[..., [0, 2]], wanted[..., [0, 2]])
        assert not np.isfinite(found[..., 1]).any()

"""Each module of kernels against the general form, over shapes and values that are hard."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import kernels
from bncourse.kernels import blocks, compiled, layout

SHAPES = [
    # shape, channel axis
    ((8, 5, 61, 31), 1),
    ((64, 3, 400), 1),
    ((3, 70, 7, 53), 1),
    ((128, 9, 7, 7), 1),
    ((2, 3, 2**15), 1),
    ((60, 100), 1),
    ((1031, 17), 1),
    ((5, 1031), 1),
    ((9, 13, 11, 6), -1),
    ((6, 40, 7, 5), (1, 2)),
    ((300, 1, 7), 1),
    ((2, 3), 1),
]


@pytest.fixture(params=["numba", "numpy"])
def name(request):
    if request.param == "numba" and not compiled.available():
        pytest.skip("Numba is not installed: the extra 'fast'")
    return request.param


def both_ways(x, dy, gamma=None, beta=None, axis=1):
    y, cache = F.batch_norm_forward(x, gamma, beta, axis=axis)
    return cache, y, *F.batch_norm_backward(dy, cache)


def compare(name, x, dy, gamma=None, beta=None, axis=1, ulps=2):
    kept = x.copy(), dy.copy()
    with kernels.using(name):
        cache, *got = both_ways(x, dy, gamma, beta, axis)
    with kernels.using("never"):
        general, *want = both_ways(x, dy, gamma, beta, axis)
    unit = ulps * np.finfo(x.dtype).eps
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=unit, atol=unit * np.max(np.abs(b)))
    assert cache.moments.count == general.moments.count
    exact = 1e-9 if name == "numba" and x.dtype == "float64" else 4e-7
    np.testing.assert_allclose(cache.moments.m2, general.moments.m2, rtol=exact, atol=1e-300)
    off = np.abs(cache.moments.mean - general.moments.mean)
    assert np.all(off <= exact * general.moments.var**0.5 + 1e-15 * np.abs(general.moments.mean))
    assert cache.inv_std.shape == general.inv_std.shape and cache.x is x
    assert np.array_equal(x, kept[0]) and np.array_equal(dy, kept[1])
    return got


@pytest.mark.parametrize("shape, axis", SHAPES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("parameters", ["both", "gamma", "beta", "none"])
def test_kernels_agree_with_the_general_form(rng, name, shape, axis, dtype, parameters):
    x = (rng.standard_normal(shape) * 3 + 50).astype(dtype)
    dy = rng.normal(0.3, 1, shape).astype(dtype)
    channels = [shape[a] for a in (axis if isinstance(axis, tuple) else (axis,))]
    gamma = rng.standard_normal(channels, "float32") if parameters in ("both", "gamma") else None
    beta = rng.standard_normal(channels) if parameters in ("both", "beta") else None
    compare(name, x, dy, gamma, beta, axis, ulps=8 if dtype == "float64" else 2)


@pytest.mark.parametrize("shape", [(4099, 3), (67, 3, 61)])
@pytest.mark.parametrize(
    "mean, std", [(0, 1), (1e4, 1), (1e6, 1), (-1e6, 1), (0, 1e-12), (0, 1e12), (7, 0), (1e-40, 0)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_means_and_odd_units_cost_no_digits(rng, name, shape, mean, std, dtype):
    x = (mean + std * rng.standard_normal(shape)).astype(dtype)
    compare(name, x, rng.standard_normal(shape).astype(dtype), ulps=16)


@pytest.mark.parametrize("shape", [(4099, 3), (67, 3, 61)])
def test_a_constant_channel_becomes_exactly_beta(name, shape):
    x = np.full(shape, 0.1, "float32")
    with kernels.using(name):
        y, cache = F.batch_norm_forward(x, beta=np.full(3, 0.7, "float32"))
    assert np.all(y == np.float32(0.7)) and np.all(cache.moments.m2 == 0)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("shape", [(4099, 3), (67, 3, 61)])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 33])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_finite_stays_in_its_channel(rng, name, shape, bad, where, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    x[where, 1] = bad
    with kernels.using(name):
        cache, y, dx, *_ = both_ways(x, x)
    for a in (y, dx):
        assert np.isnan(a[:, 1]).all() and np.isfinite(a[:, [0, 2]]).all()
    assert np.isfinite(cache.moments.m2).tolist() == [True, False, True]


@pytest.mark.parametrize("shape", [(4099, 3), (67, 3, 61)])
def test_squares_that_overflow_are_left_to_the_general_form(rng, name, shape):
    x = 1e200 * rng.standard_normal(shape)
    with np.errstate(over="ignore"), kernels.using(name):
        _, y, dx, *_ = both_ways(x, x / 1e200)
    np.testing.assert_allclose(y.std(axis=(0, *range(2, y.ndim))), 1)
    assert np.isfinite(dx).all()


@pytest.mark.parametrize("shape", [(33000, 3), (67, 3, 610), (500, 3, 60)])
@pytest.mark.parametrize("value", [1e20, 1e30, 3e38])
def test_squares_that_overflow_float32_only(rng, name, shape, value):
    dy = rng.standard_normal(shape).astype("float32")
    compare(name, np.full(shape, value, "float32"), dy)
    x = (rng.uniform(-1, 1, shape) * value).astype("float32")
    with kernels.using(name):  # no warning: nothing overflows that matters
        _, y, *_ = both_ways(x, dy)
    np.testing.assert_allclose(y.std(axis=(0, *range(2, y.ndim)), dtype=float), 1, rtol=1e-5)


@pytest.mark.parametrize("shape", [(33000, 3), (67, 3, 610)])
def test_products_that_overflow_float32_only(rng, name, shape):
    x = (1e15 * rng.standard_normal(shape)).astype("float32")
    dy = (1e30 * rng.standard_normal(shape)).astype("float32")
    compare(name, x, dy, np.full(3, 0.1, "float32"))
    with kernels.using(name):
        _, cache = F.batch_norm_inference_forward(x, None, None, np.zeros(3), np.full(3, 1e30))
        got = F.batch_norm_inference_backward(dy, cache)
    with kernels.using("never"):
        want = F.batch_norm_inference_backward(dy, cache)
    np.testing.assert_allclose(got[-1], want[-1], rtol=1e-5)


@pytest.mark.parametrize("shape", [(33000, 3), (67, 3, 610)])
def test_products_that_underflow_float32_only(rng, name, shape):
    x = (1e-14 * rng.standard_normal(shape)).astype("float32")
    dy = (1e-30 * rng.standard_normal(shape)).astype("float32")
    gamma = np.ones(3, "float32")
    results = []
    for which in (name, "never"):
        with kernels.using(which):
            _, cache = F.batch_norm_forward(x, gamma, eps=1e-29)
            results.append(F.batch_norm_backward(dy, cache)[:2])
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6 * np.abs(want).max())


def test_nan_in_one_channel_does_not_hide_what_overflows_in_another(rng, name):
    x, dy = rng.standard_normal((2, 40, 2, 60))
    x[:, 1] *= 1e160
    x[0, 0, 0] = np.nan
    with np.errstate(all="ignore"), kernels.using(name):
        _, cache = F.batch_norm_forward(x.repeat(3, axis=0))
        got, *_ = F.batch_norm_backward(dy.repeat(3, axis=0), cache)
    with np.errstate(all="ignore"), kernels.using("never"):
        want, *_ = F.batch_norm_backward(dy.repeat(3, axis=0), cache)
    np.testing.assert_allclose(got[:, 1], want[:, 1], rtol=1e-9, atol=1e-172)


@pytest.mark.parametrize("shape", [(4096, 64), (64, 64, 49), (64, 8, 784)])
def test_squares_on_a_grid_are_not_rounded_down(rng, shape):
    """Far from 0 they are, all of them, as soon as the sum's own grid is coarser than theirs."""
    if not compiled.available():
        pytest.skip("Numba is not installed: the extra 'fast'")
    x = (rng.standard_normal(shape) + 1e4).astype("float32")
    with kernels.using("numba"):
        _, cache = F.batch_norm_forward(x)
    exact = x.astype(float).var(axis=(0, *range(2, x.ndim)))
    np.testing.assert_allclose(cache.moments.var, exact, rtol=3e-8)


@pytest.mark.parametrize("shape", [(61, 3, 143), (40, 3, 255), (42, 3, 187), (64, 3, 49)])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_alike_values_are_not_all_rounded_the_same_way(rng, shape, share):
    """Nor does a center between them, far from the mean, make their roundings count manifold."""
    if not compiled.available():
        pytest.skip("Numba is not installed: the extra 'fast'")
    first = np.arange(shape[0] * shape[2]).reshape(shape[0], 1, -1) < share * shape[0] * shape[2]
    for values in rng.uniform(-9, 9, (20, 2)):
        x = np.where(first, *values) + np.zeros((1, 3, 1))
        x, dy = x.astype("float32"), np.full(shape, values[0], "float32")
        with kernels.using("numba"):
            cache, *_, dbeta = both_ways(x, dy, beta=np.zeros(3))
        exact = x.astype("longdouble").var(axis=(0, 2)).astype(float)
        np.testing.assert_allclose(cache.moments.var, exact, rtol=2.5e-7)
        np.testing.assert_allclose(dbeta, dy.sum(axis=(0, 2), dtype=float), rtol=2.5e-7)


@pytest.mark.parametrize("shape", [(65537, 2), (8, 2, 8209)])
def test_a_mean_a_hundred_million_deviations_away(rng, name, shape):
    x = np.full(shape, 1e8, "float32")
    x[0] += 8
    dy, beta = rng.standard_normal(shape).astype("float32"), np.full(2, 1e-3, "float32")
    x[:, 1] = 1e8
    y = compare(name, x, dy, beta=beta)[0]
    assert np.all(y[:, 1] == beta[1])


def test_a_map_that_cannot_be_cut_costs_no_digits(rng, name):
    x = (1e8 + 1e3 * rng.standard_normal((1, 3, 99991))).astype("float32")
    compare(name, x, rng.standard_normal(x.shape).astype("float32"))


@pytest.mark.parametrize("shape", [(300, 20), (8, 20, 60)])
@pytest.mark.parametrize("dtype", ["float16", ">f4", ">f8", "longdouble"])
def test_parameters_of_any_floating_dtype_are_taken(rng, name, shape, dtype):
    x, dy = (rng.standard_normal(shape).astype("float32") for _ in range(2))
    gamma = rng.uniform(1, 2, 20).astype(dtype)
    compare(name, x, dy, gamma, gamma)


@pytest.mark.parametrize("shape", [(8192, 100), (40, 33, 41, 17), (90001, 9)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_number_of_threads_gives_the_same_bits(rng, name, shape, dtype):
    x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    results = []
    for count in (1, 2, 3):
        with kernels.using(name, threads=count):
            results.append(both_ways(x, dy)[1:3])
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("shape", [(300, 20), (8, 4, 60, 40)])
def test_an_upstream_gradient_of_any_layout_and_dtype_is_taken(rng, name, shape):
    x = rng.standard_normal(shape).astype("float32")
    for dtype in ("float16", "float32", "float64"):
        dy = np.asfortranarray(rng.standard_normal(shape).astype(dtype))
        compare(name, x, dy)


@pytest.mark.parametrize("shape, axis", SHAPES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("mean", [0.5, 1e4])
def test_inference_agrees_with_the_general_form(rng, name, shape, axis, dtype, mean):
    channels = [shape[a] for a in (axis if isinstance(axis, tuple) else (axis,))]
    x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    x += x.dtype.type(mean)
    gamma, beta, shift = (rng.standard_normal(channels).astype("float32") for _ in range(3))
    given = x, gamma, beta, shift + mean, rng.uniform(0.5, 2, channels), 1e-5, axis
    results = []
    for kernel in (name, "never"):
        with kernels.using(kernel):
            y, cache = F.batch_norm_inference_forward(*given)
            results.append((y, *F.batch_norm_inference_backward(dy, cache)))
    for a, b in zip(*results, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        unit = (64 if dtype == "float64" else 8) * max(np.finfo(a.dtype).eps, np.finfo(dtype).eps)
        np.testing.assert_allclose(a, b, rtol=unit, atol=unit * np.max(np.abs(b)))


@pytest.mark.parametrize("shape", [(4099, 3), (67, 3, 61)])
def test_inference_by_a_scale_that_overflows_float32_only(rng, name, shape):
    x, dy = (1e-10 * rng.standard_normal((2, *shape))).astype("float32")
    given = x, np.full(3, 1e30), None, np.zeros(3), np.zeros(3), 1e-20
    results = []
    for kernel in (name, "never"):
        with kernels.using(kernel):
            y, cache = F.batch_norm_inference_forward(*given)
            results.append((y, *F.batch_norm_inference_backward(dy, cache)))
    for a, b in zip(*results, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert np.isfinite(a).all()
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * np.abs(b).max())


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((0, 3, 4, 4), "float32"),
        np.zeros((60, 40, 4, 8), "float32").transpose(3, 2, 0, 1),
        np.zeros((64, 50), ">f4"),
    ],
    ids=["empty", "not contiguous", "foreign bytes"],
)
def test_what_kernels_decline_goes_the_general_way(x):
    shape = layout.of(x.shape, (0, *range(2, x.ndim)), (1,)).shape
    assert not compiled.supports(x, shape)
    if x.dtype.isnative:
        assert not blocks.supports(x, shape)


def test_masks_go_the_general_way(rng):
    x = rng.standard_normal((500, 20)).astype("float32")
    with kernels.using("always"):
        y, _ = F.batch_norm_forward(x, mask=np.arange(500) < 400)
    assert np.all(y[400:] == 0)


@pytest.mark.parametrize("shape", [(4099, 3), (67, 3, 61)])
@pytest.mark.parametrize("dtype, largest", [("float32", 3e38), ("float64", 1e200)])
def test_the_largest_values_have_gradients(rng, name, shape, dtype, largest):
    unit = rng.uniform(-1, 1, shape)
    x, dy = (unit * largest).astype(dtype), rng.standard_normal(shape).astype(dtype)
    with np.errstate(over="ignore"), kernels.using(name):
        dx = both_ways(x, dy)[2]
    with kernels.using("never"):
        expected = both_ways(unit, dy.astype("float64"))[2]
    off = np.max(np.abs(dx * largest - expected)) / np.max(np.abs(expected))
    assert off < 1e-4  # eps, which counts in the units of one only, is some 1e-5 of the variance


@pytest.mark.parametrize("shape", [(4096, 3), (64, 3, 64)])
def test_a_first_value_far_from_all_others_costs_no_digits(rng, name, shape):
    x = (1e-3 * rng.standard_normal(shape)).astype("float32")
    x[0, :, ...] = 1e6
    compare(name, x, rng.standard_normal(shape).astype("float32"))


def test_a_first_row_some_deviations_away_costs_no_digits(rng, name):
    x = rng.standard_normal((14, 500)).astype("float32")
    x[0] = 30
    compare(name, x, rng.standard_normal(x.shape).astype("float32"))


def test_an_eps_that_squares_of_float32_cannot_tell_from_0(rng, name):
    x = (1e-25 * rng.standard_normal((600, 20))).astype("float32")
    with kernels.using(name):
        y, _ = F.batch_norm_forward(x, eps=1e-60)
    np.testing.assert_allclose(y.std(axis=0), 1, rtol=1e-5)


def mirrored(rng, dtype="float32"):
    """A table of values and their opposites: the mean is 0, and nothing is lost by it."""
    a = rng.standard_normal((2048, 40)).astype(dtype)
    return np.concatenate([a, -a])


def test_a_coefficient_of_two_numbers_rounds_the_output_of_a_table_once(rng):
    if not compiled.available():
        pytest.skip("Numba is not installed: the extra 'fast'")
    x, gamma = mirrored(rng), rng.uniform(0.5, 1, 40).astype("float32")
    with kernels.using("numba"):
        y, cache = F.batch_norm_forward(x, gamma)
        dx, *_ = F.batch_norm_backward(y, cache)
    with kernels.using("never"):
        y_64, cache = F.batch_norm_forward(x.astype(float), gamma)
        exact, *_ = F.batch_norm_backward(y.astype(float), cache)
    assert np.mean(y == y_64.astype("float32")) > 0.75
    assert np.max(np.abs(dx - exact)) < 1.5e-3 * np.max(np.abs(exact))  # all but cancels


def test_a_far_first_value_costs_float64_no_digits(rng, name):
    x = rng.standard_normal((64, 3, 1024))
    x[0, :, 0] = 300
    with kernels.using(name):
        _, cache = F.batch_norm_forward(x)
    long = x.astype(np.longdouble)
    m2 = ((long - long.mean(axis=(0, 2), keepdims=True)) ** 2).sum(axis=(0, 2))
    np.testing.assert_allclose(cache.moments.m2, m2.astype(float), rtol=2e-15)


def test_the_buffer_of_numpy_is_as_it_was(rng):
    before = np.getbufsize()
    with kernels.using("numpy", threads=1):
        F.batch_norm_forward(rng.standard_normal((1000, 100)).astype("float32"))
    assert np.getbufsize() == before


@pytest.mark.parametrize("shape", [(16, 3, 1024), (64, 3, 49)])
def test_a_block_that_has_most_of_the_squares_costs_no_digits(rng, shape):
    if not compiled.available():
        pytest.skip("Numba is not installed: the extra 'fast'")
    for huge in rng.uniform(50, 5000, 40):
        x = rng.standard_normal(shape).astype("float32")
        x[5, :, 40] = huge
        with kernels.using("numba"):
            _, cache = F.batch_norm_forward(x)
        exact = x.astype("longdouble").var(axis=(0, 2)).astype(float)
        np.testing.assert_allclose(cache.moments.var, exact, rtol=1e-8)

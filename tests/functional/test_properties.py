"""What must hold for every input: properties, searched for counterexamples at hostile scales.

Tolerances are derived, not tuned. With ``u`` the unit roundoff of float64, a float64 ``x`` whose
largest value is ``R`` standard deviations from zero is itself known to ``u R`` deviations only;
every further step rounds a value of order ``x_hat``. So outputs agree to ``k u (R + x_hat)`` with
a small ``k`` that counts the steps.
"""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bncourse import functional as F
from bncourse.moments import Moments, merge

U = np.finfo("float64").eps / 2
PRIMES = [2, 3, 5, 7, 11, 13]


@st.composite
def batches(draw, dtype="float64", least=2):
    """``x`` of shape (N, C, ...): prime sizes, means to 1e6, variances from 1e-12 to 1e12."""
    sizes = st.sampled_from([n for n in (0, 1, *PRIMES) if n >= least])
    spatial = draw(st.lists(st.sampled_from([1, 2, 3]), max_size=2))
    shape = (draw(sizes), draw(st.sampled_from([1, 2, 5])), *spatial)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    broadcast = (1, shape[1], *[1] * len(spatial))
    std = 10 ** rng.uniform(-6, 6, broadcast)
    mean = np.array(draw(st.sampled_from([0, 1, 1e3, 1e6]))) * rng.uniform(-1, 1, broadcast)
    values = rng.standard_normal(shape)
    if draw(st.booleans()):  # one value far from all others
        values[: shape[0] // 2] *= 1e-3
    if draw(st.booleans()):  # a constant channel
        values[:, 0] = 0
    return (mean + std * values).astype(dtype), rng


def axes_of(x):
    return tuple(a for a in range(x.ndim) if a != 1)


def ratio(x, eps):
    """``R``: largest value of each channel, in the deviations that the layer divides by."""
    if not x.size:
        return 0.0
    std = np.sqrt(x.var(axis=axes_of(x), keepdims=True) + eps)
    return np.max(np.abs(x), axis=axes_of(x), keepdims=True) / std


def same(found, expected, x, eps, steps=16):
    """Whether two outputs for ``x`` agree to the rounding of ``x`` and of ``steps`` operations."""
    assert found.shape == expected.shape
    scale = 1 + np.abs(expected) + ratio(x, eps)
    assert np.all(np.abs(found - expected) <= steps * U * scale)


epsilons = st.sampled_from([1e-5, 1e-3, 1e-12])


@given(batches(), epsilons)
def test_outputs_have_mean_zero_and_the_variance_that_eps_leaves(batch, eps):
    x, _ = batch
    y, cache = F.batch_norm_forward(x, eps=eps)
    n = cache.moments.count
    limit = 4 * U * (1 + n)  # a sum of n values of order one
    assert np.all(np.abs(y.mean(axis=axes_of(x))) <= limit)
    var = cache.moments.var
    np.testing.assert_allclose((y * y).mean(axis=axes_of(x)), var / (var + eps), atol=8 * limit)


@given(batches(), st.sampled_from([0.5, -3.0, 1e3, 1e6]), epsilons)
def test_a_shift_of_a_channel_does_not_matter(batch, shift, eps):
    x, _ = batch
    shifted = x + shift * np.sqrt(x.var() + eps)
    y, moved = F.batch_norm_forward(x, eps=eps)[0], F.batch_norm_forward(shifted, eps=eps)[0]
    limit = 16 * U * (1 + np.abs(y) + ratio(x, eps) + ratio(shifted, eps))
    assert np.all(np.abs(moved - y) <= limit)


@given(batches(), st.integers(-60, 60), epsilons)
def test_a_scale_does_not_matter_if_eps_has_it_too(batch, power, eps):
    """By a power of two, so that nothing is rounded and the outputs are the same to the bit."""
    x, _ = batch
    y, _ = F.batch_norm_forward(x, eps=eps)
    scaled, _ = F.batch_norm_forward(x * 2.0**power, eps=eps * 4.0**power)
    assert np.array_equal(scaled, y)


@given(batches(), st.sampled_from([-1.0, 3.7, 1e-5, 1e5]), epsilons)
def test_any_scale_and_its_sign(batch, scale, eps):
    x, _ = batch
    y, _ = F.batch_norm_forward(x, eps=eps)
    scaled, _ = F.batch_norm_forward(x * scale, eps=eps * scale**2)
    same(scaled, np.sign(scale) * y, x, eps)


@given(batches(), epsilons)
def test_gradients_are_orthogonal_to_what_does_not_matter(batch, eps):
    """Shifts: the sum of dx is 0. Scales: dx is orthogonal to x_hat, but for the share of eps."""
    x, rng = batch
    dy, gamma = rng.standard_normal(x.shape), rng.standard_normal(x.shape[1])
    _, cache = F.batch_norm_forward(x, gamma, eps=eps)
    dx, dgamma, _ = F.batch_norm_backward(dy, cache)
    n, axes = cache.moments.count, axes_of(x)
    inv_std = cache.inv_std.ravel()
    size = np.sum(np.abs(dy) * (1 + np.abs(cache.x_hat)), axis=axes) * np.abs(gamma) * inv_std
    limit = 8 * U * n * size
    assert np.all(np.abs(dx.sum(axis=axes)) <= limit)
    share = eps / (cache.moments.var + eps)
    expected = gamma * inv_std * dgamma * share
    assert np.all(np.abs((dx * cache.x_hat).sum(axis=axes) - expected) <= limit * np.sqrt(n))


@given(batches(), epsilons)
def test_permuted_examples_give_permuted_outputs_and_gradients(batch, eps):
    x, rng = batch
    order, dy = rng.permutation(len(x)), rng.standard_normal(x.shape)
    y, cache = F.batch_norm_forward(x, eps=eps)
    permuted, permuted_cache = F.batch_norm_forward(x[order], eps=eps)
    same(permuted, y[order], x, eps)
    dx = F.batch_norm_backward(dy, cache)[0]
    dx_permuted = F.batch_norm_backward(dy[order], permuted_cache)[0]
    same(dx_permuted / cache.inv_std, dx[order] / cache.inv_std, x * len(x), eps, 64)


@given(batches(), epsilons)
def test_channels_last_is_channels_first_moved(batch, eps):
    x, rng = batch
    gamma, dy = rng.standard_normal(x.shape[1]), rng.standard_normal(x.shape)
    y, cache = F.batch_norm_forward(x, gamma, eps=eps)
    moved, moved_cache = F.batch_norm_forward(np.moveaxis(x, 1, -1).copy(), gamma, eps=eps, axis=-1)
    same(np.moveaxis(moved, -1, 1), y, x, eps, 64)
    dx = F.batch_norm_backward(dy, cache)[0]
    dx_moved = F.batch_norm_backward(np.moveaxis(dy, 1, -1), moved_cache)[0]
    same(np.moveaxis(dx_moved, -1, 1) / cache.inv_std, dx / cache.inv_std, x * x.size, eps, 64)


@given(batches(), epsilons, st.sampled_from([np.nan, np.inf, 1e300]))
def test_masked_is_deleted_whatever_is_there(batch, eps, junk):
    x, rng = batch
    mask = rng.random(len(x)) < 0.7
    assume(mask.sum() * np.prod(x.shape[2:]) != 1)
    dy, gamma = rng.standard_normal(x.shape), rng.standard_normal(x.shape[1])
    y, cache = F.batch_norm_forward(x[mask], gamma, gamma, eps)
    dx, dgamma, dbeta = F.batch_norm_backward(dy[mask], cache)
    filled = x.copy()
    filled[~mask] = junk
    y_masked, masked = F.batch_norm_forward(filled, gamma, gamma, eps, mask=mask)
    dx_masked, *others = F.batch_norm_backward(dy, masked)
    assert not y_masked[~mask].any() and not dx_masked[~mask].any()
    assert masked.moments.count == cache.moments.count
    same(y_masked[mask], y, x[mask], eps, 64)
    inv_std = cache.inv_std
    same(dx_masked[mask] / inv_std, dx / inv_std, x[mask] * x.size, eps, 64)
    for found, expected in zip(others, (dgamma, dbeta), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * x.size)


@given(batches(), epsilons)
def test_one_ghost_batch_is_the_batch(batch, eps):
    x, rng = batch
    gamma, dy = rng.standard_normal(x.shape[1]), rng.standard_normal(x.shape)
    y, cache = F.batch_norm_forward(x, gamma, gamma, eps)
    ghost, ghost_cache = F.ghost_batch_norm_forward(x, len(x), gamma, gamma, eps)
    same(ghost, y, x, eps)
    for found, expected in zip(
        F.ghost_batch_norm_backward(dy, ghost_cache), F.batch_norm_backward(dy, cache), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    for found, expected in zip(ghost_cache.moments, cache.moments, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)


@given(batches(least=0), st.data())
def test_merged_in_any_order_moments_are_those_of_the_whole(batch, data):
    """Merging is associative: three parts, empty ones too, merged from the left and the right."""
    x, _ = batch
    cuts = sorted(data.draw(st.lists(st.integers(0, len(x)), min_size=2, max_size=2)))
    a, b, c = (Moments.of(part, axes_of(x)) for part in np.split(x, cuts))
    whole = Moments.of(x, axes_of(x))
    for count, mean, m2 in (merge(merge(a, b), c), merge(a, merge(b, c)), merge(merge(c, a), b)):
        assert count == whole.count
        largest = np.max(np.abs(x), axis=axes_of(x), initial=0)
        # A mean is rounded in units of the largest value; m2 feels a difference of means squared.
        slip = 8 * U * largest
        assert np.all(np.abs(mean - whole.mean) <= slip)
        spread = np.sqrt(whole.m2 * max(count, 1))
        assert np.all(np.abs(m2 - whole.m2) <= 8 * U * count * whole.m2 + 4 * slip * spread)


@given(batches(), epsilons, st.booleans())
def test_a_folded_dense_layer_is_the_layer_and_its_norm(batch, eps, bias):
    x, rng = batch
    x = x.reshape(len(x), -1)
    x = x / np.maximum(np.abs(x).max(initial=0), 1e-300)
    w, b = rng.standard_normal((x.shape[1], 3)), rng.standard_normal(3) if bias else None
    gamma, beta, mean = rng.standard_normal((3, 3))
    gamma[0], var = 0, 10 ** rng.uniform(-12, 12, 3)
    z = x @ w if b is None else x @ w + b
    expected = F.batch_norm_inference(z, gamma, beta, mean, var, eps)
    folded, shift = F.fold_dense(w, b, gamma, beta, mean, var, eps)
    # The folded form adds the same terms in another order, each rounded to its own size.
    scale = np.abs(gamma) / np.sqrt(var + eps)
    terms = np.abs(x) @ np.abs(w) + np.abs(mean) + (0 if b is None else np.abs(b))
    limit = 4 * U * (x.shape[1] + 8) * (scale * terms + np.abs(beta))
    assert np.all(np.abs(x @ folded + shift - expected) <= limit)


@given(batches("float32"), epsilons)
def test_float32_is_right_to_its_last_digit(batch, eps):
    """Against extended precision, rounded once, with the half unit of a float64 in between."""
    x, _ = batch
    y, _ = F.batch_norm_forward(x, eps=eps)
    long = x.astype(np.longdouble)
    d = long - long.mean(axis=axes_of(x), keepdims=True)
    var = (d * d).mean(axis=axes_of(x), keepdims=True)
    exact = d / np.sqrt(var + np.longdouble(eps))
    carried = 16 * U * (1 + ratio(x.astype("float64"), eps))
    half_a_unit = np.spacing(np.abs(exact).astype("float32")) * 0.5000001
    assert np.all(np.abs(y - exact) <= half_a_unit + carried)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@given(
    batches(least=0),
    st.sampled_from(["float16", "float32", "float64"]),
    st.sampled_from([1e-300, 1e-30, 1e-5, 1e5]),
    st.sampled_from([0, 1e-6, 1, 1e30, 1e288]),
)
def test_finite_input_never_gives_nan(batch, dtype, eps, factor):
    x, rng = batch
    largest = float(np.finfo(dtype).max)
    x = np.clip(x * factor * 1e3, -largest / 2, largest / 2).astype(dtype)
    assume(x.shape[0] * np.prod(x.shape[2:]) != 1)
    y, cache = F.batch_norm_forward(x, eps=eps)
    assert np.isfinite(y).all() and np.isfinite(cache.moments.mean).all()
    if x.size:  # where the values spread by more than sqrt(eps), they are told apart
        wide = x.astype("float64")
        apart = np.ptp(wide, axis=axes_of(x)) >= np.sqrt(2 * cache.moments.count * eps)
        assert np.all(np.abs(y).max(axis=axes_of(x))[apart] >= 0.7)
    dy = rng.standard_normal(x.shape).astype(dtype)
    assert not any(np.isnan(g).any() for g in F.batch_norm_backward(dy, cache) if g is not None)
    assert np.isfinite(F.layer_norm_forward(x, eps=eps)[0]).all()
    assert np.isfinite(F.rms_norm_forward(x, eps=eps)[0]).all()

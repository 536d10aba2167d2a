import array_api_strict as strict
import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bncourse import functional as F
from bncourse.gradcheck import relative_error
from bncourse.moments import Moments, merge

AXES = [((7, 3), 0), ((7, 3), 1), ((7, 3), -1), ((5, 3, 2), (0, 2)), ((5, 3, 2), (-1, 0))]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("shape, axis", AXES, ids=str)
def test_moments_are_those_of_numpy(home, rng, shape, axis, keepdims):
    place, dtype = home
    x = (rng.standard_normal(shape) + 3).astype(dtype)
    found = Moments.of(place.put(x), axis, keepdims)
    long = x.astype(np.longdouble)
    mean = long.mean(axis=axis, keepdims=keepdims)
    var = long.var(axis=axis, keepdims=keepdims)
    wide = "float64" if "float64" in place.dtypes else "float32"
    assert str(place.get(found.mean).dtype) == str(place.get(found.m2).dtype) == wide
    assert found.count == x.size // mean.size
    limit = 4 * place.accurate(wide)
    np.testing.assert_allclose(place.get(found.mean), mean.astype(float), rtol=limit)
    np.testing.assert_allclose(place.get(found.m2), (var * found.count).astype(float), rtol=limit)
    np.testing.assert_allclose(place.get(found.var), var.astype(float), rtol=limit)
    unbiased = var * found.count / (found.count - 1)
    np.testing.assert_allclose(place.get(found.var_unbiased), unbiased.astype(float), rtol=limit)


def test_deviations_are_more_precise_than_the_mean():
    """The mean of three values of 0.1 is not 0.1; its slip is taken out of the deviations."""
    x = np.full((3, 1), 0.1)
    moments, d, _ = Moments.centered(x)
    assert not d.any() and not moments.m2.any() and moments.mean[0] == 0.1


def test_the_slip_of_the_mean_is_taken_out_of_the_mean_too():
    x = (np.random.default_rng(0).standard_normal((100_003, 1)) + 1e6).astype("float64")
    x = np.ascontiguousarray(np.repeat(x, 2, axis=1))  # summed row by row, not pairwise
    exact = x.astype(np.longdouble).mean(axis=0).astype(float)
    assert np.max(np.abs(Moments.of(x).mean - exact)) <= np.spacing(1e6)


@pytest.mark.parametrize("shape, axis", [((0, 3), 0), ((3, 0), 1), ((2, 3, 0), (0, 2))])
def test_an_empty_selection_is_zero(place, shape, axis):
    moments = Moments.of(place.put(np.ones(shape), "float32"), axis)
    assert moments.count == 0
    assert place.get(moments.mean).shape == (3,)
    for a in (moments.mean, moments.m2, moments.var):
        assert not place.get(a).any()


@pytest.mark.parametrize("n", [0, 1])
def test_an_unbiased_variance_needs_two_values(n):
    with pytest.raises(ValueError, match=f"at least 2 values, but count is {n}"):
        _ = Moments.of(np.ones((n, 3))).var_unbiased


def moments_equal(place, a, b, limit=1e-12):
    assert a.count == b.count
    for u, v in ((a.mean, b.mean), (a.m2, b.m2)):
        np.testing.assert_allclose(place.get(u), place.get(v), rtol=limit, atol=limit)


@pytest.mark.parametrize("cuts", [(3,), (0,), (7,), (1, 2), (2, 2, 5), (0, 0, 7)])
def test_merged_parts_are_the_whole(place, rng, cuts):
    x = (rng.standard_normal((7, 3)) * [1, 10, 0.1] + [0, 100, -1]).astype("float32")
    whole = Moments.of(place.put(x))
    parts = [Moments.of(place.put(part)) for part in np.split(x, cuts)]
    limit = 1e-12 if "float64" in place.dtypes else 1e-4
    left = parts[0]
    for part in parts[1:]:
        left = merge(left, part)
    right = parts[-1]
    for part in reversed(parts[:-1]):
        right = merge(part, right)
    moments_equal(place, left, whole, limit)
    moments_equal(place, right, whole, limit)


def test_merge_changes_neither(rng):
    a, b = Moments.of(rng.standard_normal((7, 3))), Moments.of(rng.standard_normal((5, 3)))
    before = [v.copy() for v in (*a[1:], *b[1:])]
    merge(a, b)
    assert all(map(np.array_equal, (*a[1:], *b[1:]), before))


def test_merge_survives_counts_beyond_32_bits():
    a = Moments(2**40, np.array([1.0]), np.array([2.0**40]))
    b = Moments(2**40, np.array([3.0]), np.array([2.0**40]))
    both = merge(a, b)
    assert both.count == 2**41 and both.mean == 2 and both.var == 2


SOME = Moments.of(np.eye(3))
BAD_MERGES = [
    (None, SOME, TypeError, "a must be Moments, not NoneType"),
    (SOME, SOME.mean, TypeError, "b must be Moments, not ndarray"),
    (SOME, Moments.of(np.eye(2)), ValueError, r"a.mean has shape \(3,\), b.mean \(2,\)"),
    (SOME, Moments.of(strict.eye(3)), TypeError, "a lives in numpy but b in array_api_strict"),
    (SOME, Moments.of(strict.ones((0, 3))), TypeError, "a lives in numpy but b in"),
]


@pytest.mark.parametrize("a, b, kind, message", BAD_MERGES, ids=[m for *_, m in BAD_MERGES])
def test_bad_merges(a, b, kind, message):
    with pytest.raises(kind, match=message):
        merge(a, b)


@pytest.mark.parametrize(
    "x, axis, kind, message",
    [
        (None, 0, TypeError, "x must be an array, not NoneType"),
        ([1.0, 2.0], 0, TypeError, "x must be an array, not list"),
        (np.arange(3), 0, TypeError, "x has dtype int64"),
        (np.ones(3) * 1j, 0, TypeError, "x is complex"),
        (np.ma.masked_array(np.ones(3)), 0, TypeError, "x is a MaskedArray"),
        (np.ones(3), 1, ValueError, "axis 1 does not exist: x has 1 axes"),
        (np.ones(()), 0, ValueError, "axis 0 does not exist: x has 0 axes"),
        (np.ones((3, 3)), (0, -2), ValueError, "names the same axis twice"),
        (np.ones(3), "0", TypeError, "axis must be an int or a tuple of ints"),
    ],
)
def test_bad_input(x, axis, kind, message):
    with pytest.raises(kind, match=message):
        Moments.of(x, axis)


# Properties, for arrays that nobody chose. Values of moderate size: rounding, not overflow, is
# what could break these.

values = st.floats(-1e3, 1e3, allow_subnormal=False)


shapes = st.tuples(st.integers(2, 13), st.integers(1, 3))
batches = shapes.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=values))


@given(batches, st.data())
def test_merge_is_associative_and_equals_the_whole(x, data):
    i, j = sorted(data.draw(st.tuples(*[st.integers(0, len(x))] * 2)))
    a, b, c = Moments.of(x[:i]), Moments.of(x[i:j]), Moments.of(x[j:])
    scale = 1 + np.max(x**2) * len(x)
    for merged in (merge(merge(a, b), c), merge(a, merge(b, c)), merge(c, merge(a, b))):
        assert merged.count == len(x)
        assert np.max(np.abs(merged.mean - Moments.of(x).mean)) < 1e-15 * scale
        assert np.max(np.abs(merged.m2 - Moments.of(x).m2)) < 1e-14 * scale


@given(batches, st.floats(-1e3, 1e3))
def test_a_shift_changes_nothing_but_the_mean(x, shift):
    y, _ = F.batch_norm_forward(x, eps=1e-2)
    y_shifted, _ = F.batch_norm_forward(x + shift, eps=1e-2)
    assert np.max(np.abs(y - y_shifted)) < 1e-10


@given(batches, st.floats(1e-3, 1e3))
def test_a_scale_changes_nothing_if_eps_goes_along(x, scale):
    y, _ = F.batch_norm_forward(x, eps=1e-2)
    y_scaled, _ = F.batch_norm_forward(x * scale, eps=1e-2 * scale**2)
    assert np.max(np.abs(y - y_scaled)) < 1e-10


@given(batches, st.randoms(use_true_random=False))
def test_permuted_examples_give_permuted_outputs_and_gradients(x, random):
    order = random.sample(range(len(x)), len(x))
    y, cache = F.batch_norm_forward(x, eps=1e-2)
    y_permuted, cache_permuted = F.batch_norm_forward(x[order], eps=1e-2)
    assert np.max(np.abs(y[order] - y_permuted)) < 1e-10
    dy = np.cos(x)
    dx = F.batch_norm_backward(dy, cache)[0]
    assert np.max(np.abs(dx[order] - F.batch_norm_backward(dy[order], cache_permuted)[0])) < 1e-8


@given(batches)
def test_dx_sums_to_zero_and_output_has_mean_zero(x):
    y, cache = F.batch_norm_forward(x, eps=1e-2)
    dx = F.batch_norm_backward(np.cos(x), cache)[0]
    assert np.max(np.abs(dx.sum(axis=0))) < 1e-12
    assert np.max(np.abs(y.mean(axis=0))) < 1e-12
    var = cache.moments.var
    np.testing.assert_allclose((y * y).mean(axis=0), var / (var + 1e-2), atol=1e-12)


@given(batches)
def test_float32_is_within_a_few_ulp_of_extended_precision(x):
    x = x.astype("float32")
    y = F.batch_norm_forward(x, eps=1e-2)[0]
    expected = reference.batch_norm_forward(x, eps=1e-2).astype(float)
    assert np.all(np.abs(y - expected) <= np.spacing(np.abs(expected).astype("float32")) + 1e-12)


@given(batches, st.integers(2, 4))
def test_a_batch_given_twice_is_the_batch(x, times):
    y, cache = F.batch_norm_forward(x, eps=1e-2)
    y_tiled, cache_tiled = F.batch_norm_forward(np.tile(x, (times, 1)), eps=1e-2)
    assert relative_error(np.tile(y, (times, 1)), y_tiled) < 1e-9 or np.max(np.abs(y)) < 1e-9
    np.testing.assert_allclose(cache.moments.var, cache_tiled.moments.var, rtol=1e-9, atol=1e-20)

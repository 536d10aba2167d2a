"""A masked value is as good as deleted, whatever it is."""

import numpy as np
import pytest

from bncourse import functional as F


def deleted(x, keep, gamma, beta, dy):
    """Results on the kept examples alone."""
    y, cache = F.batch_norm_forward(x[keep], gamma, beta)
    return y, cache.moments, *F.batch_norm_backward(dy[keep], cache)


@pytest.mark.parametrize("rubbish", [0.0, 6e4, np.nan, np.inf])
def test_masked_examples_are_as_good_as_deleted(home, rng, rubbish):
    place, dtype = home
    x, dy = rng.normal(2, 3, (9, 4)), rng.standard_normal((9, 4))
    gamma, beta = rng.uniform(0.5, 2, 4), rng.standard_normal(4)
    keep = np.array([1, 0, 1, 1, 0, 0, 1, 1, 1], bool)
    x, dy, gamma, beta = (a.astype(dtype) for a in (x, dy, gamma, beta))
    want = deleted(x, keep, gamma, beta, dy)
    x[~keep] = rubbish
    x, dy, gamma, beta, mask = (place.put(a) for a in (x, dy, gamma, beta, keep))
    y, cache = F.batch_norm_forward(x, gamma, beta, mask=mask)
    dx, dgamma, dbeta = F.batch_norm_backward(dy, cache)
    got = (place.get(y)[keep], place.get(dx)[keep], place.get(dgamma), place.get(dbeta))
    tolerance = 20 * place.accurate(dtype)
    for a, b in zip(got, (want[0], *want[2:]), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert np.all(place.get(y)[~keep] == 0) and np.all(place.get(dx)[~keep] == 0)
    assert cache.moments.count == want[1].count == 6
    np.testing.assert_allclose(place.get(cache.moments.mean), want[1].mean, rtol=1e-6)


@pytest.mark.parametrize("axis", [1, -1])
def test_positions_are_masked_in_feature_maps(rng, axis):
    x = rng.normal(1, 2, (3, 5, 4))  # channels last, say
    mask = rng.random((3, 5)) < 0.6
    rows = x[mask]
    want, _ = F.batch_norm_forward(rows)
    x[~mask] = np.nan
    x = x if axis == -1 else np.moveaxis(x, -1, 1)
    y, _ = F.batch_norm_forward(x, axis=axis, mask=mask)
    y = y if axis == -1 else np.moveaxis(y, 1, -1)
    np.testing.assert_allclose(y[mask], want, atol=1e-14)
    assert np.all(y[~mask] == 0)


def test_a_mask_of_examples_covers_all_their_positions(rng):
    x = rng.standard_normal((5, 2, 3, 3))
    mask = np.array([1, 1, 0, 1, 0], bool)
    y, cache = F.batch_norm_forward(x, mask=mask)
    np.testing.assert_allclose(y[mask], F.batch_norm_forward(x[mask])[0], atol=1e-14)
    assert cache.moments.count == 3 * 9


def test_a_full_mask_changes_nothing(rng):
    x = rng.standard_normal((6, 3))
    y, _ = F.batch_norm_forward(x, mask=np.ones(6, bool))
    np.testing.assert_allclose(y, F.batch_norm_forward(x)[0], rtol=1e-14)


def test_an_empty_mask_is_an_empty_batch(rng):
    x = rng.standard_normal((6, 3))
    y, cache = F.batch_norm_forward(x, [1.0, 1, 1], [5.0, 5, 5], mask=np.zeros(6, bool))
    assert np.all(y == 0) and cache.moments.count == 0
    dx, dgamma, dbeta = F.batch_norm_backward(x, cache)
    assert not np.any(dx) and not np.any(dgamma) and not np.any(dbeta)


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        (np.ones(6), TypeError, "mask must be an array of bool, but is of dtype float64"),
        ([True] * 6, TypeError, "mask must be an array of bool, but is a list"),
        (np.ones(5, bool), ValueError, r"mask has shape \(5,\)"),
        (np.ones((6, 3), bool), ValueError, r"mask has shape \(6, 3\)"),
        (np.array(True), ValueError, r"mask has shape \(\)"),
        (np.array([1, 0, 0, 0, 0, 0], bool), ValueError, "one value per channel"),
    ],
)
def test_a_mask_that_does_not_fit_is_told(rng, mask, error, words):
    x = rng.standard_normal((6, 3))
    before = x.copy()
    with pytest.raises(error, match=words):
        F.batch_norm_forward(x, mask=mask)
    assert np.array_equal(x, before)

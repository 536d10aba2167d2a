"""Ghost batches: equal to batch norm slice by slice, and to plain batch norm when there is one."""

import numpy as np
import pytest

from bncourse import functional as F


def slice_by_slice(x, size, gamma, beta, dy, axis):
    parts = [slice(i, i + size) for i in range(0, len(x), size)]
    forwards = [F.batch_norm_forward(x[p], gamma, beta, axis=axis) for p in parts]
    backwards = [F.batch_norm_backward(dy[p], c) for p, (_, c) in zip(parts, forwards, strict=True)]
    y = np.concatenate([y for y, _ in forwards])
    dx, dgamma, dbeta = zip(*backwards, strict=True)
    return y, np.concatenate(dx), sum(dgamma), sum(dbeta)


@pytest.mark.parametrize(("shape", "axis"), [((12, 3), 1), ((8, 3, 5), 1), ((8, 2, 5, 3), -1)])
@pytest.mark.parametrize("size", [2, 4])
def test_each_slice_is_normalized_by_itself(home, rng, shape, axis, size):
    place, dtype = home
    x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    gamma, beta = (rng.standard_normal(3).astype(dtype) for _ in range(2))
    want = slice_by_slice(x, size, gamma, beta, dy, axis)
    x, dy, gamma, beta = (place.put(a) for a in (x, dy, gamma, beta))
    y, cache = F.ghost_batch_norm_forward(x, size, gamma, beta, axis=axis)
    got = (y, *F.ghost_batch_norm_backward(dy, cache))
    tolerance = 100 * place.accurate(dtype)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(place.get(a), b, rtol=tolerance, atol=tolerance)


def test_one_ghost_is_the_plain_norm(rng):
    x, dy = rng.standard_normal((2, 6, 4))
    y, cache = F.ghost_batch_norm_forward(x, 6)
    plain, plain_cache = F.batch_norm_forward(x)
    np.testing.assert_allclose(y, plain, rtol=1e-13)
    np.testing.assert_allclose(
        F.ghost_batch_norm_backward(dy, cache)[0],
        F.batch_norm_backward(dy, plain_cache)[0],
        rtol=1e-12,
    )


def test_several_ghosts_differ_from_the_plain_norm(rng):
    x = rng.standard_normal((6, 4))
    y, _ = F.ghost_batch_norm_forward(x, 3)
    assert np.max(np.abs(y - F.batch_norm_forward(x)[0])) > 0.1


@pytest.mark.parametrize("size", [2, 3, 4, 6, 12])
def test_merged_moments_do_not_depend_on_the_cut(rng, size):
    x = rng.normal(5, 2, (12, 4))
    _, cache = F.ghost_batch_norm_forward(x, size)
    whole = F.batch_norm_forward(x)[1].moments
    assert cache.moments.count == 12
    np.testing.assert_allclose(cache.moments.mean, whole.mean, rtol=1e-14)
    np.testing.assert_allclose(cache.moments.m2, whole.m2, rtol=1e-13)


def test_an_empty_batch_has_no_ghosts():
    y, cache = F.ghost_batch_norm_forward(np.empty((0, 3)), 4)
    assert y.shape == (0, 3) and cache.moments.count == 0
    assert cache.moments.mean.shape == (3,)
    dx, dgamma, _ = F.ghost_batch_norm_backward(y, cache)
    assert dx.shape == (0, 3) and dgamma is None


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: F.ghost_batch_norm_forward(x, 4), ValueError, "must divide the batch"),
        (lambda x: F.ghost_batch_norm_forward(x, 0), ValueError, "must be at least 1"),
        (lambda x: F.ghost_batch_norm_forward(x, 1), ValueError, "one value per channel"),
        (lambda x: F.ghost_batch_norm_forward(x, 2, axis=0), ValueError, "not the batch"),
        (lambda x: F.ghost_batch_norm_backward(x, None), TypeError, "cache must be"),
    ],
)
def test_bad_input_is_told(call, error, words):
    with pytest.raises(error, match=words):
        call(np.ones((6, 3)))

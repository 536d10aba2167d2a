"""Batch norm, residual and ReLU in the same loops, against one after the other."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import kernels
from bncourse.kernels import compiled, loops_table

pytestmark = pytest.mark.skipif(not compiled.available(), reason="Numba is not installed")

SHAPES = [((8, 5, 61, 31), 1), ((128, 9, 7, 7), 1), ((1031, 17), 1), ((9, 13, 11, 6), -1)]


def given(rng, shape, axis, dtype):
    x, dy, other = (rng.normal(0.3, 2, shape).astype(dtype) for _ in range(3))
    gamma, beta = rng.uniform(-2, 2, (2, shape[axis])).astype(dtype)
    return x, dy, other, gamma, beta


def both_ways(which, x, dy, other, gamma, beta, axis, threads=1):
    with kernels.using(which, threads=threads):
        y, cache = F.batch_norm_relu_forward(x, gamma, beta, axis=axis, residual=other)
        return y, *F.batch_norm_relu_backward(dy, cache)


def agree(got, want, dtype, where=slice(None)):
    unit = 8 * np.finfo(dtype).eps
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype and a.shape == b.shape
            a, b = a[where], b[where]
            np.testing.assert_allclose(a, b, rtol=unit, atol=unit * np.nanmax(np.abs(b)))


@pytest.mark.parametrize("shape, axis", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("residual", [False, True])
def test_the_loops_agree_with_the_general_form(rng, shape, axis, dtype, residual):
    x, dy, other, *parameters = given(rng, shape, axis, dtype)
    other = other if residual else None
    kept = x.copy(), dy.copy()
    got = both_ways("numba", x, dy, other, *parameters, axis)
    agree(got, both_ways("never", x, dy, other, *parameters, axis), dtype)
    assert np.mean(got[0] == 0) > 0.3 and got[0].min() == 0
    assert np.array_equal(x, kept[0]) and np.array_equal(dy, kept[1])


@pytest.mark.parametrize("shape", [(8192, 100), (40, 33, 41, 17), (700, 30, 5, 7)])
def test_any_number_of_threads_gives_the_same_bits(rng, shape):
    arrays = given(rng, shape, 1, "float32")
    one, two, three = (both_ways("numba", *arrays, 1, threads) for threads in (1, 2, 3))
    for a, b, c in zip(one, two, three, strict=True):
        assert np.array_equal(a, b) and np.array_equal(a, c)


@pytest.mark.parametrize("shape, axis", SHAPES)
def test_the_gradient_passes_where_the_output_is_positive(rng, monkeypatch, shape, axis):
    """Also by a loop that is asked for: none of it is done by NumPy."""
    monkeypatch.setattr("bncourse.functional.batch_norm_relu.keep", None)
    monkeypatch.setattr("bncourse.functional.batch_norm_relu.relu_forward", None)
    x, dy, _, *parameters = given(rng, shape, axis, "float32")
    y, _, _, dbeta, _ = both_ways("numba", x, dy, None, *parameters, axis)
    axes = tuple(a for a in range(x.ndim) if a != axis % x.ndim)
    want = np.where(y > 0, dy, 0).sum(axes, dtype=float)
    np.testing.assert_allclose(dbeta, want, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("shape, axis", SHAPES)
@pytest.mark.parametrize("gamma", [-1, 0, 1])
@pytest.mark.parametrize("beta", [-1, 0, 1])
@pytest.mark.parametrize("likely", [0.4, 0.6])
def test_the_sign_is_that_of_y_also_right_beside_the_edge(rng, shape, axis, gamma, beta, likely):
    x = np.where(rng.random(shape) < likely, np.nextafter(np.float32(1), np.float32(2)), 1)
    x, dy = x.astype("float32"), rng.integers(1, 9, shape).astype("float32")
    gamma, beta = np.full((2, shape[axis]), [[gamma], [1e-12 * beta]], "float32")
    y, _, _, dbeta, _ = both_ways("numba", x, dy, None, gamma, beta, axis)
    axes = tuple(a for a in range(x.ndim) if a != axis % x.ndim)
    assert np.array_equal(dbeta, np.where(y > 0, dy, 0).sum(axes))


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("shape, axis", SHAPES)
def test_a_nan_stays_in_its_channel(rng, shape, axis):
    x, dy, _, *parameters = given(rng, shape, axis, "float32")
    x = np.moveaxis(x, axis, 0)
    x[1].flat[5] = np.nan
    x = np.ascontiguousarray(np.moveaxis(x, 0, axis))
    y, dx, *_ = both_ways("numba", x, dy, None, *parameters, axis)
    for a in (np.moveaxis(y, axis, 0), np.moveaxis(dx, axis, 0)):
        assert np.isnan(a[1]).all() and np.isfinite(a[2:]).all() and np.isfinite(a[0]).all()


@pytest.mark.parametrize("shape, axis", SHAPES)
def test_what_overflows_goes_the_general_way(rng, shape, axis):
    x, dy, other, *parameters = given(rng, shape, axis, "float32")
    x *= np.float32(1e25)
    got = both_ways("numba", x, dy, other, *parameters, axis)
    agree(got, both_ways("never", x, dy, other, *parameters, axis), "float32")


def test_a_backward_pass_that_kernels_decline_is_rectified_all_the_same(rng, monkeypatch):
    monkeypatch.setattr(loops_table, "within", lambda *_: False)
    x, dy, _, *parameters = given(rng, (1031, 17), 1, "float32")
    got = both_ways("numba", x, dy, None, *parameters, 1)
    agree(got, both_ways("never", x, dy, None, *parameters, 1), "float32")


def test_a_residual_of_any_layout_and_dtype_is_taken(rng):
    x, dy, other, *parameters = given(rng, (1031, 17), 1, "float32")
    other = np.asfortranarray(other.astype("float64"))
    got = both_ways("numba", x, dy, other, *parameters, 1)
    agree(got, both_ways("never", x, dy, other, *parameters, 1), "float32")


@pytest.mark.parametrize("shape, axis", SHAPES)
@pytest.mark.parametrize("value, gamma", [(0.1, 0.5), (1e5, -2), (-3, 1)])
@pytest.mark.parametrize("beta", [-1e-30, 0, 1e-30])
def test_a_constant_channel_passes_all_or_nothing(shape, axis, value, gamma, beta):
    x, dy = np.full(shape, value, "float32"), np.ones(shape, "float32")
    gamma, beta = np.full((2, shape[axis]), [[gamma], [beta]], "float32")
    y, _, _, dbeta, _ = both_ways("numba", x, dy, None, gamma, beta, axis)
    assert np.all(y == max(beta[0], 0))
    assert np.all(dbeta == (x.size // shape[axis] if beta[0] > 0 else 0))


@pytest.mark.parametrize("shape, axis", SHAPES)
@pytest.mark.parametrize("gamma", [-1, 1])
def test_the_sign_of_y_in_float64_right_beside_a_mean_that_is_rounded(rng, shape, axis, gamma):
    for size in range(2, 6):
        x = 1 + rng.integers(size, size=shape) * 2.0**-52
        dy = rng.integers(1, 9, shape).astype(float)
        gammas = np.full(shape[axis], gamma, float)
        y, _, _, dbeta, _ = both_ways("numba", x, dy, None, gammas, 0 * gammas, axis)
        axes = tuple(a for a in range(x.ndim) if a != axis % x.ndim)
        assert np.array_equal(dbeta, np.where(y > 0, dy, 0).sum(axes))

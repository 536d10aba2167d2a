"""Six ways to a variance: equal in algebra, told apart by their rounding."""

import numpy as np
import pytest

from bncourse.experiments.variance_methods import METHODS


def normal(mean, dtype, rows=1000):
    return (np.random.default_rng(0).standard_normal((rows, 5)) + mean).astype(dtype)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 64, 1000])
def test_all_agree_where_it_is_easy(name, rows):
    x = normal(0.5, "float64", rows)
    assert np.allclose(METHODS[name](x), x.var(axis=0), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_all_arithmetic_is_in_the_dtype_of_x(name, dtype):
    var = METHODS[name](normal(0.5, dtype))
    assert var.dtype == dtype and var.shape == (5,)
    assert np.allclose(var, 1, rtol=0.2)


@pytest.mark.parametrize("name", METHODS)
def test_x_is_not_changed(name):
    x = normal(3.0, "float32")
    before = x.copy()
    METHODS[name](x)
    assert np.array_equal(x, before)


def off(name, x):
    return np.median(abs(METHODS[name](x) / x.astype(np.longdouble).var(axis=0) - 1))


def test_far_from_zero_they_come_apart():
    x = normal(23456.7, "float32", 4096)
    errors = {name: off(name, x) for name in METHODS}
    assert errors["one pass"] > 1
    assert errors["Welford"] > 3 * errors["pairwise"]
    assert errors["two passes"] > 10 * errors["corrected"]
    assert max(errors["shifted"], errors["corrected"]) < 1e-4


def test_a_shift_by_an_outlier_is_not_lost_but_dearer():
    """It is at most sqrt(m - 1) spreads from the mean, so that kappa is at most sqrt(m)."""
    x = np.concatenate([np.full((1, 5), 1e7, "float32"), normal(0.0, "float32", 4096)])
    assert 1e-3 < off("shifted", x) < 1.5 * len(x) ** 2 * np.finfo("float32").eps
    assert off("two passes", x) < off("shifted", x)

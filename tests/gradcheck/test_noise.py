"""Rounding is measured, and precision that hides is found."""

import numpy as np
import pytest

from bncourse.gradcheck.function import Function
from bncourse.gradcheck.noise import FLOAT32, FLOAT64, drowned, rounding, scales


def looked_at(f, x):
    function = Function(f, np.asarray(x))
    return function, *rounding(function, np.random.default_rng(0))


@pytest.mark.parametrize("offset", [0, 1e3, 1e6, 1e9])
def test_the_noise_is_that_of_the_last_digits_lost(offset, rng):
    x = rng.standard_normal(50)
    _, eps, noise = looked_at(lambda x: (np.sin(x) + offset) - offset, x)
    rounded = np.spacing(max(offset, 0.5)) * np.sqrt(50 / 12)  # uniform in the last digit
    assert eps == (FLOAT32 if offset == 1e9 else FLOAT64)
    assert 0.15 < noise / rounded < 6


@pytest.mark.parametrize(
    ("f", "dtype", "eps"),
    [
        (np.sin, "float64", FLOAT64),
        (np.sin, "float32", FLOAT32),
        (np.sin, "float16", np.finfo("float16").eps),
        (lambda x: np.sin(x.astype("float32")), "float64", FLOAT32),
        (lambda x: np.sin(x.astype("float32")).astype("float64"), "float64", FLOAT32),
        (lambda x: 5 + 1e-6 * x, "float64", FLOAT64),
        (lambda x: 5 + 0 * x, "float64", FLOAT64),
        (lambda x: (x - x.mean()) * 0.3 + 0 * np.sin(x), "float64", FLOAT64),
        (np.sqrt, "float64", FLOAT64),
    ],
)
def test_precision(f, dtype, eps, rng):
    x = np.abs(rng.standard_normal(20)).astype(dtype)
    assert looked_at(f, x)[1] == eps


def test_at_the_edge_of_its_domain_a_function_is_taken_by_its_dtype():
    with np.errstate(invalid="ignore"):
        _, eps, noise = looked_at(np.sqrt, np.array([0.0, 1.0]))
    assert eps == FLOAT64 and noise == FLOAT64


def test_x_that_is_too_coarse_drowns(rng):
    x = rng.standard_normal(20)
    for shift, dtype, lost in (
        (0, "float32", False),
        (1e3, "float32", False),
        (1e7, "float32", True),
        (1e7, "float64", False),
        (1e15, "float64", True),
    ):
        function, eps, noise = looked_at(np.sin, (x + shift).astype(dtype))
        assert drowned(function, eps, noise) == lost, (shift, dtype)


def test_a_loss_of_mere_rounding_is_not_the_fault_of_x(rng):
    x = rng.standard_normal((12, 5))
    function, eps, noise = looked_at(lambda x: np.sum(x - x.mean(axis=0)), x)
    assert not drowned(function, eps, noise)


def test_scales_are_sizes_but_not_far_below_the_typical_one():
    assert scales(np.array([-2.0, 0.0, 100.0, 1e-9])).tolist() == [2, 2, 100, 2]
    assert scales(np.zeros(2)).tolist() == [1, 1]

"""Numerical derivatives are as good as they say."""

import numpy as np
import pytest

from bncourse.gradcheck.function import Function
from bncourse.gradcheck.measured import LEAST, _point, central, yardstick
from bncourse.gradcheck.noise import FLOAT64, rounding

SMOOTH = {
    "sin": (np.sin, np.cos),
    "steep": (lambda x: 1 / (x * x + 0.01), lambda x: -2 * x / (x * x + 0.01) ** 2),
    "exp": (np.exp, np.exp),
    "flat": (lambda x: np.tanh(3 * x), lambda x: 3 / np.cosh(3 * x) ** 2),
    "large": (lambda x: x**2 + 1e6, lambda x: 2 * x),
}


def measured(f, x, tol=1e-6):
    function = Function(f, np.asarray(x))
    eps, noise = rounding(function, np.random.default_rng(0))
    return central(function, list(np.ndindex(function.x.shape)), eps, noise, tol)


@pytest.mark.parametrize("scale", [1e-2, 1, 10])
@pytest.mark.parametrize("name", SMOOTH)
def test_the_error_is_no_larger_than_estimated(name, scale, rng):
    f, slope = SMOOTH[name]
    x = scale * rng.standard_normal(200)
    found = measured(f, x)
    assert np.all(np.abs(found.value - slope(x)) <= found.error)
    assert not found.kink.any()


@pytest.mark.parametrize("kink", np.linspace(0.02, 2.5, 32))
@pytest.mark.parametrize("side", [1, -1])
def test_one_kink_within_reach_is_bounded(kink, side):
    # Slope 0.7 at 0, and 3 more beyond a kink at a distance of so many steps.
    h = 2.0**-10
    function = Function(
        lambda x: 0.7 * x + 3 * side * np.maximum(side * x - kink * h, 0), np.array([0.0])
    )
    point = _point(function, (0,), h, noise=0.0)
    off = abs(point.value - 0.7)
    assert off <= point.error * (1 + 1e-9) + 1e-12
    assert (off > 1e-9) == (kink < 1)


def test_a_kink_is_told_from_a_bend():
    h = 2.0**-10
    bent = (np.sin, np.square, lambda x: np.cosh(30 * x))
    for f, kinked in ((np.abs, True), (np.floor, True), *((f, False) for f in bent)):
        assert bool(_point(Function(f, np.array([0.0])), (0,), h, 1e-15).jump) == kinked
    noisy = Function(np.abs, np.array([0.0]))
    assert not _point(noisy, (0,), h, noise=1e-3).jump  # the kink could be noise


def test_what_adds_up_is_known_even_if_it_cancels():
    found = measured(lambda x: np.array([x[0], -x[0], 2 * x[1]]), [1.0, 1.0])
    np.testing.assert_allclose(found.value, [0, 2], atol=1e-9)
    np.testing.assert_allclose(found.size, [2, 2], rtol=1e-9)


def test_other_steps_are_taken_only_where_the_first_is_not_good_enough():
    x = np.array([1.0, 1e-6])
    calls = []

    def f(x):
        calls.append(None)
        return np.maximum(x, 0)

    function = Function(f, x)
    found = central(function, [(0,), (1,)], FLOAT64, 1e-16, 1e-6)
    assert found.step[0] == 2.0**-17 > found.step[1]  # 2^-17 is eps^(1/3), to a power of two
    calls.clear()
    central(function, [(0,)], FLOAT64, 1e-16, 1e-6)
    assert len(calls) == 4


def test_the_step_is_exact():
    x = np.array([0.1, 1 / 3, 1e5 + 0.1])
    function = Function(np.sin, x)
    for j, h in (((0,), 2.0**-18), ((1,), 2.0**-17), ((2,), 2.0**-5)):
        assert (x[j] + h) - x[j] == h
        assert _point(function, j, h, 0.0).step == h


def test_the_yardstick_of_small_entries_is_a_share_of_the_largest():
    assert yardstick(np.array([1.0, 1e-2, 1e-9])).tolist() == [1.0, 1e-2, LEAST]
    assert yardstick(np.zeros(0)).size == 0

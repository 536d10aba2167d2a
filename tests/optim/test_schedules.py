import math

import pytest

from bncourse.optim import schedules


@pytest.mark.parametrize(
    "schedule, expected",
    [
        (schedules.constant(0.3), [0.3, 0.3, 0.3, 0.3, 0.3]),
        (schedules.step(8, 2, 0.5), [8, 8, 4, 4, 2]),
        (schedules.step(8, (1, 3), 0.5), [8, 4, 4, 2, 2]),
        (schedules.step(8, (), 0.5), [8, 8, 8, 8, 8]),
        (schedules.step(8, (0, 4), 0.5), [4, 4, 4, 4, 2]),
        (schedules.exponential(8, 0.5), [8, 4, 2, 1, 0.5]),
        (schedules.exponential(8, 0), [8, 0, 0, 0, 0]),
        (schedules.cosine(1, 2), [1, 0.5, 0, 0, 0]),
        (schedules.cosine(5, 3, low=1), [5, 4, 2, 1, 1]),
        (schedules.warm_up(8, 3), [2, 4, 6, 8, 8]),
        (schedules.warm_up(schedules.exponential(8, 0.5), 1), [4, 8, 4, 2, 1]),
        (schedules.warm_up(lambda k: 6 - k, 2), [2, 4, 6, 5, 4]),
        (schedules.warm_up(schedules.constant(5), 0), [5, 5, 5, 5, 5]),
    ],
)
def test_rates(schedule, expected):
    assert [schedule(k) for k in range(5)] == pytest.approx(expected, abs=1e-15)


def test_a_rate_does_not_depend_on_what_was_asked_before():
    schedule = schedules.warm_up(schedules.cosine(0.1, 50), 5)
    rates = [schedule(k) for k in range(70)]
    assert [schedule(k) for k in reversed(range(70))] == rates[::-1]
    assert max(rates) == schedule(5) == 0.1 and min(rates) >= 0


def test_far_steps_underflow_to_zero():
    assert schedules.exponential(0.1, 0.9)(10**6) == 0
    assert schedules.step(0.1, 1)(10**6) == 0


def test_a_schedule_says_what_it_is():
    schedule = schedules.warm_up(schedules.step(0.1, (3, 6)), 2)
    assert repr(schedule) == "warm_up(step(0.1, (3, 6), 0.1), 2)"
    assert "0x" not in repr(schedules.warm_up(lambda k: 1, 2))
    assert repr(schedules.cosine(1, 9)) == "cosine(1.0, 9, 0.0)"


@pytest.mark.parametrize(
    "make, kind, message",
    [
        (lambda: schedules.constant(-1), ValueError, "lr must be finite and at least 0, not -1"),
        (lambda: schedules.constant("1"), TypeError, "lr must be a number, not '1'"),
        (lambda: schedules.step(1, 0), ValueError, "every must be at least 1, not 0"),
        (lambda: schedules.step(1, 1.5), TypeError, "every must be a whole number, not 1.5"),
        (lambda: schedules.step(1, (3, 2)), ValueError, "every must name steps in ascending"),
        (lambda: schedules.step(1, (2, 2)), ValueError, "every must name steps in ascending"),
        (lambda: schedules.step(1, 5, 2), ValueError, r"factor must lie in \[0, 1\], not 2"),
        (lambda: schedules.exponential(1, math.nan), ValueError, "factor must lie in"),
        (lambda: schedules.cosine(1, 0), ValueError, "steps must be at least 1, not 0"),
        (lambda: schedules.cosine(1, 5, 2), ValueError, r"low must lie in \[0, 1.0\], not 2"),
        (lambda: schedules.warm_up(1, -1), ValueError, "steps must be at least 0, not -1"),
        (lambda: schedules.warm_up("1", 1), TypeError, "lr must be a number"),
        (lambda: schedules.constant(1)(-1), ValueError, "step must be at least 0, not -1"),
        (lambda: schedules.constant(1)(0.5), TypeError, "step must be a whole number"),
    ],
)
def test_bad_numbers(make, kind, message):
    with pytest.raises(kind, match=message):
        make()

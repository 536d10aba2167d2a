"""Which outputs agree, which mistake explains the others, and on which input that is shown."""

import dataclasses

import numpy as np
import pytest

from bncourse.exercises import Exercise, Mistake

DOUBLE = Exercise(
    name="double",
    chapter="none",
    question="Twice as much, and half as much.",
    reference=lambda x: (2 * x, x / 2),
    inputs=lambda rng: [(np.array([1.0, 2.0, 4.0, 8.0])[:n],) for n in (2, 3, 4)],
    outputs=("more", "less"),
    hostile=lambda rng, eps: [(np.array([1e3, 1e4]),)],
    fragile="Why.",
)


@pytest.mark.parametrize(
    ("off", "dtype", "passed"),
    [
        (5e-5, "float32", True),
        (5e-5, "float64", False),
        (5e-6, "float64", True),
        (5e-4, "float32", False),
    ],
)
def test_float32_is_given_a_digit(off, dtype, passed):
    answer = lambda x: ((2 * x * (1 + off)).astype(dtype), x / 2)  # noqa: E731
    assert DOUBLE.check(answer).passed == passed


def test_infinity_is_not_a_large_number():
    huge = np.finfo(float).max
    exercise = dataclasses.replace(DOUBLE, reference=lambda x: (0 * x + np.inf, x / 2))
    assert exercise.check(exercise.reference).passed
    assert not exercise.check(lambda x: (0 * x + huge, x / 2)).passed


def test_nan_on_hostile_data_is_fragile():
    answer = lambda x: (np.where(x > 100, np.nan, 2 * x), x / 2)  # noqa: E731
    assert DOUBLE.check(answer).outcome == "fragile"


def test_a_mistake_shows_on_one_input_at_least():
    """On the last, it need not."""
    wrong = lambda x: (3 * x if len(x) == 2 else 2 * x, x / 2)  # noqa: E731
    exercise = dataclasses.replace(DOUBLE, mistakes=(Mistake("small", wrong, "Why."),))
    assert exercise.check(wrong).mistakes == ("small",)


def test_what_is_shown_is_the_smallest_input_on_which_it_is_wrong():
    message = DOUBLE.check(lambda x: (3 * x if len(x) > 2 else 2 * x, x / 2)).message
    assert "  x = [1, 2, 4]\n" in message


def test_mistakes_are_named_in_the_order_of_the_outputs():
    exercise = dataclasses.replace(
        DOUBLE,
        mistakes=(
            Mistake("less is more", lambda x: (2 * x, x), "Halve."),
            Mistake("more is less", lambda x: (x, x / 2), "Double."),
        ),
    )
    assert exercise.check(lambda x: (x, x)).mistakes == ("more is less", "less is more")


def test_what_is_empty_agrees_with_what_is_empty():
    exercise = dataclasses.replace(DOUBLE, inputs=lambda rng: [(np.ones(2),), (np.zeros(0),)])
    assert exercise.check(exercise.reference).passed

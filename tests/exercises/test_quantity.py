"""Numbers worked out by hand: how near is near enough."""

import pytest

from bncourse.exercises import Mistake, Quantity, backward_by_hand, pair


@pytest.mark.parametrize("value", [0, 0.0, -0.0, 1.2e-11, -1.2e-11, 1.2e-4, -9e-4])
def test_what_rounding_and_eps_leave_of_zero_is_zero(value):
    assert pair.check(value).passed


@pytest.mark.parametrize("value", [0.01, -0.01, 0.1, float("nan"), float("inf"), 10**400])
def test_what_is_not_zero_is_refused(value):
    assert not pair.check(value).passed


@pytest.mark.parametrize(("value", "passed"), [(4.019, True), (4.021, False), (-4.0, False)])
def test_other_numbers_are_compared_relatively(value, passed):
    assert backward_by_hand.check(value).passed == passed


def test_the_tolerance_near_zero_is_in_the_units_of_the_answer():
    question = Quantity(
        name="meters",
        chapter="none",
        question="How many meters?",
        answer=2e-5,
        mistakes=(Mistake("twice", 4e-5, "Halve."),),
        absolute=0,
    )
    assert question.check(2.001e-5).passed
    assert question.check(4e-5).mistakes == ("twice",)
    assert question.check(3e-5).outcome == "unknown mistake"

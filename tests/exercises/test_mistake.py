"""The search for the fewest mistakes that explain what is wrong."""

from functools import partial

from bncourse.exercises import Mistake
from bncourse.exercises.mistake import fewest, together

A, B, C = (Mistake(name, 0.0, "") for name in "ABC")


def test_one_mistake_that_explains_two_outputs_goes_before_two():
    assert fewest({A: ["dx"], B: ["dgamma"], C: ["dx", "dgamma"]}) == {C: ["dx", "dgamma"]}


def test_two_are_named_where_none_explains_both():
    assert fewest({A: ["dx"], B: ["dgamma"], C: []}) == {A: ["dx"], B: ["dgamma"]}


def test_no_output_is_explained_twice():
    explained = {A: ["dx", "dgamma"], B: ["dgamma", "dbeta"]}
    assert fewest(explained) == {A: ["dx", "dgamma"], B: ["dbeta"]}


def test_the_first_of_equals_is_taken():
    assert fewest({A: ["dx"], B: ["dx"]}) == {A: ["dx"]}


def test_nothing_is_explained_by_nothing():
    assert fewest({A: [], B: []}) == fewest({}) == {}


def test_only_parts_of_the_same_function_are_put_together():
    def f(a=1, b=1):
        return a, b

    def g(a=1, b=1):
        return b, a

    first, second = (Mistake(name, partial(f, **{name: 2}), "") for name in "ab")
    assert together(first, second)() == (2, 2)
    assert together(first, Mistake("other", partial(g, b=2), "")) is None
    assert together(first, Mistake("same", partial(f, a=3), "")) is None

"""The search for the fewest mistakes that explain what is wrong."""

from bncourse.exercises import Mistake
from bncourse.exercises.mistake import fewest

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

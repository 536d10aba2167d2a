"""Whatever a function does or gives back, the answer is a report, and a true one."""

import dataclasses
import sys
from fractions import Fraction

import numpy as np
import pytest

from bncourse.exercises import Exercise, Mistake
from bncourse.exercises.raised import LONGEST


def total(x):
    return x.sum(axis=0)


EXERCISE = Exercise(
    name="total",
    chapter="none",
    question="The sums of the columns.",
    reference=total,
    inputs=lambda rng: [(rng.normal(1, 1, (2, 2)),), (rng.normal(1, 1, (5, 2)),)],
    outputs=("sums",),
    hostile=lambda rng, eps: [(rng.normal(1, 1, (9, 2)),)],
    describe=lambda case, got, want: [f"off by {np.linalg.svd(got[0] - want[0][:, None])[1]}"],
)
PAIR = Exercise(
    name="pair",
    chapter="none",
    question="The smallest and the largest of each column.",
    reference=lambda x: (x.min(axis=0), x.max(axis=0)),
    inputs=EXERCISE.inputs,
    outputs=("low", "high"),
)


class Stop(BaseException):
    """No Exception, as SystemExit is none."""


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


def raising(error):
    def answer(x):
        raise error

    return answer


@pytest.mark.parametrize(
    "error", [SystemExit(3), Stop(), GeneratorExit(), Mute(), RecursionError()]
)
def test_whatever_is_raised_is_told(error):
    report = EXERCISE.check(raising(error))
    assert report.outcome == "raised"
    assert f"raises {type(error).__name__} in answer, at: raise error" in report.message


def test_sys_exit_does_not_end_the_notebook():
    assert EXERCISE.check(lambda x: sys.exit()).outcome == "raised"


def test_the_stop_button_stops_the_check():
    with pytest.raises(KeyboardInterrupt):
        EXERCISE.check(raising(KeyboardInterrupt()))


def test_an_endless_message_is_cut():
    message = EXERCISE.check(raising(ValueError("x" * 10**6))).message
    assert message.endswith("x ...") and message.count("x") < LONGEST + 100


class Broken:
    def __array__(self, *arguments, **options):
        raise RuntimeError


@pytest.mark.parametrize(
    "value", [Broken(), np.ma.array([1.0, 2.0], mask=True), [[1.0], [1.0, 2.0]]], ids=type
)
def test_what_cannot_be_made_an_array_is_refused(value):
    for form in (value, (value,)):
        report = EXERCISE.check(lambda x, form=form: form)
        assert report.message == "Not yet: sums is not an array, and cannot be made one."


@pytest.mark.parametrize("value", [(v for v in "ab"), {}, np.sum, map(abs, ())], ids=type)
def test_what_is_no_array_is_told_by_its_type(value):
    kind = type(value).__name__
    report = EXERCISE.check(lambda x: value)
    assert report.message == f"Not yet: sums is no array, but a value of type {kind}."
    report = PAIR.check(lambda x: value)
    said = f"Not yet: one value of type {kind} comes back; return two: low, high."
    assert report.message == said


def test_a_list_with_something_in_it_is_told_by_what_it_holds():
    report = EXERCISE.check(lambda x: [None, {}])
    assert report.message == "Not yet: sums holds object, not real numbers."


def test_integers_are_real_numbers():
    exercise = dataclasses.replace(EXERCISE, inputs=lambda rng: [(np.ones((3, 2)),)])
    assert exercise.check(lambda x: x.sum(axis=0).astype("uint8")).passed
    assert exercise.check(lambda x: [3, 3]).passed


def test_an_input_that_holds_nan_is_not_taken_for_changed():
    exercise = dataclasses.replace(EXERCISE, inputs=lambda rng: [(np.array([[np.nan, 1.0]]),)])
    assert exercise.check(total).passed


def test_dots_are_a_stub():
    assert EXERCISE.check(lambda x: ...).outcome == "not attempted"


def test_one_output_that_is_none_is_told():
    report = PAIR.check(lambda x: (x.min(axis=0), None))
    assert report.message == "Not yet: high is no array, but a value of type NoneType."


@pytest.mark.parametrize("limit", [3, 6])
def test_what_returns_on_some_inputs_only_was_attempted(limit):
    """On a later input, or on the hostile one."""
    report = EXERCISE.check(lambda x: x.sum(axis=0) if len(x) < limit else None)
    assert report.outcome == "wrong form"
    assert report.message.startswith("Not yet: on some inputs something is returned")


def test_one_array_may_hold_all_results_in_turn():
    out = np.zeros(2)

    def into_out(x):
        out[:] = x.sum(axis=0)
        return out

    assert EXERCISE.check(into_out).passed


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -np.inf, 1e308 * np.array([1.0, np.inf])], ids=str
)
def test_what_is_not_finite_is_said_and_not_described(value):
    report = EXERCISE.check(lambda x: x.sum(axis=0) + value)
    assert "There are NaN or infinite numbers in sums." in report.message
    assert "off by" not in report.message


def test_what_is_described_is_finite_in_all_outputs():
    """The other output is explained by a mistake, NaN and all."""
    exercise = dataclasses.replace(
        PAIR,
        mistakes=(Mistake("lost", lambda x: (np.nan * x[0], x.max(axis=0)), "Found."),),
        describe=lambda case, got, want: [f"off by {np.linalg.svd(got[0][:, None])[1]}"],
    )
    report = exercise.check(lambda x: (np.nan * x[0], x.min(axis=0)))
    assert report.mistakes == ("lost",) and "off by" not in report.message


def test_a_tuple_of_numbers_is_an_array_where_one_is_wanted():
    assert EXERCISE.check(lambda x: (x[:, 0].sum(), x[:, 1].sum())).passed
    report = EXERCISE.check(lambda x: (x[:, 0].sum(), x[:, 1].sum(), 0.0))
    assert report.message == "Not yet: 3 values come back; return one: sums."
    report = EXERCISE.check(lambda x: (x.sum(axis=0), x))
    assert report.message == "Not yet: 2 values come back; return one: sums."


def test_long_floats_are_compared_and_described():
    assert EXERCISE.check(lambda x: x.sum(axis=0).astype(np.longdouble)).passed
    report = EXERCISE.check(lambda x: x.sum(axis=0).astype(np.longdouble) + 1)
    assert "off by" in report.message


def test_fractions_are_no_array_of_numbers():
    report = EXERCISE.check(lambda x: [sum(map(Fraction, c)) for c in x.T])
    assert report.message == "Not yet: sums holds object, not real numbers."


def test_a_learner_who_has_asked_numpy_for_exceptions_gets_a_report():
    settings = np.seterr(all="raise")
    try:
        assert EXERCISE.check(lambda x: x.sum(axis=0) * np.inf * 0).outcome == "unknown mistake"
        assert EXERCISE.check(lambda x: x.sum(axis=0) * 1e308).outcome == "unknown mistake"
        exercise = dataclasses.replace(EXERCISE, describe=lambda case, got, want: [str(got[0] / 0)])
        assert "inf" in exercise.check(lambda x: x.sum(axis=0) + 1).message
        assert np.geterr()["over"] == "raise"
    finally:
        np.seterr(**settings)


@pytest.mark.parametrize(("seed", "kind"), [(-1, ValueError), (1.5, TypeError), ("a", TypeError)])
def test_a_seed_that_is_none_is_named(seed, kind):
    with pytest.raises(kind, match="seed must be an integer that is not negative, not "):
        EXERCISE.check(total, seed=seed)


def test_another_seed_makes_other_inputs():
    seen = [[], [], []]
    for seed, inputs in zip((0, 0, 1), seen, strict=True):
        EXERCISE.check(lambda x, inputs=inputs: inputs.append(x.copy()) or x.sum(axis=0), seed)
    assert np.array_equal(seen[0][1], seen[1][1])
    assert not np.array_equal(seen[0][1], seen[2][1])


def test_a_library_that_is_none_is_named():
    with pytest.raises(ValueError, match="library must be 'numpy' or 'cupy', not 'torch'"):
        EXERCISE.check(total, library="torch")

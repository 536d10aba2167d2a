"""The checker itself, on an exercise made for the purpose: two outputs, two known mistakes."""

import dataclasses
import json
from functools import partial

import array_api_strict as xp
import numpy as np
import pytest

from bncourse import arrays
from bncourse import functional as F
from bncourse.exercises import Exercise, Mistake
from bncourse.exercises.mistake import together


def center_and_sum(x, shift):
    return x - x.mean(axis=0) + shift, x.sum(axis=0)


EXERCISE = Exercise(
    name="center",
    chapter="none",
    question="Center the columns, add the shift; and return the sums of the columns.",
    reference=center_and_sum,
    inputs=lambda rng: [
        (rng.normal(1, 1, (2, 2)), np.float64(0.5)),
        (rng.normal(3, 1, (5, 3)), np.float64(-1)),
    ],
    outputs=("centered", "total"),
    mistakes=(
        Mistake("not centered", lambda x, s: (x + s, x.sum(axis=0)), "Subtract the mean."),
        Mistake("mean for sum", lambda x, s: (x - x.mean(0) + s, x.mean(0)), "Do not divide."),
    ),
    hints=("Begin with the mean.",),
    praise="Well done.",
)


@pytest.mark.parametrize(
    "answer",
    [
        center_and_sum,
        lambda x, s: ((x - np.einsum("ij->j", x) / len(x) + s), np.einsum("ij->j", x)),
        lambda x, s: (
            np.array([[v - sum(c) / len(c) for v, c in zip(r, x.T, strict=True)] for r in x]) + s,
            np.array([sum(c) for c in x.T]),
        ),
        lambda x, s: tuple(a.astype("float32") for a in center_and_sum(x, s)),
    ],
    ids=["reference", "einsum", "loops", "float32"],
)
def test_any_equal_answer_passes(answer):
    report = EXERCISE.check(answer)
    assert report.passed and report.outcome == "right"
    assert report.message == "Right. Well done."


def test_what_is_right_is_said_beside_what_is_wrong():
    report = EXERCISE.check(EXERCISE.mistakes[0].wrong)
    assert report.outcome == "known mistake"
    assert "Right: total." in report.message
    assert "centered: not centered. Subtract the mean." in report.message


def test_two_mistakes_in_two_outputs_are_both_named():
    report = EXERCISE.check(lambda x, s: (x + s, x.mean(axis=0)))
    assert report.mistakes == ("not centered", "mean for sum")


def test_an_unknown_mistake_shows_the_smallest_input():
    report = EXERCISE.check(lambda x, s: (x - x.mean(0) + 2 * s, x.sum(0)))
    assert report.outcome == "unknown mistake" and report.mistakes == ()
    assert "  x = [[" in report.message and "wanted: centered" in report.message


def test_a_mistake_that_shows_on_some_inputs_only_is_not_taken_for_another():
    def wrong_for_larger(x, s):
        return (x + s if len(x) > 2 else x - x.mean(0) + s), x.sum(0)

    assert EXERCISE.check(wrong_for_larger).outcome == "unknown mistake"


def test_an_exception_is_shown_with_the_learners_line():
    def broken(x, s):
        return x @ x, x.sum(0)  # fails for the second input

    report = EXERCISE.check(broken)
    assert report.outcome == "raised"
    assert "ValueError" in report.message and "return x @ x, x.sum(0)" in report.message


def test_changing_an_input_is_told_and_names_it():
    def in_place(x, s):
        total = x.sum(0)
        x -= x.mean(0)
        return x + s, total

    report = EXERCISE.check(in_place)
    assert report.outcome == "changed its inputs"
    assert "input x" in report.message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x, s: x - x.mean(0) + s, "one value comes back; return two: centered, total."),
        (lambda x, s: (x[0], x.sum(0)), "centered has shape"),
        (lambda x, s: (x + 0j, x.sum(0)), "centered holds complex128"),
        (lambda x, s: ("a", "b"), "centered has shape"),
    ],
)
def test_a_wrong_form_is_described(answer, words):
    report = EXERCISE.check(answer)
    assert report.outcome == "wrong form" and words in report.message


def test_nan_is_not_taken_for_right():
    report = EXERCISE.check(lambda x, s: (x * np.nan, x.sum(0)))
    assert report.outcome == "unknown mistake"


def test_something_that_is_no_function_is_refused():
    assert EXERCISE.check(np.ones(3)).outcome == "wrong form"


def test_one_array_that_holds_all_outputs_is_taken():
    exercise = Exercise(
        name="other",
        chapter="none",
        question="Smallest and largest of each column.",
        reference=lambda x: (x.min(axis=0), x.max(axis=0)),
        inputs=lambda rng: [(rng.normal(0, 1, (4, 3)),)],
        outputs=("low", "high"),
    )
    assert exercise.check(lambda x: np.array([x.min(0), x.max(0)])).passed
    assert exercise.check(lambda x: [x.min(0), x.max(0)]).passed
    assert "Right: low" in exercise.check(lambda x: np.array([x.min(0), x.min(0)])).message
    report = exercise.check(lambda x: x[:2, :2])  # two rows, but not the two outputs
    assert report.message == "Not yet: one value comes back; return two: low, high."


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x, s: (), "0 values come back; return two: centered, total."),
        (lambda x, s: (x, x, x), "3 values come back; return two: centered, total."),
        (lambda x, s: ([[1.0], [1.0, 2.0]], x.sum(0)), "centered is not an array"),
    ],
)
def test_a_wrong_number_of_values_is_counted(answer, words):
    report = EXERCISE.check(answer)
    assert report.outcome == "wrong form" and words in report.message


def deep(x, s):
    return center_and_sum(F.batch_norm_forward(x[:1])[0], s)  # too small a batch, says the package


def in_numpy(x, s):
    return np.linalg.inv(x[:1]), s


def by_a_helper(x, s):
    return raises(x), s


def raises(x):
    raise KeyError("mine")


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (deep, "in deep, at: return center_and_sum(F.batch_norm_forward(x[:1])[0], s)"),
        (in_numpy, "in in_numpy, at: return np.linalg.inv(x[:1]), s"),
        (lambda x, s: np.mean(x, axis=7), "np.mean(x, axis=7)"),
        (lambda x, s: json.loads("{"), 'json.loads("{")'),
        (by_a_helper, 'in raises, at: raise KeyError("mine")'),
    ],
    ids=["the package", "NumPy", "NumPy in a lambda", "the standard library", "a helper"],
)
def test_an_exception_from_elsewhere_is_shown_with_the_learners_line(answer, line):
    report = EXERCISE.check(answer)
    assert report.outcome == "raised" and line in report.message.splitlines()[0]


def test_a_call_that_does_not_fit_has_no_line():
    report = EXERCISE.check(lambda x: x)
    assert report.message.startswith("Not yet: your function raises TypeError\n")


def test_one_mistake_is_named_where_two_would_do():
    exercise = Exercise(
        name="other",
        chapter="none",
        question="Center the columns, and return the sums of the columns.",
        reference=center_and_sum,
        inputs=EXERCISE.inputs,
        outputs=EXERCISE.outputs,
        mistakes=(
            *EXERCISE.mistakes,
            Mistake("neither", lambda x, s: (x + s, x.mean(axis=0)), "Both."),
        ),
    )
    report = exercise.check(lambda x, s: (x + s, x.mean(axis=0)))
    assert report.mistakes == ("neither",)
    assert "centered, total: neither. Both." in report.message


def test_a_mistake_that_does_not_show_is_not_blamed():
    exercise = Exercise(
        name="other",
        chapter="none",
        question="Twice as much.",
        reference=lambda x: 2 * x,
        inputs=lambda rng: [(rng.uniform(1, 2, 3),)],
        outputs=("y",),
        mistakes=(Mistake("hardly one", lambda x: 2 * x * (1 + 8e-6), "Too near to show."),),
    )
    assert exercise.check(lambda x: 2 * x * (1 + 8e-6)).passed
    assert exercise.check(lambda x: 2 * x * (1 + 15e-6)).mistakes == ()


def test_a_function_that_never_returns_is_stopped_at_the_learners_line():
    def endless(x, s):
        while True:
            x = x + 0

    quick = dataclasses.replace(EXERCISE, seconds=0.2)
    report = quick.check(endless)
    assert report.outcome == "stopped" and not report.passed
    assert "stopped after 0.2 seconds in endless, at: " in report.message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            lambda x, s: tuple(a.astype("float16") for a in center_and_sum(x, s)),
            "centered holds float16",
        ),
        (lambda x, s: (xp.asarray(x), x.sum(0)), "centered is an array of array_api_strict"),
        (lambda x, s: (x > 0, x.sum(0)), "centered holds bool"),
    ],
    ids=["float16", "library", "bool"],
)
def test_a_wrong_dtype_or_library_is_described(answer, words):
    report = EXERCISE.check(answer)
    assert report.outcome == "wrong form" and words in report.message


def test_a_library_that_cannot_come_in_is_not_offered():
    message = EXERCISE.check(lambda x, s: (xp.asarray(x), x.sum(0))).message
    assert "library=" not in message and "convert it" in message


def test_arrays_of_another_library_come_in_where_they_are_asked_for(monkeypatch):
    """array-api-strict stands for CuPy."""

    def to(x, library):
        return np.asarray(x) if library == "numpy" else xp.asarray(x, copy=True)

    monkeypatch.setattr(arrays, "to", to)

    def strict(x, s):
        assert isinstance(x, type(xp.asarray(1.0)))
        return x - xp.mean(x, axis=0) + float(s), xp.sum(x, axis=0)

    assert EXERCISE.check(strict, library="array_api_strict").passed
    message = EXERCISE.check(lambda x, s: center_and_sum(np.asarray(x), s), library="other").message
    assert "is an array of numpy" in message and "check(..., library='numpy')" in message

    def in_place(x, s):
        out = strict(x, s)
        x[0, 0] = 7.0
        return out

    report = EXERCISE.check(in_place, library="array_api_strict")
    assert report.outcome == "changed its inputs"


def test_cupy_that_cannot_be_used_is_said():
    if arrays.why_no_cupy() is None:
        pytest.skip("CuPy can be used here")
    with pytest.raises(RuntimeError, match="CuPy cannot be used here"):
        EXERCISE.check(center_and_sum, library="cupy")


SPREAD = Exercise(
    name="spread",
    chapter="none",
    question="The variance of each column.",
    reference=lambda x: x.var(axis=0),
    inputs=lambda rng: [(rng.normal(1, 1, (5, 2)),)],
    outputs=("var",),
    hostile=lambda rng, eps: [(rng.normal(4 / eps**0.5, 1, (20, 3)),)],
    fragile="center first.",
    praise="Good.",
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_answer_that_is_right_in_algebra_only_is_called_fragile(dtype):
    def one_pass(x):
        x = x.astype(dtype)
        return (x * x).mean(axis=0) - x.mean(axis=0) ** 2

    report = SPREAD.check(one_pass)
    assert (report.passed, report.outcome) == (True, "fragile")
    assert "Right on ordinary data, but fragile: center first." in report.message
    assert "Where var is lost:" in report.message and "wanted: var" in report.message
    assert SPREAD.check(lambda x: x.astype(dtype).var(axis=0)).outcome == "right"


def test_float32_on_the_way_is_float32_whatever_comes_back():
    assert SPREAD.check(lambda x: x.astype("float32").var(axis=0).astype(float)).outcome == "right"


def test_what_raises_on_hostile_data_is_told():
    def picky(x):
        if x.max() > 100:
            raise OverflowError("too large")
        return x.var(axis=0)

    assert SPREAD.check(picky).outcome == "raised"


def test_a_class_can_be_the_answer():
    class Counter:
        def __init__(self):
            self.total = 0.0

        def add(self, x):
            self.total += x

    def drive(answer, x):
        counter = answer()
        counter.add(x)
        counter.add(x)
        return counter.total

    exercise = Exercise(
        name="counter",
        chapter="none",
        question="A class with total, and add(x) that adds to it.",
        reference=Counter,
        inputs=lambda rng: [(rng.normal(),)],
        outputs=("total",),
        use=drive,
    )
    assert exercise.check(Counter).passed
    assert exercise.arguments == ["x"]

    class Forgetful(Counter):
        def add(self, x):
            self.total = x

    assert exercise.check(Forgetful).outcome == "unknown mistake"
    assert exercise.check(Counter()).message == "Pass the class itself, not Counter."


def made(x, s, minus=1, times=1):
    return times * (x - minus * x.mean(axis=0)) + s


def test_two_mistakes_in_one_output_are_both_named():
    exercise = Exercise(
        name="parts",
        chapter="none",
        question="Center and shift.",
        reference=lambda x, s: x - x.mean(axis=0) + s,
        inputs=EXERCISE.inputs,
        outputs=("y",),
        mistakes=(
            Mistake("not centered", partial(made, minus=0), "Subtract the mean."),
            Mistake("doubled", partial(made, times=2), "Once."),
            Mistake("halved", partial(made, times=0.5), "Once."),
            Mistake("nothing", lambda x, s: 0 * x, "Something."),
        ),
    )
    report = exercise.check(lambda x, s: 2 * x + s)
    assert report.outcome == "known mistake"
    assert report.mistakes == ("not centered", "doubled")
    assert "y: two mistakes together. First, not centered. Subtract" in report.message
    assert together(*exercise.mistakes[1:3]) is None  # the same part
    assert together(*exercise.mistakes[2:]) is None  # no parts


def test_a_known_mistake_is_shown_on_the_smallest_input():
    message = EXERCISE.check(EXERCISE.mistakes[0].wrong).message
    assert "For example:\n  x = [[" in message and "yours:  centered" in message


def test_an_exercise_shows_its_question():
    assert repr(EXERCISE).splitlines()[0] == "center (none)"
    assert "Center the columns" in repr(EXERCISE)


@pytest.mark.parametrize(("whole", "named"), [(False, ("both",)), (True, ())])
def test_a_mistake_that_spoils_what_is_right_is_not_the_one_where_all_outputs_are_one(whole, named):
    exercise = dataclasses.replace(
        EXERCISE,
        whole=whole,
        mistakes=(Mistake("both", lambda x, s: (x + s, 0 * x.sum(axis=0)), "Why."),),
    )
    assert exercise.check(lambda x, s: (x + s, x.sum(axis=0))).mistakes == named
    assert exercise.check(exercise.mistakes[0].wrong).mistakes == ("both",)


def test_what_one_input_does_not_tell_the_next_smaller_one_does_but_not_the_smallest():
    sizes = 2, 3, 4
    asked = []

    def describe(case, got, want):
        asked.append(len(case[0]))
        return ["seen"] if len(case[0]) == 3 else []

    exercise = Exercise(
        name="twice",
        chapter="none",
        question="Twice as much.",
        reference=lambda x: 2 * x,
        inputs=lambda rng: [(rng.uniform(1, 2, n),) for n in sizes],
        outputs=("y",),
        describe=describe,
    )
    assert "\nseen\n" in exercise.check(lambda x: 3 * x).message
    assert asked == [4, 3]
    asked.clear()
    exercise.check(lambda x: 3 * x if len(x) != 3 else 2 * x)
    assert asked == [4]
    asked.clear()
    exercise.check(lambda x: 3 * x if len(x) == 2 else 2 * x)
    assert asked == [2]


def test_of_two_explanations_that_which_spoils_nothing_else_is_named():
    exercise = dataclasses.replace(
        EXERCISE,
        mistakes=(
            Mistake("both", lambda x, s: (x + s, 0 * x.sum(axis=0)), "Spoils the total too."),
            *EXERCISE.mistakes,
        ),
    )
    assert exercise.check(lambda x, s: (x + s, x.sum(axis=0))).mistakes == ("not centered",)
    assert exercise.check(lambda x, s: (x + s, 0 * x[0])).mistakes == ("both",)

"""Every exercise of the course: its reference passes, and each of its known mistakes is named."""

import numpy as np
import pytest

from bncourse import exercises
from bncourse.exercises import Exercise, Quantity

ALL = {name: getattr(exercises, name) for name in exercises.__all__}
WRITTEN = {name: e for name, e in ALL.items() if isinstance(e, Exercise)}
NUMBERS = {name: e for name, e in ALL.items() if isinstance(e, Quantity)}
MISTAKES = [(name, m) for name, e in WRITTEN.items() for m in e.mistakes]
WRONG_NUMBERS = [(name, m) for name, e in NUMBERS.items() for m in e.mistakes]


def labels(pairs):
    return [f"{name}: {mistake.name}" for name, mistake in pairs]


@pytest.mark.parametrize("name", WRITTEN)
def test_the_reference_passes(name):
    exercise = WRITTEN[name]
    for seed in range(20):
        assert exercise.check(exercise.reference, seed).passed


@pytest.mark.parametrize(("name", "mistake"), MISTAKES, ids=labels(MISTAKES))
def test_a_known_mistake_is_named(name, mistake):
    for seed in range(20):
        report = WRITTEN[name].check(mistake.wrong, seed)
        assert report.outcome == "known mistake", report
        assert report.mistakes == (mistake.name,)
        assert mistake.why in report.message


@pytest.mark.parametrize("name", WRITTEN)
def test_a_slight_perturbation_is_refused(name):
    exercise = WRITTEN[name]

    def perturbed(*arguments):
        outputs = exercise.reference(*arguments)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(1.001 * np.asarray(o) + 0.001 for o in outputs)

    for seed in range(20):
        report = exercise.check(perturbed, seed)
        assert not report.passed
        assert report.outcome == "unknown mistake"


@pytest.mark.parametrize("name", WRITTEN)
def test_a_stub_is_not_attempted(name):
    def stub(*arguments):
        raise NotImplementedError

    assert WRITTEN[name].check(stub).outcome == "not attempted"
    assert WRITTEN[name].check(lambda *arguments: None).outcome == "not attempted"


@pytest.mark.parametrize("name", NUMBERS)
def test_the_right_number_passes(name):
    exercise = NUMBERS[name]
    assert exercise.check(exercise.answer).passed
    assert exercise.check(...).outcome == "not attempted"
    assert exercise.check(None).outcome == "not attempted"
    assert exercise.check(exercise.answer * 1.02 + 0.01).outcome == "unknown mistake"
    assert exercise.check("seven").outcome == "wrong form"


@pytest.mark.parametrize(("name", "mistake"), WRONG_NUMBERS, ids=labels(WRONG_NUMBERS))
def test_a_known_wrong_number_is_named(name, mistake):
    report = NUMBERS[name].check(mistake.wrong)
    assert report.mistakes == (mistake.name,)
    assert mistake.why in report.message


@pytest.mark.parametrize("name", WRITTEN | NUMBERS)
def test_hints_come_in_steps_and_start_again(name):
    exercise = ALL[name]
    count = len(exercise.hints)
    assert count >= 1
    first = [exercise.hint() for _ in range(count)]
    assert len(set(first)) == count
    assert exercise.hint() == f"That was the last hint. From the start:\n{first[0]}"
    assert repr(first[0]) == str(first[0])
    exercise._given = 0


@pytest.mark.parametrize("name", WRITTEN | NUMBERS)
def test_there_is_a_question_and_a_solution(name):
    assert len(ALL[name].question) > 20
    assert len(ALL[name].solution()) > 20

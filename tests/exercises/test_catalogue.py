"""Every exercise of the course: its reference passes, and each of its known mistakes is named."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from bncourse import exercises
from bncourse.exercises import EXERCISES, Exercise, Quantity
from bncourse.exercises.mistake import together

BOOK = Path(__file__).parents[2] / "book"
ALL = {e.name: e for e in EXERCISES}
WRITTEN = {name: e for name, e in ALL.items() if isinstance(e, Exercise)}
CALLED = [name for name, e in WRITTEN.items() if not e.use]  # others are driven, see their tests
NUMBERS = {name: e for name, e in ALL.items() if isinstance(e, Quantity)}
MISTAKES = [(name, m) for name, e in WRITTEN.items() for m in e.mistakes]
WRONG_NUMBERS = [(name, m) for name, e in NUMBERS.items() for m in e.mistakes]
PAIRED = {
    name: [(a, b) for a, b in combinations(e.mistakes, 2) if together(a, b)]
    for name, e in WRITTEN.items()
}
SEEDS = range(100)


def labels(pairs):
    return [f"{name}: {mistake.name}" for name, mistake in pairs]


def as_tuple(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


def test_every_exercise_is_public_and_in_the_order_of_the_course():
    public = {
        n for n in exercises.__all__ if isinstance(getattr(exercises, n), Exercise | Quantity)
    }
    assert public == set(ALL) and len(ALL) == len(EXERCISES)
    for name, exercise in ALL.items():
        assert getattr(exercises, name) is exercise
    chapters = [e.chapter for e in EXERCISES]
    assert chapters == sorted(chapters, key=chapters.index)


def test_there_are_three_to_six_in_each_chapter():
    for chapter in {e.chapter for e in EXERCISES}:
        count = sum(e.chapter == chapter for e in EXERCISES)
        if (BOOK / f"{chapter}.ipynb").exists():
            assert 3 <= count <= 6, chapter


def test_mistakes_of_an_exercise_have_names_of_their_own():
    assert len(MISTAKES) >= 60
    for exercise in EXERCISES:
        names = [m.name for m in exercise.mistakes]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_reference_passes(name):
    exercise = WRITTEN[name]
    for seed in SEEDS:
        assert exercise.check(exercise.reference, seed, mine=False).outcome == "right"


@pytest.mark.parametrize(("name", "mistake"), MISTAKES, ids=labels(MISTAKES))
def test_a_known_mistake_is_named(name, mistake):
    for seed in SEEDS:
        report = WRITTEN[name].check(mistake.wrong, seed)
        assert report.outcome == "known mistake", report
        assert report.mistakes == (mistake.name,)
        assert not report.passed
    assert mistake.why in report.message
    assert "For example:" in report.message


@pytest.mark.parametrize("name", [name for name, pairs in PAIRED.items() if pairs])
def test_two_mistakes_together_are_refused_and_mostly_both_named(name):
    """Some pairs are equal to a third mistake: then that is named, and rightly."""
    pairs, exercise = PAIRED[name], WRITTEN[name]
    rng = np.random.default_rng(0)
    chosen = [pairs[k] for k in rng.permutation(len(pairs))[:40]]
    named = 0
    for seed, (first, second) in enumerate(chosen):
        report = exercise.check(together(first, second), seed)
        assert not report.passed, (first.name, second.name)
        assert report.mistakes, (first.name, second.name)
        named += {first.name, second.name} == set(report.mistakes)
    assert named >= 0.8 * len(chosen)


@pytest.mark.parametrize("name", CALLED)
def test_a_random_perturbation_is_refused(name):
    exercise = WRITTEN[name]
    for seed in range(20):
        rng = np.random.default_rng(seed)

        def perturbed(*arguments, rng=rng):
            outputs = as_tuple(exercise.call(exercise.reference, arguments))
            return tuple(
                o * (1 + 0.01 * rng.choice((-1, 1), np.shape(o)))
                + 1e-3 * np.abs(o).max() * rng.normal(0, 1, np.shape(o))
                for o in outputs
            )

        report = exercise.check(perturbed, seed)
        assert report.outcome == "unknown mistake", report
        assert "The smallest input that shows it:" in report.message


@pytest.mark.parametrize("name", CALLED)
def test_one_wrong_entry_is_refused(name):
    exercise = WRITTEN[name]

    def touched(*arguments):
        outputs = [np.array(o) for o in as_tuple(exercise.reference(*arguments))]
        o = outputs[-1]
        if o.dtype.kind != "f":
            return tuple(outputs)
        o.flat[-1] += 0.01 * (1 + np.abs(o).max())
        return tuple(outputs)

    for seed in range(20):
        assert exercise.check(touched, seed).outcome == "unknown mistake"


@pytest.mark.parametrize("name", WRITTEN)
def test_inputs_have_random_shapes_and_the_first_is_the_smallest(name):
    shapes = set()
    for seed in range(10):
        cases = WRITTEN[name].inputs(np.random.default_rng(seed))
        sizes = [sum(np.size(a) for a in case) for case in cases]
        assert sizes[0] == min(sizes)
        shapes.add(str([[np.shape(a) for a in case] for case in cases]))
    assert len(shapes) > 1


@pytest.mark.parametrize("name", WRITTEN)
def test_a_stub_is_not_attempted(name):
    def stub(*arguments):
        raise NotImplementedError

    assert WRITTEN[name].check(stub).outcome == "not attempted"
    if not WRITTEN[name].use:
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


@pytest.mark.parametrize("name", ALL)
def test_hints_come_in_steps_and_start_again(name):
    exercise = ALL[name]
    count = len(exercise.hints)
    assert count >= 1
    first = [exercise.hint() for _ in range(count)]
    assert len(set(first)) == count
    assert exercise.hint() == f"That was the last hint. From the start:\n{first[0]}"
    assert repr(first[0]) == str(first[0])
    exercise._given = 0


@pytest.mark.parametrize("name", ALL)
def test_there_is_a_question_a_solution_and_a_word_after_it(name):
    exercise = ALL[name]
    assert len(exercise.question) > 20
    assert len(exercise.solution()) > 20
    assert repr(exercise).startswith(f"{name} ({exercise.chapter})\n")
    assert f"{name}.hint()" in repr(exercise)
    if name in WRITTEN:
        assert len(exercise.praise) > 10
        assert exercise.solution().startswith(("def ", "class "))

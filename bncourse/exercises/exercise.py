"""The checker: it runs a learner's function beside the reference and beside known mistakes."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bncourse.exercises import fragile as fragility
from bncourse.exercises import progress, verdict
from bncourse.exercises.attempt import as_tuple, run
from bncourse.exercises.hints import Hinted
from bncourse.exercises.report import Report, Text, wrapped


@dataclass(kw_only=True, repr=False)
class Exercise(Hinted):
    """A function that the learner writes.

    Attributes
    ----------
    name : str
        Its name in ``bncourse.exercises``, and in the reader's progress.
    chapter : str
        Slug of the chapter that asks it, e.g. ``"transform/forward"``.
    question : str
        What to write, with the signature.
    reference : callable
        A solution, which is also what answers are compared with.
    inputs : callable
        Takes a ``numpy.random.Generator`` and returns a list of argument tuples, the smallest
        first, chosen so that no two mistakes agree on all of them.
    outputs : tuple of str
        Names of what is returned.
    mistakes : tuple of Mistake
    hints : tuple of str
    praise : str
        What is said after a right answer: something to see, or one question further.
    use : callable, optional
        ``use(answer, *case)`` gives the outputs, where ``answer(*case)`` does not: when it is a
        class, say.
    hostile : callable, optional
        Takes a generator and the rounding unit of the learner's dtype, and returns inputs on
        which answers that are equal in algebra differ by their rounding.
    fragile : str
        Why they do, and what helps.
    describe : callable, optional
        ``describe(case, got, want)`` gives lines that say where a result that no known mistake
        explains leaves the right one; ``[]`` if it cannot tell.
    whole : bool
        True if all outputs show one and the same decision. Then a mistake is named only if it
        leaves right what is right.
    tolerance : float
        Relative to the largest entry of an output; ten times as much for answers in float32.
    seconds : float
        After which a call is stopped.
    """

    name: str
    chapter: str
    question: str
    reference: Callable
    inputs: Callable
    outputs: tuple
    mistakes: tuple = ()
    hints: tuple = ()
    praise: str = ""
    use: Callable | None = None
    hostile: Callable | None = None
    fragile: str = ""
    describe: Callable | None = None
    whole: bool = False
    tolerance: float = 1e-5
    seconds: float = 10.0
    _given: int = field(default=0, repr=False)

    def check(self, answer, seed=0, library="numpy", mine=True):
        """Run ``answer`` on several inputs and say what it does.

        Parameters
        ----------
        answer : callable
            The learner's function.
        seed : int
            Of the inputs; not negative.
        library : str
            ``"numpy"`` or ``"cupy"``: whose arrays the function is given.
        mine : bool
            False for a solution that is not the reader's own: it does not count in their
            progress.

        Returns
        -------
        Report

        Raises
        ------
        ValueError or TypeError
            If ``seed`` is not such an integer, or ``library`` none of the two.
        RuntimeError
            If CuPy is asked for and cannot be used here.
        """
        with np.errstate(all="ignore"):  # the learner may have asked for exceptions
            report = self._report(answer, seed, library)
        if mine and report.outcome != "not attempted":
            progress.record(self.name, report)
        if mine and report.passed:
            report = Report(**vars(report) | {"solution": self.solution()})
        return report

    def solution(self):
        """Source of the reference."""
        source = inspect.getsource(self.reference)
        return Text(re.sub(r"^(def|class) _", r"\1 ", source))

    def __repr__(self):
        return (
            f"{self.name} ({self.chapter})\n{wrapped(self.question)}\n"
            f"{self.name}.check(your_function), {self.name}.hint(), {self.name}.solution()"
        )

    @property
    def arguments(self):
        """Names of what a case holds."""
        names = list(inspect.signature(self.use or self.reference).parameters)
        return names[1:] if self.use else names

    def call(self, answer, case):
        """What ``answer`` makes of a case, as it comes."""
        return self.use(answer, *case) if self.use else answer(*case)

    def wanted(self, case, answer=None):
        """What the reference, or another ``answer``, makes of a case: a tuple of arrays."""
        with np.errstate(all="ignore"):
            outputs = as_tuple(self.call(answer or self.reference, case))
        return tuple(map(np.asarray, outputs))

    def _report(self, answer, seed, library):
        if not callable(answer):
            kind = "class" if inspect.isclass(self.reference) else "function"
            message = f"Pass the {kind} itself, not {type(answer).__name__}."
            return Report(False, "wrong form", message)
        runs = []
        for case in self.inputs(_generator(seed)):
            result = run(self, answer, case, library)
            if isinstance(result, Report):
                return _not_always(result) if runs else result
            runs.append(result)
        wrong = verdict.wrong_outputs(self, runs)
        if wrong:
            return verdict.report(self, runs, wrong)
        if self.hostile:
            report = fragility.report(self, answer, runs, _generator(seed), library)
            if report:
                return _not_always(report)
        return Report(True, "right", " ".join(filter(None, ("Right.", self.praise))))


def _generator(seed):
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        message = f"seed must be an integer that is not negative, not {seed!r}"
        raise type(error)(message) from None


def _not_always(report):
    """The ``report`` on an answer that has given something on an input before."""
    if report.outcome != "not attempted":
        return report
    message = "Not yet: on some inputs something is returned, on others nothing. "
    message += "Does each branch of your function end with a return?"
    return Report(False, "wrong form", message)

"""A number that the learner works out by hand."""

import math
from dataclasses import dataclass, field

from bncourse.exercises import progress
from bncourse.exercises.hints import Hinted
from bncourse.exercises.report import Report, Text, wrapped


@dataclass(kw_only=True, repr=False)
class Quantity(Hinted):
    """A number that the learner works out by hand.

    Attributes
    ----------
    name : str
        Its name in ``bncourse.exercises``, and in the reader's progress.
    chapter : str
        Slug of the chapter that asks it.
    question : str
    answer : float
    mistakes : tuple of Mistake
    hints : tuple of str
    working : str
        How the answer comes about; shown by :meth:`solution`.
    tolerance : float
        Relative.
    absolute : float
        Tolerance that is left where the answer is near 0, in the units of the answer. The
        default suits numbers of order one.
    """

    name: str
    chapter: str
    question: str
    answer: float
    mistakes: tuple = ()
    hints: tuple = ()
    working: str = ""
    tolerance: float = 5e-3
    absolute: float = 1e-3
    _given: int = field(default=0, repr=False)

    def solution(self):
        """The working, and the number it leads to."""
        return Text(wrapped(self.working))

    def check(self, value, mine=True):
        """Compare a number with the answer.

        Parameters
        ----------
        value : float
            ``None`` and ``...`` mean "not attempted".
        mine : bool
            False for a number that is not the reader's own: it does not count in their progress.

        Returns
        -------
        Report
        """
        report = self._report(value)
        if mine and report.outcome != "not attempted":
            progress.record(self.name, report)
        return report

    def __repr__(self):
        return (
            f"{self.name} ({self.chapter})\n{wrapped(self.question)}\n"
            f"{self.name}.check(your_number), {self.name}.hint(), {self.name}.solution()"
        )

    def _report(self, value):
        if value is None or value is ...:
            return Report(False, "not attempted", "Not attempted yet.")
        try:
            value = float(value)
        except OverflowError:  # an integer of more than 308 digits
            value = math.inf
        except (TypeError, ValueError):
            return Report(False, "wrong form", f"A number is needed, not {type(value).__name__}.")
        if self._near(value, self.answer):
            return Report(True, "right", f"Right. {self.working}")
        for mistake in self.mistakes:
            if self._near(value, mistake.wrong):
                message = f"Not yet: {mistake.name}. {mistake.why}"
                return Report(False, "known mistake", message, (mistake.name,))
        return Report(False, "unknown mistake", "Not yet. hint() takes you one step further.")

    def _near(self, a, b):
        return abs(a - b) <= max(self.tolerance * abs(b), self.absolute)

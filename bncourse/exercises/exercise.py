"""The checker: it runs a learner's function beside the reference and beside known mistakes."""

import copy
import inspect
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bncourse.gradcheck import relative_error


def _wrapped(text):
    """Lines no longer than the column of a page, so that nobody has to scroll sideways."""
    return "\n".join(
        line if line.startswith(" ") else textwrap.fill(line, 80) for line in text.splitlines()
    )


class Text(str):
    """A string that a notebook shows as it is, without quotes."""

    def __repr__(self):
        return str(self)


@dataclass(frozen=True)
class Report:
    """The answer of ``check``; a notebook shows its message.

    Attributes
    ----------
    passed : bool
    outcome : str
        ``"right"``, ``"not attempted"``, ``"raised"``, ``"changed its inputs"``,
        ``"wrong form"``, ``"known mistake"`` or ``"unknown mistake"``.
    mistakes : tuple of str
        Names of the known mistakes that were recognized.
    message : str
        All of it in words.
    """

    passed: bool
    outcome: str
    message: str
    mistakes: tuple = ()

    def __repr__(self):
        return _wrapped(self.message)


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer.

    Attributes
    ----------
    name : str
        What was done, in a few words.
    wrong : callable or float
        A function that makes this mistake; for a :class:`Quantity`, the number it leads to.
    why : str
        Why that produces this result, and where to look.
    """

    name: str
    wrong: Any
    why: str


class _Prompter:
    """Hints in steps."""

    def hint(self):
        """The next hint; after the last one, it starts again."""
        if not self.hints:
            return Text("There is no hint for this one.")
        n = self._given % len(self.hints)
        self._given += 1
        return Text(_wrapped(f"Hint {n + 1} of {len(self.hints)}: {self.hints[n]}"))


@dataclass
class Exercise(_Prompter):
    """A function that the learner writes.

    Attributes
    ----------
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
    tolerance : float
        Relative to the largest entry of an output; wide enough for float32.
    """

    question: str
    reference: Callable
    inputs: Callable
    outputs: tuple
    mistakes: tuple = ()
    hints: tuple = ()
    praise: str = ""
    tolerance: float = 1e-5
    _given: int = field(default=0, repr=False)

    def solution(self):
        """Source of the reference."""
        return Text(inspect.getsource(self.reference))

    def check(self, answer, seed=0):
        """Run ``answer`` on several inputs and say what it does.

        Parameters
        ----------
        answer : callable
            The learner's function.
        seed : int
            Of the inputs.

        Returns
        -------
        Report
        """
        if not callable(answer):
            return Report(
                False, "wrong form", f"Pass the function itself, not {type(answer).__name__}."
            )
        cases = self.inputs(np.random.default_rng(seed))
        results = []
        for case in cases:
            given = copy.deepcopy(case)  # a net has arrays too, and a pass in training changes it
            try:
                with np.errstate(all="ignore"):
                    got = answer(*given)
            except NotImplementedError:
                return Report(False, "not attempted", "Not attempted yet.")
            except Exception as error:  # whatever the learner's code raises is theirs to see
                return Report(False, "raised", _raised(error))
            if got is None or got is ...:
                return Report(False, "not attempted", "Not attempted yet: nothing is returned.")
            changed = [
                name
                for name, before, after in zip(self._arguments(), case, given, strict=False)
                if isinstance(before, np.ndarray)
                and not np.array_equal(before, after, equal_nan=True)
            ]
            if changed:
                message = f"Not yet: your function changes its input {', '.join(changed)}. "
                message += "Work on new arrays: x - mean makes one, x -= mean does not."
                return Report(False, "changed its inputs", message)
            if isinstance(got, list) and len(self.outputs) > 1:
                got = tuple(got)
            got = _tuple(got)
            want = _tuple(self.reference(*case))
            complaint = self._form(got, want)
            if complaint:
                return Report(False, "wrong form", f"Not yet: {complaint}")
            results.append((case, tuple(np.asarray(g) for g in got), want))
        return self._verdict(results)

    def _arguments(self):
        return list(inspect.signature(self.reference).parameters)

    def _form(self, got, want):
        if len(got) != len(want):
            return (
                f"{len(got)} values come back; {len(want)} are needed: {', '.join(self.outputs)}."
            )
        for name, g, w in zip(self.outputs, got, want, strict=True):
            if np.shape(g) != np.shape(w):
                return f"{name} has shape {np.shape(g)}; {np.shape(w)} is needed."
            if np.asarray(g).dtype.kind not in "fiu":
                return f"{name} holds {np.asarray(g).dtype}, not real numbers."
        return ""

    def _verdict(self, results):
        wrong = [
            name
            for k, name in enumerate(self.outputs)
            if any(not self._agree(got[k], want[k]) for _, got, want in results)
        ]
        if not wrong:
            return Report(True, "right", " ".join(filter(None, ("Right.", self.praise))))
        right = [name for name in self.outputs if name not in wrong]
        lines = [f"Not yet. Right: {', '.join(right)}." if right else "Not yet."]
        found, unknown = {}, []
        for name in wrong:
            mistake = self._recognize(self.outputs.index(name), results)
            if mistake:
                found.setdefault(mistake, []).append(name)
            else:
                unknown.append(name)
        for mistake, names in found.items():
            lines.append(f"{', '.join(names)}: {mistake.name}. {mistake.why}")
        if unknown:
            lines.append(self._smallest(unknown, results))
        outcome = "unknown mistake" if unknown else "known mistake"
        return Report(False, outcome, "\n".join(lines), tuple(m.name for m in found))

    def _recognize(self, k, results):
        """The mistake that gives the learner's output ``k`` on every input, or None."""
        for mistake in self.mistakes:
            with np.errstate(all="ignore"):
                outputs = [_tuple(mistake.wrong(*case))[k] for case, _, _ in results]
            differs = any(
                not self._agree(o, w[k]) for o, (_, _, w) in zip(outputs, results, strict=True)
            )
            if differs and all(
                self._agree(got[k], output)
                for output, (_, got, _) in zip(outputs, results, strict=True)
            ):
                return mistake
        return None

    def _agree(self, a, b):
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return False
        a, b = np.nan_to_num(a), np.nan_to_num(b)
        return relative_error(a, b) <= self.tolerance

    def _smallest(self, names, results):
        for case, got, want in results:
            for name in names:
                k = self.outputs.index(name)
                if not self._agree(got[k], want[k]):
                    shown = [
                        f"  {argument} = {_show(value)}"
                        for argument, value in zip(self._arguments(), case, strict=False)
                    ]
                    return "\n".join(
                        [
                            f"{name}: wrong, in a way that is not listed here. "
                            "The smallest input that shows it:",
                            *shown,
                            f"  yours:  {name} = {_show(got[k])}",
                            f"  wanted: {name} = {_show(want[k])}",
                        ]
                    )
        raise AssertionError("called without a wrong output")


@dataclass
class Quantity(_Prompter):
    """A number that the learner works out by hand.

    Attributes
    ----------
    question : str
    answer : float
    mistakes : tuple of Mistake
    hints : tuple of str
    working : str
        How the answer comes about; shown by :meth:`solution`.
    tolerance : float
        Relative.
    """

    question: str
    answer: float
    mistakes: tuple = ()
    hints: tuple = ()
    working: str = ""
    tolerance: float = 5e-3
    _given: int = field(default=0, repr=False)

    def solution(self):
        """The working, and the number it leads to."""
        return Text(_wrapped(self.working))

    def check(self, value):
        """Compare a number, ``value``, with the answer.

        ``None`` and ``...`` mean "not attempted".

        Returns
        -------
        Report
        """
        if value is None or value is ...:
            return Report(False, "not attempted", "Not attempted yet.")
        try:
            value = float(value)
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
        return abs(a - b) <= self.tolerance * max(abs(b), 1e-12)


def _tuple(value):
    return value if isinstance(value, tuple) else (value,)


def _show(value):
    if np.asarray(value).dtype == object:
        return f"a {type(value).__name__}"
    with np.printoptions(precision=4, suppress=True, threshold=20):
        return np.array2string(np.asarray(value), separator=", ").replace("\n", "")


def _raised(error):
    """The error and the learner's own line, the innermost frame outside of libraries."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [f for f in frames if "site-packages" not in f.filename] or frames
    where = f" in {own[-1].name}, at: {own[-1].line}" if own and own[-1].line else ""
    return f"Not yet: your function raises {type(error).__name__}{where}\n{error}"

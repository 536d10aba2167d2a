"""The checker: it runs a learner's function beside the reference and beside known mistakes."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bncourse.exercises.hints import Hinted
from bncourse.exercises.mistake import fewest
from bncourse.exercises.raised import raised
from bncourse.exercises.report import Report, Text
from bncourse.exercises.showing import difference
from bncourse.gradcheck import relative_error


@dataclass
class Exercise(Hinted):
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
        results = []
        for case in self.inputs(np.random.default_rng(seed)):
            given = copy.deepcopy(case)  # a net has arrays too, and a pass in training changes it
            try:
                with np.errstate(all="ignore"):
                    got = answer(*given)
            except NotImplementedError:
                return Report(False, "not attempted", "Not attempted yet.")
            except Exception as error:  # whatever the learner's code raises is theirs to see
                return Report(False, "raised", raised(error))
            if got is None or got is ...:
                return Report(False, "not attempted", "Not attempted yet: nothing is returned.")
            changed = self._changed(case, given)
            if changed:
                message = f"Not yet: your function changes its input {', '.join(changed)}. "
                message += "Work on new arrays: x - mean makes one, x -= mean does not."
                return Report(False, "changed its inputs", message)
            want = _tuple(self.reference(*case))
            got = self._unpacked(got, want)
            complaint = self._form(got, want)
            if complaint:
                return Report(False, "wrong form", f"Not yet: {complaint}")
            results.append((case, tuple(np.asarray(g) for g in got), want))
        return self._verdict(results)

    def _arguments(self):
        return list(inspect.signature(self.reference).parameters)

    def _changed(self, case, given):
        return [
            name
            for name, before, after in zip(self._arguments(), case, given, strict=False)
            if isinstance(before, np.ndarray) and not np.array_equal(before, after, equal_nan=True)
        ]

    def _unpacked(self, got, want):
        """A tuple. One array that holds all outputs counts as all of them, if they fit."""
        if len(want) == 1:
            return _tuple(got)
        if isinstance(got, list):
            return tuple(got)
        if isinstance(got, np.ndarray) and [np.shape(g) for g in got if got.ndim] == [
            np.shape(w) for w in want
        ]:
            return tuple(got)
        return _tuple(got)

    def _form(self, got, want):
        if len(got) != len(want):
            back = "one value comes back" if len(got) == 1 else f"{len(got)} values come back"
            count = {1: "one", 2: "two", 3: "three"}.get(len(want), len(want))
            return f"{back}; return {count}: {', '.join(self.outputs)}."
        for name, g, w in zip(self.outputs, got, want, strict=True):
            try:
                g = np.asarray(g)
            except ValueError:  # a list of rows of different lengths
                return f"{name} is not an array, and cannot be made one."
            if g.shape != np.shape(w):
                return f"{name} has shape {g.shape}; {np.shape(w)} is needed."
            if g.dtype.kind not in "fiu":
                return f"{name} holds {g.dtype}, not real numbers."
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
        found = fewest({m: self._explained(m, wrong, results) for m in self.mistakes})
        found = dict(sorted(found.items(), key=lambda item: wrong.index(item[1][0])))
        for mistake, names in found.items():
            lines.append(f"{', '.join(names)}: {mistake.name}. {mistake.why}")
        unknown = [name for name in wrong if not any(name in names for names in found.values())]
        if unknown:
            lines += self._smallest(unknown, results)
        outcome = "unknown mistake" if unknown else "known mistake"
        return Report(False, outcome, "\n".join(lines), tuple(m.name for m in found))

    def _explained(self, mistake, wrong, results):
        """Those of the ``wrong`` outputs that the mistake gives just so, on every input."""
        places = [self.outputs.index(name) for name in wrong]
        differing = set()  # a mistake that does not show on these inputs explains nothing
        for case, got, want in results:
            with np.errstate(all="ignore"):
                made = _tuple(mistake.wrong(*case))
            places = [k for k in places if self._agree(got[k], made[k])]
            if not places:
                return []
            differing |= {k for k in places if not self._agree(made[k], want[k])}
        return [self.outputs[k] for k in places if k in differing]

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
                    return [
                        f"{name}: wrong, in a way that is not listed here. "
                        "The smallest input that shows it:",
                        *difference(
                            name,
                            got[k],
                            want[k],
                            dict(zip(self._arguments(), case, strict=False)),
                        ),
                    ]
        raise AssertionError("called without a wrong output")


def _tuple(value):
    return value if isinstance(value, tuple) else (value,)

"""Right in algebra, wrong in floating point: answers on data that are hard on rounding."""

import numpy as np

from bncourse.exercises.attempt import run
from bncourse.exercises.report import Report
from bncourse.exercises.showing import difference
from bncourse.gradcheck import relative_error

TOLERANCE = 0.05  # what is fragile loses all its digits; what is not keeps some of them


def _in_float32(got, want):
    """Whether ``got`` is, or was on its way: then some of its digits are missing."""
    return got.dtype == np.float32 or (got.dtype.kind == "f" and relative_error(got, want) > 1e-9)


def report(exercise, answer, runs, rng, library):
    """A :class:`Report` if a right ``answer`` fails on the hostile inputs, else ``None``.

    How hostile they are depends on the digits that the answer works with: what is fair to
    float64 would be hopeless in float32.
    """
    single = any(_in_float32(*pair) for r in runs for pair in zip(r.got, r.want, strict=True))
    for case in exercise.hostile(rng, float(np.finfo("float32" if single else float).eps)):
        result = run(exercise, answer, case, library)
        if isinstance(result, Report):
            return result
        for name, got, want in zip(exercise.outputs, result.got, result.want, strict=True):
            if not relative_error(got, want) <= TOLERANCE:  # NaN is not
                shown = dict(zip(exercise.arguments, case, strict=True))
                lines = [
                    "Right on ordinary data, but fragile: " + exercise.fragile,
                    f"Where {name} is lost:",
                    *difference(name, got, want, shown),
                ]
                return Report(True, "fragile", "\n".join(lines))
    return None

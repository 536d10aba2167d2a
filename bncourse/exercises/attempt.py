"""One run of a learner's function: on copies, against the clock, and with a look at its form."""

import copy
from dataclasses import dataclass

import array_api_compat as compat
import numpy as np

from bncourse import arrays
from bncourse.exercises.deadline import TookTooLong, deadline
from bncourse.exercises.raised import line_of, raised
from bncourse.exercises.report import Report

COUNTS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}


class WrongForm(Exception):
    """Raised by an exercise's ``use`` where what came back is not what can be used."""


@dataclass(frozen=True)
class Run:
    """One input, what came back for it and what was wanted: tuples of NumPy arrays."""

    case: tuple
    got: tuple
    want: tuple


def run(exercise, answer, case, library):
    """Give ``answer`` the ``case``, as arrays of ``library``.

    Returns
    -------
    Run or Report
        The report, where nothing came back that could be compared.
    """
    given = tuple(_moved(value, library) for value in case)
    try:
        with deadline(exercise.seconds):
            got = exercise.call(answer, given)
    except NotImplementedError:
        return Report(False, "not attempted", "Not attempted yet.")
    except TookTooLong as error:
        return Report(False, "stopped", _stopped(error, exercise.seconds))
    except WrongForm as error:
        return Report(False, "wrong form", f"Not yet: {error}")
    except KeyboardInterrupt:  # somebody stops the check
        raise
    except BaseException as error:  # what the learner's code raises is theirs to see; exit() too
        return Report(False, "raised", raised(error))
    if got is None or got is ...:
        return Report(False, "not attempted", "Not attempted yet: nothing is returned.")
    changed = _changed(exercise.arguments, case, given)
    if changed:
        message = f"Not yet: your function changes its input {', '.join(changed)}. "
        message += "x - mean makes a new array, but x -= mean and x[0] = 0 work on the one that "
        message += "was passed. x = x.copy() makes one of your own."
        return Report(False, "changed its inputs", message)
    want = exercise.wanted(case)
    got = _unpacked(got, want)
    complaint = _form(exercise.outputs, got, want, library)
    if complaint:
        return Report(False, "wrong form", f"Not yet: {complaint}")
    return Run(case, tuple(map(_kept, got)), want)


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def _moved(value, library):
    """A copy: a net has arrays too, and a pass in training changes it."""
    if isinstance(value, np.ndarray) and library != "numpy":
        return arrays.to(value, library)
    return copy.deepcopy(value)


def _as_numpy(value):
    return arrays.to(value, "numpy") if compat.is_array_api_obj(value) else np.asarray(value)


def _kept(value):
    """A copy: the learner may write the next result into the same array."""
    kept = np.array(_as_numpy(value))
    return kept.astype(float) if kept.dtype == np.longdouble else kept  # for numpy.linalg


def _stopped(error, seconds):
    at = line_of(error)
    return (
        f"Not yet: your function was stopped after {seconds:g} seconds{at}. On these inputs "
        "milliseconds are enough: look for a loop that never ends."
    )


def _changed(names, case, given):
    return [
        name
        for name, before, after in zip(names, case, given, strict=False)
        if isinstance(before, np.ndarray)
        and not np.array_equal(before, _as_numpy(after), equal_nan=before.dtype.kind == "f")
    ]


def _unpacked(got, want):
    """A tuple. One array that holds all outputs counts as all of them, if they fit.

    And where one output is wanted, a tuple of numbers counts as an array of them.
    """
    if len(want) == 1:
        numbers = isinstance(got, tuple) and all(
            getattr(g, "ndim", 1) == 0 or np.isscalar(g) for g in got
        )
        return ([*got],) if numbers and np.shape(want[0]) == (len(got),) else as_tuple(got)
    if isinstance(got, list):
        return tuple(got)
    if isinstance(got, np.ndarray) and [np.shape(g) for g in got if got.ndim] == [
        np.shape(w) for w in want
    ]:
        return tuple(got)
    return as_tuple(got)


def _form(names, got, want, library):
    """What is wrong with number, library, shape or dtype of what came back; ``""`` if nothing."""
    if len(got) != len(want):
        back = f"{len(got)} values come back"
        if len(got) == 1:
            back = f"one value{_kind(got[0])} comes back"
        count = COUNTS.get(len(want), len(want))
        return f"{back}; return {count}: {', '.join(names)}."
    for name, g, w in zip(names, got, want, strict=True):
        try:
            home = arrays.library(g) if compat.is_array_api_obj(g) else library
            if home != library and not isinstance(g, np.generic):
                return _elsewhere(name, home, library)
            kind, g = _kind(g), _as_numpy(g)
        except Exception:  # a list of rows of different lengths, a masked array, ...
            return f"{name} is not an array, and cannot be made one."
        if kind and not g.shape and g.dtype == object:
            return f"{name} is no array, but a value{kind}."
        if g.shape != np.shape(w):
            return f"{name} has shape {g.shape}; {np.shape(w)} is needed."
        if np.asarray(w).dtype.kind == "b":
            if g.dtype.kind != "b":
                return f"{name} holds {g.dtype}; True or False is needed."
        elif g.dtype.kind not in "fiu":
            return f"{name} holds {g.dtype}, not real numbers."
        elif g.dtype == np.float16:
            return f"{name} holds float16, which has three digits. float32 will do."
    return ""


def _elsewhere(name, home, library):
    """``name`` came back as an array of the library ``home``."""
    said = f"{name} is an array of {home}, but {library} arrays came in. Return those"
    if home in ("numpy", "cupy"):
        return f"{said}, or let others come in: check(..., library={home!r})."
    return f"{said}: convert it before you return it."


def _kind(value):
    """What to call a value that is neither an array nor numbers: a generator, ``None``, ..."""
    if np.isscalar(value) or isinstance(value, list | tuple) or compat.is_array_api_obj(value):
        return ""
    return f" of type {type(value).__name__}"

"""What a reader has solved, kept in a small file of their own.

Each attempt adds one line, so two notebooks can write at once, and a line that was cut off by a
crash costs that line only.
"""

import json
import os
import warnings
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import platformdirs

VARIABLE = "BNCOURSE_PROGRESS"


@dataclass(frozen=True)
class State:
    """Where a reader stands with one exercise.

    Attributes
    ----------
    attempts : int
    solved : str
        Date of the first right answer, ``""`` while there is none.
    last : str
        Outcome of the latest attempt, see :class:`~bncourse.exercises.Report`.
    """

    attempts: int = 0
    solved: str = ""
    last: str = ""


def file():
    """Where progress is kept: the file that ``BNCOURSE_PROGRESS`` names, or one of the user's."""
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        try:
            return Path(named).expanduser()
        except RuntimeError as error:  # ~nobody
            raise OSError(f"{VARIABLE} is {named}: {error}") from None
    return Path(platformdirs.user_data_dir("bncourse", appauthor=False)) / "progress.jsonl"


def record(name, report):
    """Add one attempt at the exercise ``name``. If it cannot be written, that is said once."""
    line = {"exercise": name, "outcome": report.outcome, "passed": report.passed}
    line["date"] = date.today().isoformat()
    try:
        path = file()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as out:
            out.write(_after_what_was_cut_off(out) + json.dumps(line).encode() + b"\n")
    except OSError as error:
        warnings.warn(f"your progress is not kept: {error}", stacklevel=3)


def _after_what_was_cut_off(out):
    """A new line, if the file does not end with one."""
    if out.seek(0, os.SEEK_END):
        out.seek(-1, os.SEEK_END)
    return b"\n" if out.read(1) not in (b"", b"\n") else b""


def read():
    """State of each exercise that was attempted, by name.

    Returns
    -------
    dict of str to State
    """
    states = {}
    for line in _lines():
        name = line["exercise"]
        before = states.get(name, State())
        solved = before.solved or (line["date"] if line["passed"] else "")
        states[name] = State(before.attempts + 1, solved, line["outcome"])
    return states


def forget():
    """Remove the file, and with it all progress."""
    file().unlink(missing_ok=True)


def _lines():
    try:
        text = file().read_text("utf-8-sig", errors="replace")  # some editors put a mark first
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            found = {key: entry[key] for key in ("exercise", "outcome", "passed", "date")}
        except (ValueError, TypeError, KeyError, RecursionError):  # cut off, or not ours
            continue
        if isinstance(found["exercise"], str):
            yield found


def table(exercises):
    """All exercises and how far the reader is, as text: a block a chapter.

    Parameters
    ----------
    exercises : iterable
        With ``name`` and ``chapter``, in the order of the course.
    """
    states, chapters = read(), {}
    for exercise in exercises:
        chapters.setdefault(exercise.chapter, []).append(exercise.name)
    names = [name for group in chapters.values() for name in group]
    width = max(map(len, names)) + 2
    lines = []
    for chapter, group in chapters.items():
        solved = sum(bool(states.get(name, State()).solved) for name in group)
        lines += ["", f"{chapter}  {solved} of {len(group)}"]
        lines += [f"  {name:{width}}{_words(states.get(name, State()))}" for name in group]
    solved = sum(bool(states.get(name, State()).solved) for name in names)
    bar = "#" * round(30 * solved / len(names))
    return "\n".join([f"[{bar:<30}] {solved} of {len(names)} solved", *lines])


def _words(state):
    if not state.attempts:
        return "-"
    tries = "1 attempt" if state.attempts == 1 else f"{state.attempts} attempts"
    if state.solved:
        return f"solved {state.solved}, {tries}"
    return f"{tries}, last: {state.last}"

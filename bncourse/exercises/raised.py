"""An exception of the learner's function, shown with the learner's own line."""

import sysconfig
import traceback
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
INSTALLED = {"site-packages", "dist-packages"}
LONGEST = 1000  # characters of an error's message that are shown


def raised(error):
    """The error in words, and the last line of the learner's own code on the way to it."""
    name = type(error).__name__
    return f"Not yet: your function raises {name}{line_of(error)}\n{_message(error)}"


def _message(error):
    try:
        text = str(error)
    except Exception:  # a class of the learner's own
        return ""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def line_of(error):
    """Where in the learner's own code it happened, as `` in f, at: y = x / 0``; or ``""``."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_the_learners(frame.filename)]
    own = own or [frame for frame in frames if Path(frame.filename).parent != PACKAGE / "exercises"]
    return f" in {own[-1].name}, at: {own[-1].line}" if own and own[-1].line else ""


def _is_the_learners(filename):
    if filename.startswith("<frozen"):
        return False
    path = Path(filename)
    if not path.is_absolute():  # <stdin>, <string>, a cell
        return True
    if INSTALLED & set(path.parts):
        return False
    return not any(path.resolve().is_relative_to(folder) for folder in (PACKAGE, LIBRARY))

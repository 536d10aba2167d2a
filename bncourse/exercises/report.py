"""What ``check``, ``hint`` and ``solution`` give back: words that a notebook shows as they are."""

import textwrap
from dataclasses import dataclass


def wrapped(text):
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
        return wrapped(self.message)

"""What ``check``, ``hint`` and ``solution`` give back: words, for a terminal and for a notebook."""

import textwrap
from dataclasses import dataclass
from html import escape
from itertools import groupby

# The bar at the left says at a glance what the words say too; both ends of it can be told apart
# in grey and by the color-blind, on a white page and on a black one.
BARS = {"right": "#2A9D68", "fragile": "#C98A00", "not attempted": "#8A8A8A"}
NOT_YET = "#D0603A"


def wrapped(text):
    """Lines no longer than the column of a page, so that nobody has to scroll sideways."""
    return "\n".join(
        line if line.startswith(" ") else textwrap.fill(line, 80, break_on_hyphens=False)
        for line in text.splitlines()
    )


class Text(str):
    """A string that a notebook shows as it is, without quotes."""

    def __repr__(self):
        return str(self)


@dataclass(frozen=True)
class Report:
    """The answer of ``check``. A terminal shows it as text, a notebook as a marked paragraph.

    Attributes
    ----------
    passed : bool
    outcome : str
        ``"right"``; ``"fragile"`` (right, but not on data that are hard on rounding: passed too);
        ``"not attempted"``, ``"raised"``, ``"stopped"`` (it did not return in time),
        ``"changed its inputs"``, ``"wrong form"`` (number of values, shape, dtype or array
        library), ``"known mistake"`` or ``"unknown mistake"``.
    message : str
        All of it in words.
    mistakes : tuple of str
        Names of the known mistakes that were recognized.
    solution : str
        After a right answer of the learner's own: source of a solution to compare it with.
    """

    passed: bool
    outcome: str
    message: str
    mistakes: tuple = ()
    solution: str = ""

    def __repr__(self):
        text = wrapped(self.message)
        if self.solution:
            text += "\nA solution to compare with:\n" + textwrap.indent(self.solution, "    ")
        return text.rstrip()

    def _repr_html_(self):
        color = BARS.get(self.outcome, NOT_YET)
        style = f"border-left: 4px solid {color}; padding-left: 0.8em"
        parts = [f'<div class="bncourse-report" style="{style}">']
        for shown_as_it_is, lines in groupby(
            self.message.splitlines(), lambda line: line.startswith(" ")
        ):
            if shown_as_it_is:
                block = escape(textwrap.dedent("\n".join(lines)))
                parts.append(f'<pre style="white-space: pre-wrap">{block}</pre>')
            else:
                parts += [f"<p>{_paragraph(line)}</p>" for line in lines]
        if self.solution:
            parts.append(
                "<details><summary>A solution to compare with</summary>"
                f'<pre tabindex="0">{escape(self.solution.rstrip())}</pre></details>'
            )
        return "\n".join([*parts, "</div>"])


def _paragraph(line):
    """The verdict that opens a report in bold; everything else as it is."""
    for verdict in ("Not attempted yet", "Not yet", "Right"):
        if line.startswith(verdict):
            return f"<strong>{verdict}</strong>{escape(line[len(verdict) :], quote=False)}"
    return escape(line, quote=False)

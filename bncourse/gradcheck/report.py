"""What a check found, in numbers and in words."""

import textwrap
from dataclasses import dataclass, field
from math import ceil, isfinite, log10

import numpy as np

METHODS = {"central": "centered differences", "complex": "complex steps"}


@dataclass(frozen=True)
class GradientReport:
    """The answer of :func:`gradcheck`; printed, it is a few lines to read.

    Attributes
    ----------
    verdict : {"right", "wrong", "cannot tell"}
    reason : str
        Why, in words.
    index : tuple of int or None
        The entry that decides: where ``dx`` is farthest off.
    claimed, numerical : float
        Both values there.
    scale : float
        What their difference is measured against; see :func:`gradcheck`.
    relative_error : float
        Their difference over ``scale``.
    noise : float
        Estimated error of ``numerical`` itself.
    step : float
        The step it was measured with.
    tol : float
        The relative error that is allowed.
    method : {"central", "complex"}
    checked, entries : int
        How many entries were looked at, and how many there are.
    kinks : int
        How many of those looked at were left out, because f has a kink there.
    zero : bool
        Whether the true gradient is zero, as far as can be measured.
    warnings : tuple of str
        What makes the check weaker than it looks.
    gradient : numpy.ndarray or None
        The numerical gradient; NaN where it was not measured.
    """

    verdict: str
    reason: str
    index: tuple | None = None
    claimed: float = float("nan")
    numerical: float = float("nan")
    scale: float = float("nan")
    relative_error: float = float("nan")
    noise: float = float("nan")
    step: float = float("nan")
    tol: float = float("nan")
    method: str = "central"
    checked: int = 0
    entries: int = 0
    kinks: int = 0
    zero: bool = False
    warnings: tuple = ()
    gradient: np.ndarray | None = field(default=None, compare=False)

    @property
    def passed(self):
        """Whether the verdict is "right"."""
        return self.verdict == "right"

    def __repr__(self):
        lines = [(self.verdict, self.reason)]
        if self.index is not None and not self.passed:
            noise = f", give or take {power(self.noise)}" if isfinite(self.noise) else ""
            both = f"{self.claimed:.6g} claimed, {self.numerical:.6g} measured{noise}"
            lines.append(("worst entry", f"{place(self.index)}: {both}"))
        if isfinite(self.relative_error):
            error = power(self.relative_error)
            below = "below " if error.startswith("1e-") else ""
            lines.append(("relative error", f"{below}{error}, allowed {self.tol:.2g}"))
        if isfinite(self.step):
            good = f", good to {power(self.noise / self.scale)}" if self.passed else ""
            lines.append(("measured by", f"{METHODS[self.method]}, step {self.step:.1e}{good}"))
        if self.checked:
            left = f", {self.kinks} left out at a kink" if self.kinks else ""
            random = " at random" if self.checked < self.entries else ""
            lines.append(("looked at", f"{self.checked} of {self.entries} entries{random}{left}"))
        lines += [("beware", warning) for warning in self.warnings]
        return "\n".join(_line(name, text) for name, text in lines)


def _line(name, text):
    indent = " " * 16
    return textwrap.fill(f"{name:16}{text}", 80, subsequent_indent=indent)


def power(value):
    """A small number as the next power of ten, which is the same on every machine; others as is."""
    if value == 0 or value >= 1e-3 or not isfinite(value):
        return f"{value:.2g}"
    return f"1e{ceil(log10(value))}"


def place(index):
    """An index as one writes it: ``[3]``, ``[3, 1]``; of a number, ``x`` itself."""
    return f"[{', '.join(str(int(i)) for i in index)}]" if index else "the number"

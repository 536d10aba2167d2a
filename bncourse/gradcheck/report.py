"""What a check found, in numbers and in words."""

import textwrap
from dataclasses import dataclass, field
from math import isfinite

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
        The step of the measurement; it differs from entry to entry, and this is the median.
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
            error = below(self.relative_error)
            lines.append(("relative error", f"{error}, allowed {short(self.tol)}"))
        if isfinite(self.step):
            lines.append(("measured by", f"{METHODS[self.method]}, step {short(self.step)}"))
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
    """A small number as a bound, every third power of ten: it reads the same on every machine."""
    if not value < 1e-3:
        return short(value)
    return next(f"1e{k}" for k in (-15, -12, -9, -6, -3) if value <= 10.0**k)


def below(value):
    """As :func:`power`, in words: ``below 1e-9``, or the number."""
    return f"below {power(value)}" if value < 1e-3 else power(value)


def short(value):
    """Two digits, and no more of an exponent than needed."""
    return f"{value:.2g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def place(index):
    """An index as one writes it: ``[3]``, ``[3, 1]``; a number has but one."""
    return f"[{', '.join(str(int(i)) for i in index)}]" if index else "the only entry"

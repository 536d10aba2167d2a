"""What a wrong gradient looks like beside the right one, as far as that is cheap to see."""

import numpy as np

from bncourse.gradcheck.report import place

CLOSE = 1e-3  # of the largest entry: a likeness need not be as exact as a proof


def resemblance(claimed, right, wrong, shape):
    """A sentence on how ``claimed`` differs from ``right``, or ``""``.

    Parameters
    ----------
    claimed, right : numpy.ndarray
        Of one shape, NaN where nothing was measured.
    wrong : list of tuple
        The entries where the two differ for certain.
    shape : tuple of int
        Lengths that may turn up as a factor: those of input and output.
    """
    seen = np.isfinite(right)
    a, b = claimed[seen], right[seen]
    if not np.any(a):
        return "dx is zero."
    if _alike(a, -b):
        return "dx is minus the right gradient."
    if a.size > 1 and np.any(b):
        factor = float(a @ b / (b @ b))
        if abs(factor - 1) > CLOSE and factor and _alike(a, factor * b):
            return f"dx is {_number(factor)} times the right gradient{_length(factor, shape)}"
    if claimed.ndim == 2 and claimed.shape[0] == claimed.shape[1] and np.all(seen):
        if _alike(claimed, right.T):
            return "dx is the right gradient, transposed."
    if len(wrong) <= max(1, b.size // 10) and b.size > 1:
        named = ", ".join(place(j) for j in wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        return f"dx is right but for {_entries(len(wrong))}: {named}."
    return ""


def _alike(a, b):
    return bool(np.max(np.abs(a - b)) <= CLOSE * np.max(np.abs(a)))


def _entries(n):
    return f"{n} entr{'y' if n == 1 else 'ies'}"


def _number(factor):
    nearest = round(factor)
    return str(nearest) if nearest and abs(factor - nearest) < CLOSE else f"{factor:.4g}"


def _length(factor, shape):
    """Whether the factor is one of the lengths; ends the sentence."""
    for n in dict.fromkeys(n for n in shape if n > 1):
        for value in (n, 1 / n):
            if abs(abs(factor) - value) <= CLOSE * value:
                return (
                    f", and {n} is one of the lengths here: a sum for a mean, or a mean for a sum?"
                )
    return "."

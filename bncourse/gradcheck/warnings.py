"""What makes a check weaker than it looks."""

import numpy as np

from bncourse.gradcheck.noise import PRECISIONS, scales

FAINT = 1e-3  # what is left of a sum when less than this is left counts as nothing


def warnings(function, found, eps, zero):
    """Sentences about the check, whatever its verdict."""
    said = []
    if function.rude:
        said.append("f changes its argument; it was handed copies.")
    if eps > PRECISIONS[0]:
        bits = 32 if eps == PRECISIONS[1] else 16
        said.append(f"f computes in float{bits}; float64 would tell more.")
    dy = function.dy
    if dy.size > 1 and np.all(dy == dy.flat[0]):
        said.append(
            "dy is the same everywhere: a sum of outputs is constant for a batch norm, and sees "
            "little elsewhere. Draw it at random."
        )
    if zero or _faint(function, found):
        said.append(
            "with this loss the right gradient is next to nothing, so a dx of zeros would hardly "
            "stand out."
        )
    return tuple(said)


def _faint(function, found):
    """Whether contributions cancel; or, for a number, whether it hardly moves with ``x``."""
    slope = np.abs(found.value)
    if function.dy.size > 1:
        return bool(np.max(slope) < FAINT * np.max(found.size))
    return bool(np.sum(slope) * np.mean(scales(function.x)) < FAINT * function.loss())

"""What makes a check weaker than it looks."""

import numpy as np

from bncourse.gradcheck.noise import FLOAT32, FLOAT64, scales

FAINT = 1e-3  # what is left of a sum when less than this is left counts as nothing


def warnings(function, found, eps, zero):
    """Sentences about the check, whatever its verdict."""
    said = []
    if function.rude:
        said.append("f changes its argument; it was handed copies.")
    if eps > FLOAT64:
        bits = 32 if eps == FLOAT32 else 16
        said.append(f"f computes no finer than float{bits}; float64 would tell more.")
    dy = function.dy
    if dy.size > 1 and np.all(dy == dy.flat[0]):
        said.append(
            "dy is the same everywhere: a sum of outputs is constant for a batch norm, and sees "
            "little elsewhere. Draw it at random."
        )
    slope = np.abs(found.value[~found.kink])
    if zero:
        said.append("With this loss a backward that returns zeros passes, whatever it is for.")
    elif np.max(slope, initial=0.0) < FAINT * np.max(found.size):
        said.append(
            "With this loss what adds up to the right gradient cancels, and a dx of zeros would "
            "hardly stand out."
        )
    elif dy.size == 1 and np.sum(slope) * np.median(scales(function.x)) < FAINT * function.loss():
        said.append(
            "f hardly changes with x, as the sum of squares of a batch norm. Weigh the outputs at "
            "random."
        )
    return tuple(said)

"""What is written instead of ``sqrt(var + eps)``, in every exercise that divides by it."""

import numpy as np

from bncourse.exercises.mistake import Mistake

WRONG = (
    (
        "eps is added outside the root",
        lambda var, eps: np.sqrt(var) + eps,
        "It belongs to the variance: sqrt(var + eps), not sqrt(var) + eps. The difference "
        "shows where the variance is of the order of eps.",
    ),
    (
        "eps is taken for a lower bound",
        lambda var, eps: np.sqrt(np.maximum(var, eps)),
        "It is added to every variance, large or small: sqrt(var + eps), not sqrt(max(var, eps)).",
    ),
    (
        "eps is squared",
        lambda var, eps: np.sqrt(var + eps**2),
        "eps is a variance already, with the squared units of x: sqrt(var + eps).",
    ),
)


def right_root(var, eps):
    return np.sqrt(var + eps)


def wrong_roots(answer):
    """One mistake for each wrong root; ``answer(root)`` is the exercise's function with it."""
    return tuple(Mistake(name, answer(root), why) for name, root, why in WRONG)

"""Exercises of the course, each with a ``check`` that names the mistake.

>>> from bncourse.exercises import backward
>>> backward.check(my_function)      # what is right, what is not, and which mistake it is
>>> backward.hint()                  # one step further each time
>>> backward.solution()              # a solution to read

One file a chapter. What an exercise knows of wrong answers are functions that give them.
"""

from bncourse.exercises.exercise import Exercise
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity
from bncourse.exercises.report import Report
from bncourse.exercises.transform_backward import (
    backward,
    backward_by_hand,
    backward_inference,
    centering,
    pair,
)
from bncourse.exercises.transform_forward import (
    forward,
    forward_by_hand,
    forward_images,
    identity,
    room,
)
from bncourse.exercises.two_nets import (
    logit_gradient,
    neutral_spread,
    probabilities,
    untrained_loss,
)

__all__ = [
    "Exercise",
    "Mistake",
    "Quantity",
    "Report",
    "backward",
    "backward_by_hand",
    "backward_inference",
    "centering",
    "forward",
    "forward_by_hand",
    "forward_images",
    "identity",
    "logit_gradient",
    "neutral_spread",
    "pair",
    "probabilities",
    "room",
    "untrained_loss",
]

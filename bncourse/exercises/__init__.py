"""Exercises of the course, each with a ``check`` that names the mistake.

>>> from bncourse.exercises import backward
>>> backward.check(my_function)      # what is right, what is not, and which mistake it is
>>> backward.hint()                  # one step further each time
>>> backward.solution()              # a solution to read

``EXERCISES`` holds all of them in the order of the course. One file a chapter; what an exercise
knows of wrong answers are functions that give them. What was solved is kept in a file of the
reader's own, see :mod:`bncourse.exercises.progress`.
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

EXERCISES = (
    # why/two-nets
    untrained_loss,
    neutral_spread,
    logit_gradient,
    probabilities,
    # transform/forward
    forward_by_hand,
    forward,
    identity,
    room,
    forward_images,
    # transform/backward
    backward_by_hand,
    centering,
    backward,
    pair,
    backward_inference,
)

__all__ = [
    "EXERCISES",
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

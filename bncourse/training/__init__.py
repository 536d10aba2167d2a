"""Training: batches, steps, what is noted on the way, and files to go on from."""

from bncourse.training.checkpoints import Checkpoint, Snapshot, load
from bncourse.training.history import History
from bncourse.training.loop import accuracy, batches, fit, train_step
from bncourse.training.order import Batches

__all__ = [
    "Batches",
    "Checkpoint",
    "History",
    "Snapshot",
    "accuracy",
    "batches",
    "fit",
    "load",
    "train_step",
]

"""Training: batches, steps, what is noted on the way, and files to go on from."""

from bncourse.training.checkpoints import Checkpoint, Snapshot, load
from bncourse.training.history import History
from bncourse.training.loop import accuracy, batches, fit
from bncourse.training.order import Batches
from bncourse.training.step import CROSS_ENTROPY, Step, train_step

__all__ = [
    "CROSS_ENTROPY",
    "Batches",
    "Checkpoint",
    "History",
    "Snapshot",
    "Step",
    "accuracy",
    "batches",
    "fit",
    "load",
    "train_step",
]

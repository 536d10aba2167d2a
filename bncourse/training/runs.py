"""A training run that is saved as it goes, and goes on where it was saved."""

import json
import os

from bncourse.training.checkpoints import Checkpoint, Snapshot
from bncourse.training.history import check_record


class Run:
    """The parts that decide how a run goes on, and the folder that they are saved in.

    Parameters
    ----------
    checkpoint : str, path, Checkpoint or None
        Without it, nothing is saved, and every method does nothing.
    settings : dict
        What tells this run from others, as JSON holds it.
    net, optimizer, order, history
        Parts with ``state_dict()`` and ``load_state_dict()``.

    Raises
    ------
    TypeError
        If ``checkpoint`` is something else.
    """

    def __init__(self, checkpoint, settings, net, optimizer, order, history):
        if isinstance(checkpoint, (str, os.PathLike)):
            checkpoint = Checkpoint(checkpoint)
        if not isinstance(checkpoint, (Checkpoint, type(None))):
            raise TypeError(
                f"checkpoint must be a folder or a Checkpoint, not {type(checkpoint).__name__}"
            )
        self.checkpoint = checkpoint
        self.settings = json.loads(json.dumps(settings))
        self.net, self.history = net, history
        self.parts = {"net": net, "optimizer": optimizer, "order": order, "history": history}
        self._saved = None  # the step of the newest file

    def start(self, steps, x):
        """Put all parts where the newest checkpoint has them, if there is one.

        Parameters
        ----------
        steps : int
            How far the run is to go.
        x : array
            Some examples, for layers that take their size from the first input.

        Raises
        ------
        ValueError
            If the checkpoint is damaged, or of another run, or further than ``steps``; then no
            part has changed.
        """
        snapshot = None if self.checkpoint is None else self.checkpoint.latest()
        if snapshot is None:
            return
        self._check(snapshot, steps)
        if snapshot.parts["net"].keys() - self.net.state_dict().keys():
            self.net.eval().forward(x)
            self.net.train()
        for name, part in self.parts.items():
            part.load_state_dict(snapshot.parts[name])
        self._saved = snapshot.step

    def save(self):
        """Write a checkpoint of the step that was done last."""
        if self.checkpoint is None:
            return
        step = self.history.done
        states = {name: part.state_dict() for name, part in self.parts.items()}
        self.checkpoint.save(Snapshot(step, states, self.settings))
        self._saved = step

    def save_if_due(self, steps):
        """Write a checkpoint at the start, at the end (``steps``), and at each interval."""
        if self.checkpoint is None or self._saved == self.history.done:
            return
        step = self.history.done
        if step % self.checkpoint.every == 0 or step == steps:
            self.save()

    def check_record(self, record):
        """Raise ``TypeError`` if ``record`` could not be saved."""
        if self.checkpoint is not None:
            check_record(record)

    def _check(self, snapshot, steps):
        where = f"the checkpoint in {self.checkpoint.directory}"
        then, now = snapshot.run, self.settings
        differences = [
            f"{name} was {then.get(name)!r} and is {now.get(name)!r}"
            for name in sorted(then.keys() | now.keys())
            if then.get(name) != now.get(name)
        ]
        if differences:
            raise ValueError(
                f"{where} belongs to another run: {'; '.join(differences)}. Take another folder, "
                "or the settings of that run to go on with it"
            )
        if snapshot.step > steps:
            raise ValueError(f"steps is {steps}, but {where} has done {snapshot.step} already")

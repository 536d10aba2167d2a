"""What a training run leaves behind: the loss of each step, and what was recorded on the way."""

import json
from array import array

import numpy as np


class History(list):
    """What ``record`` returned, in order, with the steps it was called at and all losses.

    A list, so ``for accuracy in history`` and ``history[-1]`` are what they seem; and two curves:
    ``plot(history.steps, history)`` for the records, ``plot(history.losses)`` for the losses.

    Attributes
    ----------
    steps : list of int
        How many steps were done at each record; as long as the list itself.
    """

    def __init__(self):
        super().__init__()
        self.steps = []
        self._losses = array("d")

    @property
    def losses(self):
        """Loss of each batch before its step, as a float64 array of shape (steps done,)."""
        return np.array(self._losses)

    @property
    def done(self):
        """How many steps were done: one for each loss."""
        return len(self._losses)

    def add_loss(self, loss):
        """Append the ``loss`` of one more step, a float."""
        self._losses.append(loss)

    def add(self, step, record):
        """Append a ``record``, anything at all, that was made after ``step`` steps."""
        self.steps.append(step)
        self.append(record)

    def state_dict(self):
        """All of it, as NumPy arrays by name, for a checkpoint.

        Raises
        ------
        TypeError
            If a record is not made of numbers, text, ``None``, NumPy arrays and lists, tuples
            and dicts of them: then it would not come back as it was.
        """
        state = {"losses": self.losses, "steps": np.array(self.steps, np.int64)}
        text = json.dumps([_plain(record, state) for record in self])
        return state | {"records": np.frombuffer(text.encode(), np.uint8)}

    def load_state_dict(self, state):
        """Become what was when :meth:`state_dict` gave ``state``."""
        text = np.asarray(state["records"], np.uint8).tobytes()
        self[:] = [_restored(record, state) for record in json.loads(text)]
        self.steps = state["steps"].tolist()
        self._losses = array("d", state["losses"].tolist())


def check_record(record):
    """Raise ``TypeError`` if a ``record`` cannot be saved; see :meth:`History.state_dict`."""
    _plain(record, {})


def _plain(value, state):
    """``value`` as JSON has it; what JSON cannot hold is put into ``state`` and named."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value  # JSON in Python keeps each digit of a float, and NaN and infinity too
    if kind is list:
        return [_plain(v, state) for v in value]
    if kind is tuple:
        return {"tuple": [_plain(v, state) for v in value]}
    if kind is dict and all(type(key) is str for key in value):
        return {"dict": {key: _plain(v, state) for key, v in value.items()}}
    if (kind is np.ndarray or isinstance(value, np.generic)) and _storable(value.dtype):
        name = f"array.{len(state)}"
        state[name] = np.array(value)
        return {"array" if kind is np.ndarray else "scalar": name}
    raise TypeError(
        "what record returns is saved in the checkpoint, so it must be made of numbers, text, "
        f"None, NumPy arrays, and lists, tuples and dicts of them, not of {kind.__name__}"
    )


def _storable(dtype):
    return dtype.kind in "biuf" and dtype.itemsize <= 8 and dtype.isnative


def _restored(value, state):
    if isinstance(value, list):
        return [_restored(v, state) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tuple":
        return tuple(_restored(v, state) for v in content)
    if kind == "dict":
        return {key: _restored(v, state) for key, v in content.items()}
    return np.array(state[content]) if kind == "array" else state[content][()]

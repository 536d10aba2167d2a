"""Mini-batches: a new order of the examples for each epoch, and where in it a run stands."""

import json

import numpy as np

from bncourse import checks


class Batches:
    """Endless batches of indices into ``n`` examples, shuffled anew for each epoch.

    An iterator of integer arrays of shape (size,). A last, smaller batch of an epoch is left out.

    Parameters
    ----------
    n, size : int
        Examples in all, and in each batch.
    rng : numpy.random.Generator or int
        Source of the order, or a seed.

    Raises
    ------
    TypeError, ValueError
        If ``n`` or ``size`` is not a whole number, or ``size`` does not lie in 1 to n.
    """

    def __init__(self, n, size, rng):
        self.n, self.size = checks.integer("n", n, 1), checks.integer("size", size, 1)
        if size > n:
            raise ValueError(
                f"size of a batch must lie in 1 to {n}, the number of examples: {size}"
            )
        self.rng = np.random.default_rng(rng)
        self._order = self._shuffled_from = None
        self._position = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self._order is None or self._position + self.size > self.n:
            self._shuffle()
        start, self._position = self._position, self._position + self.size
        return self._order[start : self._position]

    def _shuffle(self):
        self._shuffled_from = self.rng.bit_generator.state
        self._order, self._position = self.rng.permutation(self.n), 0

    def state_dict(self):
        """Position in the epoch, and the generator as it is and as it was before the epoch.

        With the latter the order is drawn again, which takes less room than to write it down.
        """
        state = {
            "position": np.asarray(self._position),
            "rng_state": _as_bytes(self.rng.bit_generator.state),
        }
        if self._order is not None:
            state["shuffled_from"] = _as_bytes(self._shuffled_from)
        return state

    def load_state_dict(self, state):
        """Become what was when :meth:`state_dict` gave ``state``.

        Raises
        ------
        ValueError
            If it was another kind of generator; then nothing has changed.
        """
        generator = self.rng.bit_generator
        now = _from_bytes(state["rng_state"])
        kind = type(generator).__name__
        if now["bit_generator"] != kind:
            raise ValueError(f"the state is of a {now['bit_generator']}, but rng is a {kind}")
        self._order, self._position = None, 0
        if "shuffled_from" in state:
            generator.state = _from_bytes(state["shuffled_from"])
            self._shuffle()
            self._position = int(state["position"])
        generator.state = now  # whoever shares the generator may have drawn from it since


def _as_bytes(generator_state):
    text = json.dumps(generator_state, default=np.ndarray.tolist)
    return np.frombuffer(text.encode(), np.uint8)


def _from_bytes(a):
    return json.loads(np.asarray(a, np.uint8).tobytes())

"""Dropout as a layer: a probability, and a source of chance that runs along."""

import json

import numpy as np

from bncourse import arrays, checks
from bncourse import functional as F
from bncourse.nn.module import Module


class Dropout(Module):
    """Zero with probability ``p`` in training, nothing at all in evaluation.

    Parameters
    ----------
    p : float in [0, 1]
        Probability of a zero; what is left is scaled up by ``1 / (1 - p)``.
    rng : numpy.random.Generator or int
        Source of the masks, or a seed. Layers with one seed draw the same masks: give them
        different seeds, or one generator.

    Attributes
    ----------
    p : float
    rng : numpy.random.Generator
        It moves on with each forward pass in training. Its state is part of ``state_dict()``, so
        that a run that is resumed draws the masks that it would have drawn.
    """

    extra_names = ("rng_state",)

    def __init__(self, p=0.5, rng=0):
        super().__init__()
        self.p = checks.number("p", p, 0, 1)
        self.rng = np.random.default_rng(rng)

    def forward(self, x):
        """``x`` with some elements dropped, and the cache; in evaluation, ``x`` itself."""
        if not self.training:
            arrays.check_real("x", x)
            return x, x
        return F.dropout_forward(x, self.p, self.rng)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``: that of the pass which the cache comes from."""
        if isinstance(cache, F.DropoutCache):
            return F.dropout_backward(dy, cache)
        arrays.check_real("cache", cache)
        arrays.check_upstream(dy, cache.shape, cache)
        return dy

    def extra_state(self):
        """State of the generator: JSON, as an array of its bytes."""
        state = json.dumps(self.rng.bit_generator.state, default=np.ndarray.tolist)
        return {"rng_state": np.frombuffer(state.encode(), np.uint8)}

    def load_extra_state(self, state):
        """Take back what :meth:`extra_state` gave; without it, the generator stays as it is."""
        if "rng_state" in state:
            text = np.asarray(state["rng_state"], np.uint8).tobytes()
            self.rng.bit_generator.state = json.loads(text)

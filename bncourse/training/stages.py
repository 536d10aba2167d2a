"""Layers as a training step of one size meets them: with memory of their own, and compiled.

A stage does what its layer does, ``y = stage.forward(x)`` and then ``dx = stage.backward(dy)``,
and adds gradients of parameters to ``layer.grads``, in arrays that the next step writes over.
Where an input is not like the first one, or the layer is not as it was, ``forward`` gives
``None``: then the step makes another, of the :func:`kind` that fits now.

What is the same at each step is worked out once. A step of a small network runs through this file
some ten thousand times a second, mostly with cold caches, and a line of Python costs more than a
loop over a batch.
"""

from copy import copy

import numpy as np

from bncourse import nn
from bncourse.functional.threads import few, one_thread
from bncourse.kernels import compiled
from bncourse.training.activation_stages import ReLUStage, SigmoidStage, TanhStage
from bncourse.training.norm_stage import NormStage
from bncourse.training.stage import Stage, alike, beside, loops

_FEW = 2**14  # logits: the exponentials of more are faster in NumPy, many at a time


class Whole:
    """Any layer, by its own methods.

    One that is not of this package, or has such layers inside, is given copies of arrays that
    the next step will write over: it may keep them.
    """

    def __init__(self, layer, x):
        self.layer, self.cache = layer, None
        self.may_keep = not all(own(module) for _, module in layer.modules())

    def forward(self, x):
        """The output for ``x``; ``None`` if there is a better stage for it."""
        if kind(self.layer, x) is not Whole:
            return None
        y, self.cache = self.layer.forward(copy(x) if self.may_keep else x)
        return y

    def backward(self, dy, wanted=True):
        """The gradient with respect to the input, if it is ``wanted``."""
        cache, self.cache = self.cache, None
        if self.may_keep:
            dy = copy(dy)
        if wanted:
            return self.layer.backward(dy, cache)
        self.layer.accumulate(dy, cache)
        return None


class DenseStage(Stage):
    """:class:`bncourse.nn.Dense`."""

    def __init__(self, layer, x):
        super().__init__(layer, x, np.empty((len(x), layer.w.shape[1]), x.dtype))
        self.w, self.b = layer.w, layer.b
        self.dw = np.empty_like(layer.w)
        self.learned, self.dot = {"w": self.dw}, np.dot
        if layer.b is not None:
            self.db = self.learned["b"] = np.empty_like(layer.b)
            self.add_row, self.sum_rows = loops().add_row, loops().sum_rows

    @staticmethod
    def fits(layer, x):
        """Whether all is of one dtype, and the shapes fit."""
        w, b = layer.w, layer.b
        if not (beside(w, x) and x.ndim == w.ndim == 2 and x.shape[1] == w.shape[0]):
            return False
        return b is None or (beside(b, x) and b.shape == w.shape[1:])

    def by_one_thread(self):
        """Leave the other cores alone, if the products are small."""
        if few(len(self.x) * self.w.size):
            self.dot = _dot

    def forward(self, x):
        layer, y = self.layer, self.y
        if x is not self.x:
            if self.is_another(x):
                return None
            self.x = x
        if layer.w is not self.w or layer.b is not self.b:
            return None
        self.dot(x, self.w, y)
        if self.b is not None:
            self.add_row(y, self.b)
        return y

    def backward(self, dy, wanted=True):
        if dy is not self.dy:
            dy = self.upstream(dy)
        self.dot(self.x.T, dy, self.dw)
        if self.b is not None:
            self.sum_rows(dy, self.db)
        self.leave(self.learned)
        return self.dot(dy, self.w.T, self.dx) if wanted else None


class CrossEntropyStage:
    """:data:`bncourse.training.CROSS_ENTROPY` of few logits.

    Parameters
    ----------
    logits : array, shape (m, K)
        Like those that are to come.
    """

    def __init__(self, logits):
        self.gradient = np.empty_like(logits)
        self.loop = loops().cross_entropy

    @staticmethod
    def fits(logits):
        """Whether the loop takes these ``logits``, and is worth it."""
        usual = type(logits) is np.ndarray and compiled.takes(logits)
        return usual and logits.ndim == 2 and 0 < logits.size <= _FEW

    def is_another(self, logits):
        """Whether ``logits`` are unlike the first ones."""
        return not alike(logits, self.gradient)

    def loss(self, logits, labels):
        """The loss; fills ``gradient``. ``None`` if the ``labels`` are not right."""
        if type(labels) is not np.ndarray or labels.dtype.kind not in "iu":
            return None
        if labels.shape != logits.shape[:1]:
            return None
        if labels.dtype != np.int64:
            labels = labels.astype(np.int64)
        value = self.loop(logits, labels, self.gradient)
        return None if value < 0 else value


KINDS = {
    nn.Dense: DenseStage,
    nn.BatchNorm: NormStage,
    nn.Sigmoid: SigmoidStage,
    nn.Tanh: TanhStage,
    nn.ReLU: ReLUStage,
}


_OURS = frozenset(found for found in vars(nn).values() if isinstance(found, type))
_METHODS = frozenset(dir(nn.Module))


def kind(layer, x):
    """The class of stage for a ``layer`` that is given ``x``."""
    found = KINDS.get(type(layer))
    if found is None or type(x) is not np.ndarray:
        return Whole
    suits = compiled.supports(x, x.shape) and own(layer) and found.fits(layer, x)
    return found if suits else Whole


def _dot(a, b, out):
    with one_thread():
        return np.dot(a, b, out)


def own(layer):
    """Whether a ``layer`` is one of this package, into which nobody has put other methods."""
    return type(layer) in _OURS and vars(layer).keys().isdisjoint(_METHODS)

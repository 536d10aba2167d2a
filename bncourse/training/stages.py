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
from functools import cache
from operator import attrgetter

import numpy as np

from bncourse import arrays, nn
from bncourse.functional.normalization import NormCache
from bncourse.functional.threads import few, one_thread
from bncourse.kernels import compiled, limits, threads
from bncourse.moments import Moments

_LARGEST = {char: float(np.log(np.finfo(char).max)) for char in "fd"}  # of which exp is finite
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


class Stage:
    """What stages of compiled loops share: input, output and their gradients, of one shape.

    Parameters
    ----------
    layer : bncourse.nn.Module
    x : array
        An input like those that are to come.
    y : array
        Where to put the output.
    """

    def __init__(self, layer, x, y):
        self.layer, self.x, self.y = layer, x, y
        self.dx = np.empty_like(x)
        self.dy = y  # until one has come

    def is_another(self, x):
        """Whether ``x``, which is not the last one, is unlike it as well."""
        return not _alike(x, self.dx)

    def upstream(self, dy):
        """``dy`` as the loops take it; an error if it is not of the shape of ``y``."""
        if not _alike(dy, self.y):
            arrays.check_upstream(dy, self.y.shape, self.y)
            dy = np.ascontiguousarray(dy, self.y.dtype)
        self.dy = dy
        return dy

    def leave(self, gradients):
        """Add ``gradients``, a dict, to those of the layer: mostly there are none."""
        if self.layer.grads:
            self.layer.add_gradients(**gradients)
        else:
            self.layer.grads = gradients.copy()


class DenseStage(Stage):
    """:class:`bncourse.nn.Dense`."""

    def __init__(self, layer, x):
        super().__init__(layer, x, np.empty((len(x), layer.w.shape[1]), x.dtype))
        self.w, self.b = layer.w, layer.b
        self.dw = np.empty_like(layer.w)
        self.learned, self.dot = {"w": self.dw}, np.dot
        if layer.b is not None:
            self.db = self.learned["b"] = np.empty_like(layer.b)
            self.add_row, self.sum_rows = _loops().add_row, _loops().sum_rows

    @staticmethod
    def fits(layer, x):
        """Whether all is of one dtype, and the shapes fit."""
        w, b = layer.w, layer.b
        if not (_beside(w, x) and x.ndim == w.ndim == 2 and x.shape[1] == w.shape[0]):
            return False
        return b is None or (_beside(b, x) and b.shape == w.shape[1:])

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


class NormStage(Stage):
    """:class:`bncourse.nn.BatchNorm` of a table, by the statistics of the batch."""

    settings = attrgetter(
        "training", "frozen", "axis", "virtual_batch_size", "momentum", "eps", "variance",
        "track_running_stats",
    )  # fmt: skip

    def __init__(self, layer, x):
        super().__init__(layer, x, np.empty_like(x))
        channels, self.was = x.shape[1], self.settings(layer)
        self.gamma, self.beta = layer.gamma, layer.beta
        self.mean, self.var = layer.running_mean, layer.running_var
        self.scale = np.ones(channels, x.dtype) if layer.gamma is None else layer.gamma
        self.shift = np.zeros(channels, x.dtype) if layer.beta is None else layer.beta
        self.statistics, self.sums = np.empty((4, channels)), np.empty((2, channels))
        self.dgamma, self.dbeta = np.empty_like(self.scale), np.empty_like(self.shift)
        given = ("gamma", layer.gamma, self.dgamma), ("beta", layer.beta, self.dbeta)
        self.learned = {name: gradient for name, p, gradient in given if p is not None}
        self.after = self.scale, self.shift, layer.eps, x.dtype.char == "d", self.y, self.statistics
        self.divisor = len(x) - (layer.variance != "biased")
        self.back = (
            self.statistics, self.scale, *limits.USUAL[x.dtype.char], self.dx, self.sums,
            self.dgamma, self.dbeta,
        )  # fmt: skip
        self.normalize, self.running = _table().forward, _loops().running
        self.gradient = _loops().norm_gradient

    @staticmethod
    def fits(layer, x):
        """Whether this is the plain batch norm of a table of at least two rows.

        One that is worth several threads is left to the layer, so that results do not depend on
        how many there are.
        """
        channels = [p for p in (layer.gamma, layer.beta) if p is not None]
        if layer.track_running_stats:
            channels += [layer.running_mean, layer.running_var]
        return (
            x.ndim == 2
            and len(x) > 1
            and x.size // threads.WORTH_IT < 2
            and layer.num_features == x.shape[1]
            and all(_beside(a, x) and a.shape == x.shape[1:] for a in channels)
            and layer.training
            and not layer.frozen
            and layer.axis in (1, -1)
            and layer.virtual_batch_size is None
            and type(layer.momentum) is float
            and 0 < layer.momentum < 1
            and type(layer.eps) is float
            and limits.TINY < layer.eps < 1
        )

    def forward(self, x):
        layer = self.layer
        if x is not self.x:
            if self.is_another(x):
                return None
            self.x = x
        parameters_stay = layer.gamma is self.gamma and layer.beta is self.beta
        if not parameters_stay or NormStage.settings(layer) != self.was:
            return None
        if layer.running_mean is not self.mean or layer.running_var is not self.var:
            return None
        self.cache = None
        if not self.normalize(x, *self.after):  # squares overflow, or something is not finite
            y, self.cache = layer.forward(x)
            self.mean, self.var = layer.running_mean, layer.running_var
            return y
        if layer.track_running_stats:
            mean, var = np.empty_like(self.mean), np.empty_like(self.var)
            self.running(
                self.mean, self.var, self.statistics, self.divisor, layer.momentum, mean, var
            )
            layer.running_mean, layer.running_var = self.mean, self.var = mean, var
            layer.num_batches_tracked += 1
        return self.y

    def backward(self, dy, wanted=True):
        if dy is not self.dy:
            dy = self.upstream(dy)
        if self.cache is None and self.gradient(dy, self.x, *self.back):
            self.leave(self.learned)
            return self.dx
        return self.layer.backward(dy, self.cache or self.norm_cache())

    def norm_cache(self):
        """What the layer's own forward pass would have given to its backward pass."""
        mean, rest, m2, inv_std = self.statistics
        moments = Moments(len(self.x), mean, m2)
        parts = inv_std[None, :], self.gamma, self.beta, moments, rest[None, :]
        return NormCache(self.x, *parts, (0,), (1,), None, True)


class ElementwiseStage(Stage):
    """What sigmoid, tanh and ReLU share: flat arrays, and an output that tells the slope."""

    def __init__(self, layer, x):
        super().__init__(layer, x, np.empty_like(x))
        self.flat, self.flat_dx = self.y.reshape(-1), self.dx.reshape(-1)
        self.prepare(x.dtype)

    @staticmethod
    def fits(layer, x):
        """Always."""
        return True

    def forward(self, x):
        if x is not self.x:
            if self.is_another(x):
                return None
            self.x = x
        parts = threads.count(x.size)
        if parts == 1:
            self.apply(x.reshape(-1), self.flat)
        else:
            x, y = x.reshape(-1), self.flat
            threads.share(lambda a, b: self.apply(x[a:b], y[a:b]), threads.cuts(len(x), parts))
        return self.y

    def backward(self, dy, wanted=True):
        if dy is not self.dy:
            dy = self.upstream(dy)
        parts = threads.count(dy.size)
        if parts == 1:
            self.slope(dy.reshape(-1), self.flat, self.flat_dx)
        else:
            dy, y, dx = dy.reshape(-1), self.flat, self.flat_dx
            threads.share(
                lambda a, b: self.slope(dy[a:b], y[a:b], dx[a:b]), threads.cuts(len(y), parts)
            )
        return self.dx


class SigmoidStage(ElementwiseStage):
    """:class:`bncourse.nn.Sigmoid`."""

    def prepare(self, dtype):
        self.largest = _LARGEST[dtype.char]
        self.negated, self.sigmoid = _loops().negated, _loops().sigmoid
        self.slope = _loops().sigmoid_gradient

    def apply(self, x, y):
        self.negated(x, y, self.largest)
        np.exp(y, y)
        self.sigmoid(y)


class TanhStage(ElementwiseStage):
    """:class:`bncourse.nn.Tanh`."""

    def prepare(self, dtype):
        self.apply, self.slope = np.tanh, _loops().tanh_gradient


class ReLUStage(ElementwiseStage):
    """:class:`bncourse.nn.ReLU`."""

    def prepare(self, dtype):
        self.apply, self.slope = _loops().relu, _loops().relu_gradient


class CrossEntropyStage:
    """:data:`bncourse.training.CROSS_ENTROPY` of few logits.

    Parameters
    ----------
    logits : array, shape (m, K)
        Like those that are to come.
    """

    def __init__(self, logits):
        self.gradient = np.empty_like(logits)
        self.loop = _loops().cross_entropy

    @staticmethod
    def fits(logits):
        """Whether the loop takes these ``logits``, and is worth it."""
        usual = type(logits) is np.ndarray and compiled.takes(logits)
        return usual and logits.ndim == 2 and 0 < logits.size <= _FEW

    def is_another(self, logits):
        """Whether ``logits`` are unlike the first ones."""
        return not _alike(logits, self.gradient)

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


def _beside(a, x):
    return type(a) is np.ndarray and a.dtype == x.dtype and a.flags.c_contiguous


def _alike(a, x):
    return _beside(a, x) and a.shape == x.shape


@cache
def _loops():
    from bncourse.kernels import loops_step  # which imports Numba

    return loops_step


@cache
def _table():
    from bncourse.kernels import loops_table

    return loops_table

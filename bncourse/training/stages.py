"""Layers as a training step of one size meets them: with memory of their own, and compiled.

A stage does what its layer does, ``y = stage.forward(x)`` and then ``dx = stage.backward(dy)``,
and leaves gradients of parameters in ``layer.grads``; each step writes over what the last one
left. Where an input is not like the first one, or the layer is not as it was, ``forward`` gives
``None``: then :func:`stage` makes another.

What is the same at each step is worked out once. A step of a small network runs through this file
some ten thousand times a second, mostly with cold caches, and a line of Python costs more than a
loop over a batch.
"""

from functools import cache
from operator import attrgetter

import numpy as np

from bncourse import arrays, nn
from bncourse.functional.normalization import NormCache
from bncourse.kernels import compiled, limits, threads
from bncourse.moments import Moments

_LARGEST = {char: float(np.log(np.finfo(char).max)) for char in "fd"}  # of which exp is finite
_FEW = 2**14  # logits: the exponentials of more are faster in NumPy, many at a time


class Whole:
    """Any layer, by its own methods."""

    def __init__(self, layer, x):
        self.layer, self.cache = layer, None

    def forward(self, x):
        """The output for ``x``; ``None`` if there is a better stage for it."""
        if kind(self.layer, x) is not Whole:
            return None
        y, self.cache = self.layer.forward(x)
        return y

    def backward(self, dy, wanted=True):
        """The gradient with respect to the input, if it is ``wanted``."""
        cache, self.cache = self.cache, None
        self.layer.zero_grad()
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


class DenseStage(Stage):
    """:class:`bncourse.nn.Dense`."""

    def __init__(self, layer, x):
        super().__init__(layer, x, np.empty((len(x), layer.w.shape[1]), x.dtype))
        self.w, self.b = layer.w, layer.b
        self.dw, self.db = np.empty_like(layer.w), None
        if layer.b is not None:
            self.db = np.empty_like(layer.b)
            self.add_row, self.sum_rows = _loops().add_row, _loops().sum_rows

    @staticmethod
    def fits(layer, x):
        """Whether all is of one dtype, and the shapes are those of a matrix product."""
        alike = all(_beside(p, x) for p in (layer.w, layer.b) if p is not None)
        return alike and x.ndim == layer.w.ndim == 2 and x.shape[1] == layer.w.shape[0]

    def forward(self, x):
        layer, y = self.layer, self.y
        if x is not self.x:
            if self.is_another(x):
                return None
            self.x = x
        if layer.w is not self.w or layer.b is not self.b:
            return None
        np.dot(x, self.w, y)
        if self.b is not None:
            self.add_row(y, self.b)
        return y

    def backward(self, dy, wanted=True):
        if dy is not self.dy:
            dy = self.upstream(dy)
        self.layer.grads = grads = {"w": np.dot(self.x.T, dy, self.dw)}
        if self.b is not None:
            self.sum_rows(dy, self.db)
            grads["b"] = self.db
        return np.dot(dy, self.w.T, self.dx) if wanted else None


class NormStage(Stage):
    """:class:`bncourse.nn.BatchNorm` of a table, by the statistics of the batch."""

    settings = attrgetter(
        "training", "frozen", "axis", "virtual_batch_size", "on_nonfinite", "momentum", "eps",
        "variance", "track_running_stats",
    )  # fmt: skip

    def __init__(self, layer, x):
        super().__init__(layer, x, np.empty_like(x))
        channels, self.was = x.shape[1], self.settings(layer)
        self.gamma, self.beta = layer.gamma, layer.beta
        self.scale = np.ones(channels, x.dtype) if layer.gamma is None else layer.gamma
        self.shift = np.zeros(channels, x.dtype) if layer.beta is None else layer.beta
        self.statistics, self.sums = np.empty((4, channels)), np.empty((2, channels))
        self.dgamma, self.dbeta = np.empty_like(self.scale), np.empty_like(self.shift)
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
        """Whether this is the plain batch norm of a table of at least two rows."""
        parameters = [p for p in (layer.gamma, layer.beta) if p is not None]
        return (
            x.ndim == 2
            and len(x) > 1
            and threads.count(x.size) == 1
            and layer.num_features == x.shape[1]
            and all(_beside(p, x) and p.ndim == 1 for p in parameters)
            and layer.training
            and not layer.frozen
            and layer.axis in (1, -1)
            and layer.virtual_batch_size is None
            and layer.on_nonfinite == "propagate"
            and layer.momentum is not None
            and layer.eps > limits.TINY
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
        self.cache = None
        if not self.normalize(x, *self.after):  # squares overflow, or something is not finite
            y, self.cache = layer.forward(x)
            return y
        if layer.track_running_stats:
            old_mean, old_var = layer.running_mean, layer.running_var
            mean, var = np.empty_like(old_mean), np.empty_like(old_var)
            self.running(
                old_mean, old_var, self.statistics, self.divisor, layer.momentum, mean, var
            )
            layer.running_mean, layer.running_var = mean, var
            layer.num_batches_tracked += 1
        return self.y

    def backward(self, dy, wanted=True):
        if dy is not self.dy:
            dy = self.upstream(dy)
        layer = self.layer
        layer.grads = grads = {}
        if self.cache is None and self.gradient(dy, self.x, *self.back):
            if self.gamma is not None:
                grads["gamma"] = self.dgamma
            if self.beta is not None:
                grads["beta"] = self.dbeta
            return self.dx
        return layer.backward(dy, self.cache or self.norm_cache())

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

    def loss(self, logits, labels):
        """The loss; fills ``gradient``. ``None`` if this is not for the loop, or not right."""
        if not (
            type(labels) is np.ndarray
            and labels.dtype.kind in "iu"
            and labels.shape == logits.shape[:1]
            and _alike(logits, self.gradient)
            and logits.ndim == 2
            and 0 < logits.size <= _FEW
        ):
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


def kind(layer, x):
    """The class of stage for a ``layer`` that is given ``x``."""
    found = KINDS.get(type(layer))
    suits = found and compiled.supports(x, x.shape) and _own(layer) and found.fits(layer, x)
    return found if suits else Whole


def _own(layer):
    """Whether the methods are those of the class: somebody may have put others into ``layer``."""
    return not {"forward", "backward", "accumulate"} & vars(layer).keys()


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

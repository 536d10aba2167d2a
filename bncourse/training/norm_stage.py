"""The stage of a batch norm."""

from operator import attrgetter

import numpy as np

from bncourse.functional.normalization import NormCache
from bncourse.kernels import limits, threads
from bncourse.moments import Moments
from bncourse.training.stage import Stage, beside, loops, table


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
        self.normalize, self.running = table().forward, loops().running
        self.gradient = loops().norm_gradient

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
            and all(beside(a, x) and a.shape == x.shape[1:] for a in channels)
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

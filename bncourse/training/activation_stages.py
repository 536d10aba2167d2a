"""The stages of activations."""

import numpy as np

from bncourse.kernels import threads
from bncourse.training.stage import Stage, loops

LARGEST = {char: float(np.log(np.finfo(char).max)) for char in "fd"}  # of which exp is finite


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
        self.largest = LARGEST[dtype.char]
        self.negated, self.sigmoid = loops().negated, loops().sigmoid
        self.slope = loops().sigmoid_gradient

    def apply(self, x, y):
        self.negated(x, y, self.largest)
        np.exp(y, y)
        self.sigmoid(y)


class TanhStage(ElementwiseStage):
    """:class:`bncourse.nn.Tanh`."""

    def prepare(self, dtype):
        self.apply, self.slope = np.tanh, loops().tanh_gradient


class ReLUStage(ElementwiseStage):
    """:class:`bncourse.nn.ReLU`."""

    def prepare(self, dtype):
        self.apply, self.slope = loops().relu, loops().relu_gradient

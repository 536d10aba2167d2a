"""Dense layers, activations, and the chain that holds them."""

import copy

import numpy as np

from bncourse import checks
from bncourse import functional as F
from bncourse.nn.module import Module


class Dense(Module):
    r"""Fully connected layer :math:`y = x W + b`.

    Parameters
    ----------
    n_in, n_out : int
        Features in and out.
    bias : bool
        Whether there is a ``b``; before a batch norm it would have no effect.
    std : float, optional
        Standard deviation of the Gaussian that the weights are drawn from; by default
        :math:`\sqrt{2 / n_\mathrm{in}}`, which suits ReLU (He et al. 2015).
    rng : numpy.random.Generator or int
        Source of the weights, or a seed.
    dtype : str
        Floating dtype of the parameters.

    Attributes
    ----------
    w : array, shape (n_in, n_out)
        Weights.
    b : array, shape (n_out,), or None
        Bias, zero at first.
    """

    parameter_names = ("w", "b")

    def __init__(self, n_in, n_out, bias=True, std=None, rng=0, dtype="float32"):
        super().__init__()
        n_in, n_out = checks.integer("n_in", n_in, 1), checks.integer("n_out", n_out, 1)
        std = (2 / n_in) ** 0.5 if std is None else checks.number("std", std, 0)
        dtype = checks.floating("dtype", dtype)
        self.w = (std * np.random.default_rng(rng).standard_normal((n_in, n_out))).astype(dtype)
        self.b = np.zeros(n_out, dtype) if bias else None

    def forward(self, x):
        """``x`` of shape (N, n_in) to ``y`` of shape (N, n_out), and the cache."""
        return F.dense_forward(x, self.w, self.b)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``; adds those of ``w`` and ``b`` to ``grads``."""
        dx, dw, db = F.dense_backward(dy, cache)
        self.add_gradients(w=dw, b=db)
        return dx

    def accumulate(self, dy, cache):
        """As :meth:`backward`, without the gradient with respect to ``x``."""
        _, dw, db = F.dense_backward(dy, cache, input_gradient=False)
        self.add_gradients(w=dw, b=db)

    def folded(self, norm):
        """A layer that does the :class:`BatchNorm` after this one as well; see :func:`fold`."""
        new = copy.copy(self)
        statistics = (norm.running_mean, norm.running_var, norm.eps)
        new.w, new.b = F.fold_dense(self.w, self.b, norm.gamma, norm.beta, *statistics)
        new.grads = {}
        return new


class Sigmoid(Module):
    """Logistic sigmoid, elementwise: :func:`~bncourse.functional.sigmoid_forward`."""

    def forward(self, x):
        """``1 / (1 + exp(-x))``, and the cache."""
        return F.sigmoid_forward(x)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``."""
        return F.sigmoid_backward(dy, cache)


class ReLU(Module):
    """Rectifier, elementwise: :func:`~bncourse.functional.relu_forward`."""

    def forward(self, x):
        """``max(x, 0)``, and the cache."""
        return F.relu_forward(x)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``."""
        return F.relu_backward(dy, cache)


class Tanh(Module):
    """Hyperbolic tangent, elementwise: :func:`~bncourse.functional.tanh_forward`."""

    def forward(self, x):
        """``tanh(x)``, and the cache."""
        return F.tanh_forward(x)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``."""
        return F.tanh_backward(dy, cache)


class Sequential(Module):
    """Layers applied one after the other; ``net[2]`` is the third of them.

    Parameters
    ----------
    *layers : Module
        In the order of the forward pass. They are named ``"0"``, ``"1"``, ... in
        :meth:`~bncourse.nn.Module.parameters`.
    """

    def __init__(self, *layers):
        super().__init__()
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"layer {i} must be a Module, not {type(layer).__name__}")
        self.layers = layers

    def children(self):
        """The layers, by position."""
        return {str(i): layer for i, layer in enumerate(self.layers)}

    def __getitem__(self, i):
        return self.layers[i]

    def __len__(self):
        return len(self.layers)

    def forward(self, x):
        """Output of the last layer, and a tuple of all caches."""
        caches = []
        for layer in self.layers:
            x, cache = layer.forward(x)
            caches.append(cache)
        return x, tuple(caches)

    def backward(self, dy, cache):
        """Gradient with respect to the input of the first layer."""
        self._check(cache)
        for layer, layer_cache in zip(reversed(self.layers), reversed(cache), strict=True):
            dy = layer.backward(dy, layer_cache)
        return dy

    def accumulate(self, dy, cache):
        """As :meth:`backward`, without the gradient with respect to the input."""
        self._check(cache)
        for layer, layer_cache in zip(self.layers[:0:-1], cache[:0:-1], strict=True):
            dy = layer.backward(dy, layer_cache)
        if self.layers:
            self.layers[0].accumulate(dy, cache[0])

    def _check(self, cache):
        if not isinstance(cache, tuple) or len(cache) != len(self.layers):
            raise ValueError(
                f"cache must be the tuple of {len(self.layers)} that forward() returned beside y"
            )

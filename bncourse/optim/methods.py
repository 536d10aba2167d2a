"""Optimizers: they change the parameters of a network in place."""

from math import sqrt

import numpy as np

from bncourse import arrays, checks, kernels
from bncourse.kernels import compiled
from bncourse.optim.optimizer import Optimizer

NORM_AND_BIAS = ("gamma", "beta", "b")
"""For ``exempt``: what is often spared weight decay, scales and shifts of norms, and biases."""

_LOOPED = np.dtype("float32"), np.dtype("float64")  # not in another byte order


class SGD(Optimizer):
    r"""Stochastic gradient descent, plain, with momentum, or with Nesterov's.

    .. math::

        v \leftarrow \mu v + g, \qquad
        \theta \leftarrow \theta - \eta \begin{cases} v \\ g + \mu v & \text{Nesterov} \end{cases}

    with :math:`v = g` in the first step of a parameter. PyTorch's semantics: the rate is outside
    of :math:`v`, so that a schedule acts at once.

    Parameters
    ----------
    net, lr, weight_decay, decoupled, exempt
        As in :class:`~bncourse.optim.Optimizer`.
    momentum : float in [0, 1]
        :math:`\mu`; with 0 there is no :math:`v`, and :math:`\theta \leftarrow \theta - \eta g`.
    nesterov : bool
        Needs a momentum.

    Notes
    -----
    Source: Sutskever et al. (2013), *On the importance of initialization and momentum in deep
    learning*, where the rate is inside :math:`v`.
    """

    memory_names = ("velocity",)

    def __init__(
        self, net, lr, momentum=0.0, nesterov=False, weight_decay=0.0, decoupled=False, exempt=()
    ):
        super().__init__(net, lr, weight_decay, decoupled, exempt)
        self.momentum = checks.number("momentum", momentum, 0, 1)
        self.nesterov = bool(nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0, such as 0.9")
        self._built_with |= {"momentum": self.momentum, "nesterov": self.nesterov}

    def _move(self, found, rate):
        plain = not (self.momentum or self.weight_decay) and type(self)._change is SGD._change
        if not (plain and _compiled(found)):
            super()._move(found, rate)
            return
        from bncourse.kernels.loops_step import descend  # which imports Numba

        counts = self._counts
        for name, parameter, gradient in found:
            counts[name] = counts.get(name, 0) + 1
            if parameter.ndim != 1:
                parameter, gradient = parameter.reshape(-1), gradient.reshape(-1)
            descend(parameter, gradient, rate)

    def _change(self, name, gradient, rate):
        if not self.momentum:
            return rate * gradient
        velocity = self._recall("velocity", name, gradient)
        if velocity is None:
            xp = arrays.namespace(gradient=gradient)
            velocity = self._remember("velocity", name, xp.asarray(gradient, copy=True))
        else:
            velocity *= self.momentum
            velocity += gradient
        if self.nesterov:
            return rate * (gradient + self.momentum * velocity)
        return rate * velocity


class Adam(Optimizer):
    r"""Steps of about the size of the rate, whatever the size of the gradients.

    .. math::

        m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
        \theta \leftarrow \theta - \eta\,
        \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \varepsilon}

    in the :math:`t`-th step of a parameter, from :math:`m = v = 0`. PyTorch's semantics; with
    ``decoupled=True`` it is AdamW.

    Parameters
    ----------
    net, lr, weight_decay, decoupled, exempt
        As in :class:`~bncourse.optim.Optimizer`.
    betas : tuple of two floats in [0, 1)
        :math:`\beta_1, \beta_2`.
    eps : float
        Positive; outside of the root.

    Notes
    -----
    Source: Kingma and Ba (2015), algorithm 1; Loshchilov and Hutter (2019), algorithm 2.
    """

    memory_names = ("mean", "square")

    def __init__(
        self,
        net,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        decoupled=False,
        exempt=(),
    ):
        super().__init__(net, lr, weight_decay, decoupled, exempt)
        self.betas = _two_betas(betas)
        self.eps = checks.positive("eps", eps)
        self._built_with |= {"betas": list(self.betas), "eps": self.eps}

    def _change(self, name, gradient, rate):
        xp = arrays.namespace(gradient=gradient)
        mean, square = (self._recall(memory, name, gradient) for memory in self.memory_names)
        if mean is None:
            mean = self._remember("mean", name, xp.zeros_like(gradient))
            square = self._remember("square", name, xp.zeros_like(gradient))
        (beta1, beta2), t = self.betas, self._counts[name]
        mean *= beta1
        mean += (1 - beta1) * gradient
        square *= beta2
        square += (1 - beta2) * (gradient * gradient)
        scale = xp.sqrt(square) / sqrt(1 - beta2**t) + self.eps
        return rate / (1 - beta1**t) * (mean / scale)


def _compiled(found):
    """Whether a loop of Numba takes all parameters and gradients, and they are many."""
    size = 0
    for _, parameter, gradient in found:
        dtype = parameter.dtype
        if type(parameter) is not np.ndarray or dtype not in _LOOPED or gradient.dtype != dtype:
            return False
        if not (parameter.flags.carray and gradient.flags.c_contiguous):
            return False
        size += parameter.size
    return size >= compiled.LEAST and kernels.wanted("numba") and compiled.available()


def _two_betas(betas):
    if not isinstance(betas, (list, tuple)) or len(betas) != 2:
        raise TypeError(f"betas must be two numbers such as (0.9, 0.999), not {betas!r}")
    betas = tuple(checks.number("betas", beta, 0, 1) for beta in betas)
    if 1 in betas:
        raise ValueError(f"betas must be less than 1, not {betas}: nothing would be remembered")
    return betas

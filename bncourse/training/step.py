"""One step of training: as it reads, and as it runs fast."""

from copy import copy

import numpy as np

from bncourse import functional as F
from bncourse import kernels, nn
from bncourse.training.stages import KINDS, CrossEntropyStage, DenseStage, Whole, kind, own

CROSS_ENTROPY = (F.softmax_cross_entropy_forward, F.softmax_cross_entropy_backward)
"""The loss of :func:`fit` unless another is given: its value and cache, and its gradient."""


def train_step(net, optimizer, x, labels, loss=CROSS_ENTROPY):
    """One step of training on one batch; returns the loss before the step, as a float.

    ``net``, ``optimizer`` and ``loss`` as in :func:`fit`; ``x`` and ``labels`` are the examples
    of the batch and their classes. Whatever is wrong with them is told before a parameter changes.
    :class:`Step` does the same in less time.
    """
    forward, backward = loss
    output, cache = net.forward(x)
    value, loss_cache = forward(output, labels)
    net.zero_grad()
    net.accumulate(backward(loss_cache), cache)
    optimizer.step()
    return float(value)


class Step:
    """Steps of training that keep their memory: as :func:`train_step`, but many of them faster.

    ``step = Step(net, optimizer)``, then ``loss = step(x, labels)`` as often as you like. A small
    network spends more time in Python than on arithmetic. If Numba is installed, dense layers,
    batch norm of tables, activations and the loss of a :class:`~bncourse.nn.Sequential` write
    into arrays that are kept from step to step, by loops that are compiled; other layers, small
    ones and subclasses are called as :func:`train_step` calls them, and so is everything inside
    of ``kernels.using("never")`` or on a GPU. The net may change between steps as it likes.

    Results differ from those of :func:`train_step` by roundings. They do not depend on earlier
    steps, nor, as far as the BLAS does not, on the number of threads.

    Parameters
    ----------
    net : bncourse.nn.Module
        Changed in place by each step. The arrays in its ``grads`` are written over by the next
        one: copy what you want to keep. Running statistics are not, nor is what layers and
        losses of your own are given.
    optimizer : bncourse.optim.Optimizer
        An optimizer of ``net``.
    loss : tuple of two functions, optional
        As in :func:`fit`.

    Notes
    -----
    One step at a time: not for several threads of your own.
    """

    def __init__(self, net, optimizer, loss=CROSS_ENTROPY):
        self.net, self.optimizer, self.loss = net, optimizer, loss
        self._parts = self._layers = self._stages = None
        self._chains, self._others, self._held = [], [], []
        self._first = 0
        self._ending, self._compiled, self._mixed = None, False, False

    def __getstate__(self):  # a copy makes memory of its own: views would come apart in it
        return vars(self) | vars(Step(self.net, self.optimizer, self.loss))

    def __call__(self, x, labels):
        """One step on the examples ``x`` and their ``labels``; returns the loss before it.

        Raises
        ------
        TypeError, ValueError
            As the layers, the loss and the optimizer; then no parameter has changed.
        """
        if type(x) is not np.ndarray or not kernels.wanted("numba"):
            return train_step(self.net, self.optimizer, x, labels, self.loss)
        self._look()
        value, gradient = self._judge(self._forward(x), labels)
        self._backward(gradient)
        self.optimizer.step()
        return float(value)

    def _look(self):
        """Layers and stages, anew if the net consists of others than at the last step."""
        if self._parts is not None and self._parts == self._consists():
            return
        self._parts, chains, layers = None, [], []
        _unfold(self.net, chains, layers)
        others = [m for m in layers if not own(m) or type(m).children is not nn.Module.children]
        simple = [m for m in layers if m not in others]
        learning = [layer in others or bool(layer.parameter_names) for layer in layers]
        self._first = learning.index(True) if any(learning) else len(layers)
        self._chains, self._layers, self._others = chains, layers, others
        self._held = [vars(module) for module in (*chains, *simple)]
        self._stages = [None] * len(layers)
        self._parts = self._consists()
        self._mixed = not all(type(layer) in KINDS for layer in layers)

    def _consists(self):
        """What the net is made of: layers, those inside of others, and how much each one holds.

        One into which somebody has put another method holds more.
        """
        chained = [tuple(chain.layers) for chain in self._chains]
        inside = [module for layer in self._others for _, module in layer.modules()]
        return chained, inside, [*map(len, self._held), *map(len, map(vars, inside))]

    def _forward(self, x):
        stages = self._stages
        for i, stage in enumerate(stages):
            y = None if stage is None else stage.forward(x)
            if y is None:
                layer = self._layers[i]
                stages[i] = kind(layer, x)(layer, x)
                if type(stages[i]) is DenseStage and self._mixed:
                    stages[i].by_one_thread()
                self._compiled = any(type(made) not in (Whole, type(None)) for made in stages)
                y = stages[i].forward(x)
            x = y
        return x

    def _judge(self, output, labels):
        """The loss, and its gradient with respect to the ``output``."""
        if self._compiled:
            if self.loss == CROSS_ENTROPY:
                if self._ending is None or self._ending.is_another(output):
                    fits = CrossEntropyStage.fits(output)
                    self._ending = CrossEntropyStage(output) if fits else None
                value = self._ending and self._ending.loss(output, labels)
                if value is not None:
                    return value, self._ending.gradient
            output = copy(output)  # for somebody who may keep it
        forward, backward = self.loss
        value, loss_cache = forward(output, labels)
        return value, backward(loss_cache)

    def _backward(self, dy):
        """Gradients of all parameters; none below the first layer that may have some."""
        for held in self._held:
            held["grads"] = {}
        for layer in self._others:
            layer.zero_grad()
        for i in range(len(self._stages) - 1, self._first - 1, -1):
            dy = self._stages[i].backward(dy, i > self._first)


def _unfold(layer, chains, layers):
    if type(layer) is not nn.Sequential or not own(layer):
        layers.append(layer)
        return
    chains.append(layer)
    for inner in layer.layers:
        _unfold(inner, chains, layers)

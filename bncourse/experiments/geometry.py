"""How much of a gradient gets through a batch norm, and how long the weights before it become.

The chapter *What does the gradient throw away?* tells it.
"""

from dataclasses import dataclass

import numpy as np

from bncourse import checks, nn
from bncourse import functional as F
from bncourse.optim import SGD
from bncourse.training import batches


@dataclass(frozen=True)
class Passage:
    """What one run measured, for each unit of the hidden layer.

    Attributes
    ----------
    survived : numpy.ndarray, shape (steps, hidden)
        Squared length of what is left of ``dy``, before it is scaled, relative to that of ``dy``.
        Ones without a batch norm.
    growth : numpy.ndarray, shape (steps + 1, hidden)
        Squared length of the unit's weights, less that at the start, relative to that at the start.
    squares : numpy.ndarray, shape (steps + 1, hidden)
        Sum of the squared lengths of its steps so far, relative to the same.
    """

    survived: np.ndarray
    growth: np.ndarray
    squares: np.ndarray


def survived(dy, cache):
    """Share of the squared length of ``dy`` that a batch norm hands on, feature by feature."""
    dx, _, _ = F.batch_norm_backward(dy, cache._replace(gamma=None))
    left = dx / cache.inv_std
    return (left * left).sum(axis=0) / (dy * dy).sum(axis=0)


def run(data, norm=True, steps=300, seed=0, lr=1.0, batch=60, eps=1e-5, hidden=32):
    """Train dense, batch norm, tanh, dense by plain SGD, in float64.

    Parameters
    ----------
    data : bncourse.data.Dataset
        In float64.
    norm : bool
        Whether there is a batch norm.
    steps, seed, batch, hidden : int
        Number of batches; seed of the weights and of the order; examples in a batch; units.
    lr, eps : float
        Learning rate; what is added to the variance.

    Returns
    -------
    Passage
    """
    rng = np.random.default_rng(seed)
    first = nn.Dense(data.x_train.shape[1], hidden, rng=rng, dtype="float64")
    middle = nn.BatchNorm(hidden, eps=eps, dtype="float64")
    rest = nn.Sequential(nn.Tanh(), nn.Dense(hidden, 10, rng=rng, dtype="float64"))
    net = nn.Sequential(first, middle, rest) if norm else nn.Sequential(first, rest)
    optimizer, order = SGD(net, lr), batches(len(data.x_train), batch, rng)
    share = np.ones((checks.integer("steps", steps, 1), hidden))
    length, squares = np.zeros((2, steps + 1, hidden))
    length[0] = (first.w * first.w).sum(axis=0)
    for k in range(steps):
        chosen = next(order)
        x, x_cache = first.forward(data.x_train[chosen])
        y, y_cache = middle.forward(x) if norm else (x, None)
        logits, rest_cache = rest.forward(y)
        _, loss_cache = F.softmax_cross_entropy_forward(logits, data.y_train[chosen])
        net.zero_grad()
        dy = rest.backward(F.softmax_cross_entropy_backward(loss_cache), rest_cache)
        if norm:
            share[k] = survived(dy, y_cache)
        first.backward(middle.backward(dy, y_cache) if norm else dy, x_cache)
        before = first.w.copy()
        optimizer.step()
        step = first.w - before
        squares[k + 1] = squares[k] + (step * step).sum(axis=0)
        length[k + 1] = (first.w * first.w).sum(axis=0)
    return Passage(share, length / length[0] - 1, squares / length[0])

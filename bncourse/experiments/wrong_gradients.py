"""Training with a wrong gradient: a batch norm that leaves terms out, and what then drifts.

The chapter *How does a gradient find its way back through a batch?* tells it.
"""

from dataclasses import dataclass

import numpy as np

from bncourse import checks, nn
from bncourse.optim import SGD
from bncourse.training import batches, train_step


class TamperedBatchNorm(nn.BatchNorm):
    r"""A batch norm for (N, D) whose ``dx`` weighs two of its terms as you like.

    .. math::

        \mathrm{dx} = \frac{\gamma}{s} \bigl(\mathrm{dy} - a\,\overline{\mathrm{dy}}
        - b\,\hat x\,\overline{\mathrm{dy}\,\hat x}\bigr)

    Parameters
    ----------
    num_features : int
        Channels.
    mean_path, variance_path : float
        The weights a and b. With 1 and 1 the gradient is right; with 1 and 0 it lacks the path
        through the variance; with 0 and 0 it takes the statistics for constants. Those of
        ``gamma`` and ``beta`` are always right.
    **options
        Of :class:`~bncourse.nn.BatchNorm`.
    """

    def __init__(self, num_features, mean_path=1.0, variance_path=1.0, **options):
        super().__init__(num_features, **options)
        self.mean_path = checks.number("mean_path", mean_path)
        self.variance_path = checks.number("variance_path", variance_path)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``, as weighed; adds those of the parameters to ``grads``."""
        super().backward(dy, cache)
        x_hat = cache.x_hat
        mean_term = dy.mean(axis=0)
        variance_term = x_hat * (dy * x_hat).mean(axis=0)
        bracket = dy - self.mean_path * mean_term - self.variance_path * variance_term
        return self.gamma * cache.inv_std * bracket


@dataclass(frozen=True)
class Drift:
    """What one run measured, before each step.

    Attributes
    ----------
    loss : numpy.ndarray, shape (steps,)
        Training loss of the batch, in nats.
    bias : numpy.ndarray, shape (steps,)
        Mean size of the biases before the batch norm. Their true gradient is 0.
    length : numpy.ndarray, shape (steps,)
        Mean length of the weights of a unit before the batch norm, relative to its start.
    gamma : numpy.ndarray, shape (steps,)
        Mean gamma of the batch norm. It starts at 1.
    """

    loss: np.ndarray
    bias: np.ndarray
    length: np.ndarray
    gamma: np.ndarray


def run(data, mean_path=1.0, variance_path=1.0, steps=200, seed=0, lr=0.3, hidden=32):
    """Train dense, batch norm, tanh, dense by plain SGD on batches of 60, in float64.

    Parameters
    ----------
    data : bncourse.data.Dataset
        In float64.
    mean_path, variance_path : float
        Of :class:`TamperedBatchNorm`.
    steps, seed, hidden : int
        Number of batches; seed of the weights and of the order; units of the hidden layer.
    lr : float
        Learning rate.

    Returns
    -------
    Drift
    """
    rng = np.random.default_rng(seed)
    first = nn.Dense(data.x_train.shape[1], hidden, rng=rng, dtype="float64")
    norm = TamperedBatchNorm(hidden, mean_path, variance_path, dtype="float64")
    last = nn.Dense(hidden, 10, rng=rng, dtype="float64")
    net = nn.Sequential(first, norm, nn.Tanh(), last)
    optimizer, order = SGD(net, lr), batches(len(data.x_train), 60, rng)
    loss, bias, length, gamma = np.empty((4, checks.integer("steps", steps, 1)))
    for k in range(steps):
        chosen = next(order)
        bias[k] = np.abs(first.b).mean()
        length[k] = np.linalg.norm(first.w, axis=0).mean()
        gamma[k] = norm.gamma.mean()
        loss[k] = train_step(net, optimizer, data.x_train[chosen], data.y_train[chosen])
    return Drift(loss, bias, length / length[0], gamma)

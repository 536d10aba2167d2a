"""Networks that are normalized, and whose gradients know of it or do not.

Ioffe and Szegedy (2015), section 2, tell that a model blows up if they do not. The chapter *Why not
simply whiten?* tries it.
"""

import numpy as np

from bncourse import checks, nn
from bncourse.data import digits, mnist
from bncourse.experiments.experiment import Experiment
from bncourse.optim import SGD
from bncourse.training import accuracy, fit

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}
DATA = {"digits": digits, "mnist": mnist}
WINDOW = 100
"""Batches that a training loss is averaged over, at most."""


class Standardize(nn.Module):
    r"""Center each feature over the batch, divide it by its spread if wanted; nothing is learned.

    .. math::

        \hat x = x - \mu, \qquad\text{or}\qquad
        \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}}

    Parameters
    ----------
    scale : bool
        Whether it is divided.
    aware : bool
        Whether the gradient goes back through :math:`\mu` and :math:`\sigma^2` too. If not, it
        takes them for constants, as if they had been computed outside of the gradient step.
    eps : float
        Added to the variance, inside the root.
    """

    def __init__(self, scale, aware, eps=1e-5):
        super().__init__()
        self.scale, self.aware = bool(scale), bool(aware)
        self.eps = checks.positive("eps", eps)

    def forward(self, x):
        """``x_hat`` for ``x`` of shape (N, D), by the batch's own statistics in each mode."""
        d = x - x.mean(axis=0)
        inv_std = 1 / np.sqrt((d * d).mean(axis=0) + self.eps) if self.scale else 1
        return d * inv_std, (d * inv_std, inv_std)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``, as aware as the layer is."""
        x_hat, inv_std = cache
        if self.aware:
            stretch = x_hat * (dy * x_hat).mean(axis=0) if self.scale else 0
            dy = dy - dy.mean(axis=0) - stretch
        return dy * inv_std


def network(scale, aware, activation, n_in, seed, hidden=100, depth=3, n_out=10):
    """``depth`` times dense with a bias, :class:`Standardize`, activation; then dense.

    For sigmoids the weights have a spread of 0.1; for ReLU it is that of He et al. (2015).
    ``n_in``, ``hidden`` and ``n_out`` are the numbers of units; ``seed`` is that of the weights.
    """
    rng = np.random.default_rng(seed)
    std = 0.1 if activation == "sigmoid" else None
    layers = []
    for _ in range(depth):
        layers.append(nn.Dense(n_in, hidden, std=std, rng=rng))
        layers += [Standardize(scale, aware), ACTIVATIONS[activation]()]
        n_in = hidden
    return nn.Sequential(*layers, nn.Dense(n_in, n_out, std=std, rng=rng))


def run(config, seed):
    """Train one network on binary images, by plain SGD on batches of 60, and watch it.

    Parameters
    ----------
    config : dict
        ``data``, ``activation``, ``lr``, ``steps``, and ``scale`` and ``aware`` of
        :class:`Standardize`.
    seed : int
        Of weights and order.

    Returns
    -------
    dict of numpy.ndarray, shape (K,)
        At ``steps``, from 0 and evenly spaced: ``loss`` of training in nats, averaged over up to
        :data:`WINDOW` batches before; ``accuracy`` on the test set, which is normalized as one
        batch; ``bias``, the mean size of the biases before the normalizations; and ``weights``,
        the mean length of a unit's weights there, relative to its start.
    """
    data = DATA[config["data"]](binary=True)
    n_in, steps = data.x_train.shape[1], config["steps"]
    net = network(config["scale"], config["aware"], config["activation"], n_in, seed)
    dense = [layer for layer in net.layers if isinstance(layer, nn.Dense)][:-1]
    start = _lengths(dense)

    def record(step):
        right = accuracy(net, data.x_test, data.y_test)
        bias = np.mean([np.abs(layer.b).mean() for layer in dense])
        return step, right, bias, (_lengths(dense) / start).mean()

    rng = np.random.default_rng([seed, 1])  # not the numbers that the weights used up
    every = max(steps // 30, 1)
    optimizer = SGD(net, config["lr"])
    history = fit(net, optimizer, data.x_train, data.y_train, steps, 60, rng, every, record)
    at, right, bias, weights = (np.array(column) for column in zip(*history, strict=True))
    losses = np.array(history.losses)
    loss = [losses[max(k - WINDOW, 0) : max(k, 1)].mean() for k in at]
    return {"steps": at, "loss": loss, "accuracy": right, "bias": bias, "weights": weights}


def _lengths(dense):
    return np.concatenate([np.linalg.norm(layer.w, axis=0) for layer in dense])


def _grid(data, steps):
    return [
        {
            "data": data,
            "activation": activation,
            "lr": lr,
            "steps": steps,
            "scale": scale,
            "aware": aware,
        }
        for activation, lr in (("sigmoid", 0.5), ("sigmoid", 3.0), ("relu", 0.1))
        for scale in (False, True)
        for aware in (True, False)
    ]


EXPERIMENT = Experiment(
    name="whitening",
    title="Centered or standardized layers, with gradients that know of it or do not",
    run=run,
    configs=_grid("mnist", 3000),
    quick=_grid("digits", 600),
    chapter="why/whitening",
    shows="accuracy",
)

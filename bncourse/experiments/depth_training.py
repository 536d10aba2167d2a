"""Deep nets in training, by the variance of their initial weights, with and without batch norm.

The chapter *What happens to a signal, and to a gradient, on the way through a deep net?* tells it.
"""

from functools import cache

import numpy as np

from bncourse import nn
from bncourse.data import digits, mnist
from bncourse.experiments.depth import layers, standardized
from bncourse.experiments.experiment import Experiment
from bncourse.optim import SGD
from bncourse.training import accuracy, fit


def network(n_in, depth, width, gain, norm, seed=0):
    """``depth`` hidden layers of rectifiers, and a dense one for ten classes.

    The weights of the hidden layers have the variance ``gain / n_in``, those of the last one
    ``1 / width``.
    """
    rng = np.random.default_rng(seed)
    hidden = layers([n_in] + [width] * depth, gain, "relu", norm, rng, "float32")
    last = nn.Dense(width, 10, std=width**-0.5, rng=rng)
    return nn.Sequential(*(module for layer in hidden for module in layer), last)


def run(config, seed):
    """Train one network by plain SGD on batches of 100.

    Parameters
    ----------
    config : dict
        ``data`` (``"digits"`` or ``"mnist"``), ``depth``, ``width``, ``gain`` and ``norm`` as in
        :func:`network`; ``lr`` and ``steps`` of the training; ``every``, the steps between two
        measurements.
    seed : int
        Of the initial weights and of the order of the examples.

    Returns
    -------
    dict of numpy.ndarray
        ``steps`` (K,), and ``accuracy`` (K,) on the test set, in evaluation mode.
    """
    x, labels, x_test, labels_test = _images(config["data"])
    shape = {name: config[name] for name in ("depth", "width", "gain", "norm")}
    net = network(x.shape[1], **shape, seed=seed)
    rows = fit(
        net,
        SGD(net, config["lr"]),
        x,
        labels,
        config["steps"],
        100,
        np.random.default_rng([seed, 1]),
        config["every"],
        lambda step: (step, accuracy(net, x_test, labels_test)),
    )
    steps, right = zip(*rows, strict=True)
    return {"steps": np.array(steps), "accuracy": np.array(right)}


@cache
def _images(name):
    data = {"digits": digits, "mnist": mnist}[name]()
    x_test = standardized(data.x_test, data.x_train)
    return standardized(data.x_train), data.y_train, x_test, data.y_test


def _grid(data, steps, gains, rates, far):
    """Plain nets of all ``gains``, and of ``far`` ones; nets with batch norm of every second."""
    chosen = [(False, gain, lr) for gain in gains for lr in rates]
    chosen += [(False, gain, lr) for gain, lr in far]
    chosen += [(True, gain, lr) for gain in gains[::2] for lr in rates]
    names = ("norm", "gain", "lr")
    shape = {"data": data, "depth": 30, "width": 100, "steps": steps, "every": steps // 2}
    return [shape | dict(zip(names, values, strict=True)) for values in chosen]


EXPERIMENT = Experiment(
    name="depth-training",
    title="Nets of 30 layers in training, by the variance of the weights, rate and batch norm",
    run=run,
    configs=_grid(
        "mnist",
        800,
        (1, 1.4, 2, 2.8, 4),
        (0.01, 0.03, 0.1, 0.3),
        [(1, 1.0), (1, 10.0), (2.8, 1e-4), (2.8, 1e-3), (4, 1e-8), (4, 1e-6), (4, 1e-4)],
    ),
    quick=_grid("digits", 400, (1, 2, 4), (0.01, 0.1), []),
    chapter="why/depth",
    shows="accuracy",
)

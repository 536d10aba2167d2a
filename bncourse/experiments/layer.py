"""Where the batch norm stands in a block: before the nonlinearity, after it, or nowhere.

Ioffe and Szegedy (2015), section 3.2, put it before. The chapter *What must a layer remember, and
when?* tries both.
"""

from functools import cache

import numpy as np

from bncourse import nn
from bncourse.data import digits, mnist
from bncourse.experiments.depth import standardized
from bncourse.experiments.experiment import Experiment
from bncourse.optim import SGD
from bncourse.training import accuracy, fit

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}
DATA = {"digits": digits, "mnist": mnist}


def block(order, activation, gamma, n_in, n_out, rng):
    """A dense layer, its nonlinearity, and the batch norm ``"before"`` it, ``"after"``, or not.

    Parameters
    ----------
    order : {"plain", "before", "after"}
    activation : {"sigmoid", "relu"}
    gamma : float
        What the scales of the batch norm start at.
    n_in, n_out : int
        Features in and out.
    rng : numpy.random.Generator
        Source of the weights, whose variance is ``2 / n_in``.

    Returns
    -------
    list of bncourse.nn.Module
        The dense layer has a bias, unless the batch norm comes next.

    Raises
    ------
    ValueError
        If there is no such order.
    """
    if order not in ("plain", "before", "after"):
        raise ValueError(f"order must be 'plain', 'before' or 'after', not {order!r}")
    dense = nn.Dense(n_in, n_out, bias=order != "before", rng=rng)
    if order == "plain":
        return [dense, ACTIVATIONS[activation]()]
    norm = nn.BatchNorm(n_out)
    norm.gamma *= gamma
    pair = [norm, ACTIVATIONS[activation]()]
    return [dense, *(pair if order == "before" else reversed(pair))]


def network(order, activation, gamma, n_in, seed, width=100, depth=3):
    """``depth`` blocks of ``width`` units, and a dense layer for ten classes.

    ``order``, ``activation`` and ``gamma`` as in :func:`block`; ``n_in`` is the number of pixels,
    ``seed`` that of the weights, which are the same in each order.
    """
    rng, modules = np.random.default_rng(seed), []
    for _ in range(depth):
        modules += block(order, activation, gamma, n_in, width, rng)
        n_in = width
    return nn.Sequential(*modules, nn.Dense(width, 10, std=width**-0.5, rng=rng))


def run(config, seed):
    """Train one network by plain SGD on batches of 100.

    Parameters
    ----------
    config : dict
        ``data`` (``"digits"`` or ``"mnist"``); ``order``, ``activation`` and ``gamma`` as in
        :func:`block`; ``lr`` and ``steps`` of the training.
    seed : int
        Of the initial weights and of the order of the examples.

    Returns
    -------
    dict of numpy.ndarray, shape (5,)
        ``steps``, evenly spaced from 0 to the end, and ``accuracy`` on the test set, in
        evaluation mode.
    """
    x, labels, x_test, labels_test = _images(config["data"])
    shape = {name: config[name] for name in ("order", "activation", "gamma")}
    net = network(**shape, n_in=x.shape[1], seed=seed)
    history = fit(
        net,
        SGD(net, config["lr"]),
        x,
        labels,
        config["steps"],
        100,
        np.random.default_rng([seed, 1]),  # not the numbers that the weights used up
        config["steps"] // 4,
        lambda step: (step, accuracy(net, x_test, labels_test)),
    )
    steps, right = zip(*history, strict=True)
    return {"steps": np.array(steps), "accuracy": np.array(right)}


@cache
def _images(name):
    data = DATA[name]()
    x_test = standardized(data.x_test, data.x_train)
    return standardized(data.x_train), data.y_train, x_test, data.y_test


def _cell(data, activation, order, gamma, lr, steps):
    return {
        "data": data,
        "activation": activation,
        "order": order,
        "gamma": gamma,
        "lr": lr,
        "steps": steps,
    }


def _grid(data, steps, rates):
    """Each order at each of the ``rates``; for sigmoids also a gamma that starts at 4."""
    kinds = [("relu", order, 1) for order in ("plain", "before", "after")]
    kinds += [("sigmoid", order, 1) for order in ("plain", "before", "after")]
    kinds.append(("sigmoid", "before", 4))
    return [_cell(data, *kind, lr, steps) for kind in kinds for lr in rates]


LONG = [
    _cell("mnist", "sigmoid", order, gamma, lr, 4800)
    for order, gamma, lr in (("before", 1, 3.0), ("before", 4, 1.0), ("after", 1, 0.3))
]
"""Four times longer, each at the rate that was best in the grid."""

EXPERIMENT = Experiment(
    name="layer",
    title="Batch norm before the nonlinearity, after it, or not at all",
    run=run,
    configs=_grid("mnist", 1200, (0.1, 0.3, 1.0, 3.0)) + LONG,
    quick=_grid("digits", 120, (0.3,)),
    seeds=(0, 1, 2, 3, 4),
    chapter="transform/layer",
    shows="accuracy",
)

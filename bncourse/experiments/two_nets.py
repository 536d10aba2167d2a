"""The paper's first experiment: three hidden sigmoid layers, with and without batch norm.

Ioffe and Szegedy (2015), section 4.1 and figure 1. The chapter *Two nets, one curve* tells it.
"""

from dataclasses import dataclass
from functools import cache
from itertools import product
from math import gcd

import numpy as np

from bncourse import arrays, checks, nn
from bncourse.data import digits, mnist
from bncourse.experiments.experiment import Experiment
from bncourse.optim import SGD
from bncourse.training import accuracy, fit

PERCENTILES = (15, 50, 85)
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


@dataclass(frozen=True)
class Config:
    """One run. What the paper leaves open (initial spread, rate) has to be chosen.

    Attributes
    ----------
    norm : bool
        Whether each hidden layer has a batch norm before its activation.
    std : float
        Standard deviation of the initial weights.
    lr : float
        Learning rate of plain SGD.
    steps, batch_size : int
        Number of batches, and examples in each.
    hidden, depth : int
        Width and number of the hidden layers.
    every : int
        Steps between two measurements.
    seed : int
        Of the initial weights and of the order of the examples.
    activation : {"sigmoid", "tanh", "relu"}
        Nonlinearity of the hidden layers; in the paper, the sigmoid.

    Raises
    ------
    TypeError, ValueError
        If a number is not what it must be, such as a width of 0, or there is no such activation.
    """

    norm: bool
    std: float = 0.1
    lr: float = 0.1
    steps: int = 3000
    batch_size: int = 60
    hidden: int = 100
    depth: int = 3
    every: int = 100
    seed: int = 0
    activation: str = "sigmoid"

    def __post_init__(self):
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, not {self.activation!r}"
            )
        for name in ("std", "lr"):
            checks.number(name, getattr(self, name), 0)
        for name in ("batch_size", "hidden", "depth", "every"):
            checks.integer(name, getattr(self, name), 1)
        for name in ("steps", "seed"):
            checks.integer(name, getattr(self, name))


@dataclass(frozen=True)
class Result:
    """What one run measured.

    Attributes
    ----------
    config : Config
    steps : numpy.ndarray, shape (K,)
        Steps done at each measurement, from 0.
    accuracy : numpy.ndarray, shape (K,)
        Share of the test set that is right, in evaluation mode.
    percentiles : numpy.ndarray, shape (K, 3)
        15th, 50th and 85th percentile, over the test set, of the input to the activation of
        one unit of the last hidden layer.
    """

    config: Config
    steps: np.ndarray
    accuracy: np.ndarray
    percentiles: np.ndarray


def network(config, n_in=64, n_out=10):
    """The network of a config: ``depth`` times dense, batch norm if wanted, activation; then dense.

    The layer before a batch norm has no bias, because the norm would subtract it again. ``n_in``
    and ``n_out`` are the numbers of pixels and of classes.
    """
    rng = np.random.default_rng(config.seed)
    layers = []
    for _ in range(config.depth):
        layers.append(nn.Dense(n_in, config.hidden, not config.norm, config.std, rng))
        if config.norm:
            layers.append(nn.BatchNorm(config.hidden))
        layers.append(ACTIVATIONS[config.activation]())
        n_in = config.hidden
    return nn.Sequential(*layers, nn.Dense(n_in, n_out, std=config.std, rng=rng))


def run(config, data, unit=0, at=()):
    """Train the network of ``config`` on ``data`` and measure it on the way.

    Parameters
    ----------
    config : Config
    data : bncourse.data.Dataset
    unit : int
        Which unit of the last hidden layer is watched.
    at : sequence of int
        Steps to measure at, the last of them ``config.steps``; by default each ``config.every``.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        If there is no such unit, or ``at`` does not end where the run does.
    """
    if not checks.integer("unit", unit) < config.hidden:
        raise ValueError(f"unit must lie in 0 to {config.hidden - 1}, not {unit}")
    if len(at) and max(at) != config.steps:
        raise ValueError(f"at must end with the last step, {config.steps}, not {max(at)}")
    net = network(config, data.x_train.shape[1])
    before_last_activation, rest = nn.Sequential(*net.layers[:-2]), nn.Sequential(*net.layers[-2:])

    def record(step):
        if len(at) and step not in at:
            return None
        a, _ = before_last_activation.forward(data.x_test)
        watched = arrays.to(a[:, unit], "numpy")
        return step, accuracy(rest, a, data.y_test), np.percentile(watched, PERCENTILES)

    rng = np.random.default_rng([config.seed, 1])  # not the numbers that the weights used up
    rows = fit(
        net,
        SGD(net, config.lr),
        data.x_train,
        data.y_train,
        config.steps,
        config.batch_size,
        rng,
        gcd(*at) or config.every,
        record,
    )
    steps, accuracies, percentiles = zip(*filter(None, rows), strict=True)
    return Result(config, np.array(steps), np.array(accuracies), np.array(percentiles))


def milestones(steps):
    """Steps to measure at, up to ``steps``: close together at first, evenly spread later.

    A tuple of about 40 multiples of 10, from 0; and ``steps`` itself. So both a logarithmic and
    a linear axis show the whole curve.
    """
    checks.integer("steps", steps, 10)
    spread = np.concatenate([np.linspace(0, steps, 21), np.geomspace(10, steps, 24)])
    return tuple(sorted({*(10 * int(step / 10) for step in spread), steps}))


def measure(config, seed):
    """One run of the experiment ``two-nets``: see :class:`Result` for the series.

    ``config`` is a dict of ``data`` (``"mnist"`` or ``"digits"``), ``norm``, ``std``, ``lr`` and
    ``steps``; ``seed`` is that of :class:`Config`.
    """
    settings = {name: value for name, value in config.items() if name != "data"}
    images = _binary(config["data"])
    result = run(Config(**settings, seed=seed), images, at=milestones(config["steps"]))
    return {name: getattr(result, name) for name in ("steps", "accuracy", "percentiles")}


@cache
def _binary(name):
    return {"mnist": mnist, "digits": digits}[name](binary=True)


def _grid(images, steps, rates):
    names = ("data", "norm", "std", "lr", "steps")
    values = product([images], [False, True], [0.01, 0.1, 0.4], rates, [steps])
    return [dict(zip(names, chosen, strict=True)) for chosen in values]


EXPERIMENT = Experiment(
    name="two-nets",
    title="The paper's MNIST experiment, with and without batch norm",
    run=measure,
    configs=_grid("mnist", 50_000, [0.1, 0.5, 2.0]),
    quick=_grid("digits", 1500, [0.1, 0.5, 2.0]),
    chapter="why/two-nets",
    shows="accuracy",
)

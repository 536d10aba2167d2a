"""How far the inputs of the hidden layers move while a network learns: internal covariate shift.

Measured on a probe, a batch that stays the same. The chapter *What is internal covariate shift,
and can we see it?* tells it.
"""

import numpy as np

from bncourse import checks, nn
from bncourse import functional as F
from bncourse.data import digits, mnist
from bncourse.experiments.experiment import Experiment
from bncourse.experiments.two_nets import PERCENTILES, Config, network
from bncourse.optim import SGD
from bncourse.training import accuracy, fit

PROBE = 1000
"""Examples in the probe of :func:`run`, at most: the first ones of the test set."""


def wasserstein(a, b):
    r"""Distance of two distributions: how far values must be carried to make one the other.

    .. math:: W_1 = \frac1n \sum_{i=1}^n \lvert a_{(i)} - b_{(i)} \rvert

    with the values of each unit in ascending order, :math:`a_{(1)} \le \dots \le a_{(n)}`.
    Parameters, errors and source as in :func:`shift`; in the units of ``a`` and ``b``.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape or a.ndim not in (1, 2) or len(a) == 0:
        raise ValueError(
            f"a and b must both have shape (n,) or (n, units), n > 0, not {a.shape} and {b.shape}"
        )
    return np.abs(np.sort(a, axis=0) - np.sort(b, axis=0)).mean(axis=0)


def shift(a, b):
    r"""How far the distribution of each unit moved between two steps, in spreads.

    .. math:: D = \frac{W_1}{\sqrt{(\sigma_a^2 + \sigma_b^2) / 2}}

    with the distance :math:`W_1` of :func:`wasserstein` and the biased variances.

    Parameters
    ----------
    a, b : array_like, shape (n,) or (n, units)
        What a unit gets for n examples, at one step and at another.

    Returns
    -------
    numpy.ndarray, shape () or (units,)
        A pure number. 0 where the distribution is the same; infinite where both are constant,
        but not the same; NaN where a value is NaN.

    Raises
    ------
    ValueError
        If ``a`` and ``b`` differ in shape, or hold no example.

    Notes
    -----
    Derived in the chapter :doc:`/book/why/covariate-shift`.
    """
    distance, spread = wasserstein(a, b), _spread(np.asarray(a, float), np.asarray(b, float))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distance > 0, distance / spread, distance)


def _spread(a, b):
    return np.sqrt((a.var(axis=0) + b.var(axis=0)) / 2)


def activation_inputs(net, x):
    """What enters each activation of ``net`` when it is given the batch ``x``.

    A batch norm uses the statistics of ``x``, whatever the mode, and its running statistics stay
    as they are: measuring changes nothing.

    Parameters
    ----------
    net : bncourse.nn.Sequential
        Of dense layers, batch norms and activations.
    x : array, shape (n, features)

    Returns
    -------
    list of array, shape (n, units)
        One for each activation, from the bottom to the top.
    """
    inputs = []
    for layer in net.layers:
        if isinstance(layer, nn.BatchNorm):
            x, _ = F.batch_norm_forward(x, layer.gamma, layer.beta, layer.eps)
            continue
        if not isinstance(layer, nn.Dense):
            inputs.append(x)
        x, _ = layer.forward(x)
    return inputs


def run(config, seed):
    """Train one network and measure its shift on the way.

    Parameters
    ----------
    config : dict
        ``data`` (``"digits"`` or ``"mnist"``, made binary); ``norm``, ``std``, ``lr``, ``depth``
        and ``steps`` as in :class:`~bncourse.experiments.two_nets.Config`; ``every``, the steps
        between two measurements.
    seed : int
        Of the initial weights and of the order of the examples.

    Returns
    -------
    dict of numpy.ndarray
        Between one measurement and the next, K of them: ``loss`` (K,), the mean over the steps,
        and ``shift`` (K, depth), of each hidden layer the mean over its units. Over the whole
        run: ``moved`` (depth,), the sum of ``shift``; ``moved_mean`` (depth,), what of it the
        means alone account for; ``moved_absolute`` (depth,), the same in units of the input and
        not in spreads; ``from_start`` (depth,), the shift from the first measurement to the
        last. ``percentiles`` (K + 1, 3) of the first unit of the last hidden layer, and
        ``accuracy`` (), on the whole test set at the end.
    """
    data = {"digits": digits, "mnist": mnist}[config["data"]](binary=True)
    every = checks.integer("every", config["every"], 1)
    shape = {name: config[name] for name in ("norm", "std", "lr", "depth", "steps")}
    net = network(Config(seed=seed, every=every, **shape), data.x_train.shape[1])
    probe = data.x_test[:PROBE]
    history = fit(
        net,
        SGD(net, config["lr"]),
        data.x_train,
        data.y_train,
        config["steps"],
        rng=np.random.default_rng([seed, 1]),
        every=every,
        record=lambda step: activation_inputs(net, probe),
    )
    pairs = list(zip(history, history[1:], strict=False))  # each list: a layer an entry
    moved = np.array([_by_layer(shift, *pair) for pair in pairs])
    edges = zip(history.steps, history.steps[1:], strict=False)
    watched = [np.percentile(inputs[-1][:, 0], PERCENTILES) for inputs in history]
    return {
        "loss": np.array([np.mean(history.losses[a:b]) for a, b in edges]).round(4),
        "shift": moved.round(4),
        "moved": moved.sum(axis=0),
        "moved_mean": sum(_by_layer(_shift_of_means, *pair) for pair in pairs),
        "moved_absolute": sum(_by_layer(wasserstein, *pair) for pair in pairs),
        "from_start": _by_layer(shift, history[0], history[-1]),
        "percentiles": np.array(watched).round(3),
        "accuracy": accuracy(net.eval(), data.x_test, data.y_test),
    }


def _by_layer(measure, before, after):
    """The mean of ``measure`` over the units of each layer."""
    return np.array([measure(a, b).mean() for a, b in zip(before, after, strict=True)])


def _shift_of_means(a, b):
    a, b = np.asarray(a, float), np.asarray(b, float)
    return np.abs(a.mean(axis=0) - b.mean(axis=0)) / _spread(a, b)


def _config(depth, std, lr, norm, data="mnist", steps=5000, every=100):
    return {
        "data": data,
        "depth": depth,
        "std": std,
        "lr": lr,
        "norm": norm,
        "steps": steps,
        "every": every,
    }


EXPERIMENT = Experiment(
    name="covariate-shift",
    title="How far the inputs of hidden units move in training, with and without batch norm",
    run=run,
    configs=tuple(
        _config(depth, std, lr, norm)
        for depth, std in ((3, 0.1), (3, 0.4), (6, 0.4))
        for lr in (0.1, 0.5, 2.0)
        for norm in (False, True)
    ),
    quick=tuple(
        _config(3, 0.4, lr, norm, "digits", 500, 50)
        for lr in (0.1, 0.5, 2.0)
        for norm in (False, True)
    ),
    chapter="why/covariate-shift",
    shows="accuracy",
)

"""What batch norm adds to the time of a training step, by the width of the layers.

The chapter *Why standardize the inputs, and why is that not enough?* tells it.
"""

from time import process_time

import numpy as np

from bncourse.experiments.experiment import Experiment
from bncourse.experiments.inputs_nets import network
from bncourse.optim import SGD
from bncourse.training import train_step


def run(config, seed):
    """Time a step of the same network with and without batch norm, taking turns.

    Parameters
    ----------
    config : dict
        ``width`` of the three hidden layers and of the input; ``batch_size``; ``turns``.
    seed : int
        Of the weights and of the inputs, which are Gaussian.

    Returns
    -------
    dict of float
        ``plain`` and ``norm``, seconds of processor time of the quickest step of each;
        ``overhead``, by what share the second is longer.
    """
    rng = np.random.default_rng(seed)
    width, m = config["width"], config["batch_size"]
    x, labels = rng.standard_normal((m, width), "float32"), rng.integers(0, 10, m)
    nets = [network(norm, width, seed, hidden=width) for norm in (False, True)]
    optimizers = [SGD(net, 1e-3) for net in nets]
    seconds = np.empty((config["turns"], 2))
    for turn in seconds:
        for k, (net, optimizer) in enumerate(zip(nets, optimizers, strict=True)):
            start = process_time()
            train_step(net, optimizer, x, labels)
            turn[k] = process_time() - start
    # Of this process, not of the clock: what else the machine does is left out.
    plain, norm = seconds.min(axis=0)
    return {"plain": plain, "norm": norm, "overhead": norm / plain - 1}


def _grid(widths, turns):
    return [{"width": width, "batch_size": 256, "turns": turns} for width in widths]


EXPERIMENT = Experiment(
    name="inputs-cost",
    title="What batch norm adds to the time of a step, by the width of the layers",
    run=run,
    configs=_grid((64, 256, 1024), 40),
    quick=_grid((64, 256), 20),
    chapter="why/inputs",
    shows="overhead",
)

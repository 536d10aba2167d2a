"""What it costs to normalize a batch: each feature for itself, or by whitening.

The chapter *Why not simply whiten?* shows the ratios.
"""

from time import process_time

import numpy as np

from bncourse.experiments.experiment import Experiment
from bncourse.experiments.whitening_matrices import newton_schulz, zca_matrix

REPEATS = 15


def standardized(x):
    """Each feature of ``x``, shape (m, D), with mean 0 and variance 1: of the order m D."""
    d = x - x.mean(axis=0)
    return d / np.sqrt((d * d).mean(axis=0))


def whitened(x, matrix):
    """``x`` whitened by ``matrix`` of its covariance, a function: of the order m D^2 + D^3."""
    d = x - x.mean(axis=0)
    return d @ matrix(d.T @ d / len(d)).T


def seconds(f, *arguments):
    """Processor time of ``f(*arguments)`` in seconds: the least of ``REPEATS`` tries.

    Other programs can make a try longer, never shorter. Tries of less than 20 ms are repeated, as
    clocks are coarse.
    """
    calls, best = 1, np.inf
    for _ in range(REPEATS):
        while True:
            start = process_time()
            for _ in range(calls):
                f(*arguments)
            spent = process_time() - start
            if spent > 0.02:
                break
            calls *= 2
        best = min(best, spent / calls)
    return best


def run(config, seed):
    """Time the forward pass for random data, in float32.

    Parameters
    ----------
    config : dict
        ``m``, the examples in a batch; ``features``, a list of numbers D; and ``steps`` of the
        iteration.
    seed : int
        Of the data.

    Returns
    -------
    dict of numpy.ndarray, shape (len(features),)
        ``features``, and the processor time in seconds of ``standardized``, of ``whitened`` with
        an eigendecomposition, and of ``iterated``, with the iteration of Newton and Schulz.
    """
    rng = np.random.default_rng(seed)
    times = {"standardized": [], "whitened": [], "iterated": []}
    for features in config["features"]:
        mix = rng.normal(0, features**-0.5, (features, features))
        x = (rng.normal(0, 1, (config["m"], features)) @ mix + 1).astype(np.float32)
        times["standardized"].append(seconds(standardized, x))
        times["whitened"].append(seconds(whitened, x, zca_matrix))
        iterated = seconds(whitened, x, lambda sigma: newton_schulz(sigma, config["steps"]))
        times["iterated"].append(iterated)
    return {"features": config["features"]} | times


def _config(features):
    return {"m": 1024, "features": features, "steps": 5}


EXPERIMENT = Experiment(
    name="whitening-cost",
    title="Processor time of standardizing and of whitening, by the number of features",
    run=run,
    configs=[_config([16, 32, 64, 128, 256, 512])],
    quick=[_config([16, 32, 64])],
    chapter="why/whitening",
    shows="whitened",
)

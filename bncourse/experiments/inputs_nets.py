"""The same network on four ways to write its inputs, plain and with batch norm, at many rates.

The chapter *Why standardize the inputs, and why is that not enough?* tells it.
"""

from functools import lru_cache
from itertools import product

import numpy as np

from bncourse import nn
from bncourse.data import digits, mnist
from bncourse.experiments.experiment import Experiment
from bncourse.experiments.inputs import pixels, rewriting, second_moment
from bncourse.optim import SGD
from bncourse.training import accuracy, batches, train_step

FORMS = ("bytes", "raw", "centered", "standardized")
PROBE = 3000
"""Training images on which the layers are looked at."""


def network(norm, n_in, seed=0, hidden=100, activation=nn.ReLU, dtype="float32"):
    """Three times dense, batch norm if wanted, activation; then ten scores. He's initial spread.

    Parameters
    ----------
    norm : bool
    n_in, hidden : int
        Inputs, and units of each hidden layer.
    seed : int
        Of the weights.
    activation : type
        Of :mod:`bncourse.nn`.
    dtype : str

    Returns
    -------
    bncourse.nn.Sequential
    """
    rng, layers = np.random.default_rng(seed), []
    for _ in range(3):
        layers.append(nn.Dense(n_in, hidden, bias=not norm, rng=rng, dtype=dtype))
        if norm:
            layers.append(nn.BatchNorm(hidden, dtype=dtype))
        layers.append(activation())
        n_in = hidden
    return nn.Sequential(*layers, nn.Dense(hidden, 10, rng=rng, dtype=dtype))


def layers_seen(net, z):
    """What enters the hidden dense layers of ``net``, and what they make of it, on a batch.

    Parameters
    ----------
    net : bncourse.nn.Sequential
        Of :func:`network`.
    z : array, shape (n, inputs)

    Returns
    -------
    dict of numpy.ndarray, shape (3,)
        ``moment``: condition number of the second moment of what enters, with a 1 appended;
        ``covariance``: that of its covariance; ``offset``: root mean square of the means of the
        units that come out of the dense layer, divided by that of their standard deviations.
        NaN where numbers are not finite, infinity where a unit is constant.
    """
    found, h = {"moment": [], "covariance": [], "offset": []}, z
    for layer in net.layers[:-1]:
        if isinstance(layer, nn.Dense):
            inputs = h.astype("float64")
            found["moment"].append(_condition(second_moment(inputs)))
            found["covariance"].append(_condition(_covariance(inputs)))
        h = _statistics_of_the_batch(layer, h) if _is_norm(layer) else layer.forward(h)[0]
        if isinstance(layer, nn.Dense):
            made = h.astype("float64")
            found["offset"].append(np.sqrt((made.mean(0) ** 2).mean() / made.var(0).mean()))
    return {name: np.array(values) for name, values in found.items()}


@lru_cache(maxsize=1)  # runs of one form follow each other
def written(name, form):
    """A data set whose varied pixels are written in a form, with the training set's statistics.

    Parameters
    ----------
    name : str
        ``"digits"`` or ``"mnist"``.
    form : str
        One of ``FORMS``.

    Returns
    -------
    bncourse.data.Dataset
    """
    data = {"digits": digits, "mnist": mnist}[name]()
    kept = pixels(data)
    x, x_test = data.x_train[:, kept], data.x_test[:, kept]
    c, a = rewriting(form, x.astype("float64"))
    z, z_test = (((part - c) * np.diagonal(a)).astype("float32") for part in (x, x_test))
    return data._replace(x_train=z, x_test=z_test)


def run(config, seed):
    """Train one network, and look at its layers before and after.

    Parameters
    ----------
    config : dict
        ``data`` (``"digits"`` or ``"mnist"``), ``form`` (one of ``FORMS``), ``norm``, ``lr``,
        ``activation`` and ``steps``, of 128 images each.
    seed : int
        Of the weights and of the order of the images.

    Returns
    -------
    dict
        ``accuracy`` on the test set, in evaluation mode; ``loss``, mean over the last 50 batches;
        and, each (2, 3), before and after training, the ``moment``, ``covariance`` and ``offset``
        of :func:`layers_seen`.
    """
    z, labels, z_test, labels_test = written(config["data"], config["form"])
    activation = {"relu": nn.ReLU, "tanh": nn.Tanh}[config["activation"]]
    net = network(config["norm"], z.shape[1], seed, activation=activation)
    optimizer, losses = SGD(net, config["lr"]), []
    order = batches(len(z), 128, np.random.default_rng([seed, 1]))
    before = layers_seen(net, z[:PROBE])
    for _ in range(config["steps"]):
        chosen = next(order)
        losses.append(train_step(net, optimizer, z[chosen], labels[chosen]))
    after = layers_seen(net, z[:PROBE])
    return {
        "accuracy": accuracy(net.eval(), z_test, labels_test),
        "loss": np.mean(losses[-50:]),
        **{name: [before[name], after[name]] for name in before},
    }


def _is_norm(layer):
    return isinstance(layer, nn.BatchNorm)


def _statistics_of_the_batch(norm, x):
    """As in training, but the running statistics of ``norm`` stay as they are."""
    return norm.gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + norm.eps) + norm.beta


def _covariance(z):
    d = z - z.mean(axis=0)
    return d.T @ d / len(z)


def _condition(matrix):
    """Largest by smallest eigenvalue of a positive semidefinite matrix."""
    if not np.isfinite(matrix).all():
        return np.nan
    eigenvalues = np.linalg.eigvalsh(matrix)
    # Below this share of the largest, an eigenvalue is rounding: the matrix is singular.
    singular = eigenvalues[0] <= len(matrix) * np.finfo(float).eps * eigenvalues[-1]
    return np.inf if singular else eigenvalues[-1] / eigenvalues[0]


def _grid(data, rates, steps, *more):
    names = ("data", "form", "norm", "lr", "activation", "steps")
    values = [*product([data], FORMS, [False, True], rates, ["relu"], [steps]), *more]
    return [dict(zip(names, chosen, strict=True)) for chosen in values]


EXPERIMENT = Experiment(
    name="inputs-nets",
    title="Input normalization beside batch normalization: four ways to write the inputs, by rate",
    run=run,
    configs=_grid(
        "mnist",
        (1e-3, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0),
        500,
        ("mnist", "standardized", False, 0.1, "tanh", 500),
        ("mnist", "standardized", True, 0.1, "tanh", 500),
    ),
    quick=_grid("digits", (0.01, 0.1, 1.0), 200),
    chapter="why/inputs",
    shows="accuracy",
)

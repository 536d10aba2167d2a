"""How large a signal is in each layer of a deep net, and the gradient on its way back.

Both before any training. The chapter *What happens to a signal, and to a gradient, on the way
through a deep net?* tells it.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from bncourse import checks, nn
from bncourse.data import digits, mnist
from bncourse.experiments.experiment import Experiment

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
EXAMPLES = 500
"""Images that :func:`run` sends through the network: the first ones that the data set gives."""


class Profile(NamedTuple):
    """What :func:`profile` measures, from the input (layer 0) to the last layer.

    Attributes
    ----------
    size : numpy.ndarray, shape (depth + 1,)
        Root of the mean square of what leaves each layer, over its units and the examples.
    spread : numpy.ndarray, shape (depth + 1,)
        The same of how far each value is from its unit's mean over the examples: what tells the
        examples apart.
    gradient : numpy.ndarray, shape (depth + 1,)
        Root of the mean square of the gradient that arrives at what leaves each layer.
    """

    size: np.ndarray
    spread: np.ndarray
    gradient: np.ndarray


def layers(widths, gain=2.0, activation="relu", norm=False, rng=0, dtype="float64"):
    r"""Hidden layers with weights of variance ``gain / n_in``, as a list of lists of modules.

    Parameters
    ----------
    widths : sequence of int
        Features of the input, and units of each layer.
    gain : float
        2 is the rule of He et al. (2015); for layers of equal width, 1 is that of Glorot and
        Bengio (2010).
    activation : {"relu", "sigmoid", "tanh"}
    norm : bool
        Whether there is a batch norm before each activation. Then the layers have no bias;
        otherwise it starts at 0.
    rng : numpy.random.Generator or int
        Source of the weights, or a seed.
    dtype : str
        Of the parameters.

    Returns
    -------
    list of list of bncourse.nn.Module
        For each layer: dense, batch norm if wanted, activation.

    Raises
    ------
    TypeError, ValueError
        If a number is not what it must be, or there is no such activation.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {activation!r}")
    if len(widths) < 2:
        raise ValueError(f"widths must hold those of the input and of a layer, not {widths!r}")
    checks.number("gain", gain, 0)
    rng = np.random.default_rng(rng)
    made = []
    for n_in, n_out in zip(widths[:-1], widths[1:], strict=True):
        layer = [nn.Dense(n_in, n_out, not norm, (gain / n_in) ** 0.5, rng, dtype)]
        if norm:
            layer.append(nn.BatchNorm(n_out, dtype=dtype))
        made.append([*layer, ACTIVATIONS[activation]()])
    return made


def profile(layers, x, dy):
    """Send ``x`` up through ``layers`` and ``dy`` back down; measure in front of and after each.

    Parameters
    ----------
    layers : list of list of bncourse.nn.Module
        As :func:`layers` makes them. Gradients of their parameters are added to ``grads``.
    x : array, shape (N, features)
    dy : array, shape (N, units)
        What comes back to the top: the gradient of what leaves the last layer.

    Returns
    -------
    Profile

    Notes
    -----
    Derived in the chapter :doc:`/book/why/depth`.
    """
    h, caches = x, []
    size, spread, gradient = [_rms(h)], [_rms(h - h.mean(axis=0))], [_rms(dy)]
    for layer in layers:
        chain = nn.Sequential(*layer)
        h, cache = chain.forward(h)
        caches.append((chain, cache))
        size.append(_rms(h))
        spread.append(_rms(h - h.mean(axis=0)))
    for chain, cache in reversed(caches):
        dy = chain.backward(dy, cache)
        gradient.append(_rms(dy))
    return Profile(np.array(size), np.array(spread), np.array(gradient[::-1]))


def standardized(x, reference=None):
    """``x`` with one mean subtracted and divided by one spread: those of all of ``reference``."""
    reference = x if reference is None else reference
    return (x - reference.mean()) / reference.std()


def run(config, seed):
    """The profile of one network, for images, and for random numbers that are sent back.

    Parameters
    ----------
    config : dict
        ``data`` (``"digits"`` or ``"mnist"``), ``width`` and ``depth``; ``activation``, ``gain``
        and ``norm`` as in :func:`layers`.
    seed : int
        Of the weights and of what is sent back: independent standard normal numbers.

    Returns
    -------
    dict of numpy.ndarray
        The series of :class:`Profile`.
    """
    rng = np.random.default_rng(seed)
    x = _images(config["data"])
    widths = [x.shape[1]] + [config["width"]] * config["depth"]
    net = layers(widths, config["gain"], config["activation"], config["norm"], rng)
    dy = rng.standard_normal((len(x), config["width"]))
    return profile(net, x, dy)._asdict()


@cache
def _images(name):
    data = digits(dtype="float64") if name == "digits" else mnist(EXAMPLES, dtype="float64")
    return standardized(data.x_train[:EXAMPLES])


def _rms(a):
    return np.sqrt(np.mean(a * a))


def _grid(data):
    chosen = [("relu", norm, gain, 100) for norm in (False, True) for gain in (1, 2, 4)]
    chosen += [("relu", norm, 2, width) for norm in (False, True) for width in (25, 400)]
    chosen += [("relu", True, 10.0**power, 100) for power in (-6, -5, -4, -3, -2, 4)]
    chosen += [("tanh", False, gain, 400) for gain in (1, 25)]
    chosen += [("sigmoid", False, gain, 400) for gain in (1, 16)]
    names = ("activation", "norm", "gain", "width")
    return [
        {"data": data, "depth": 30, **dict(zip(names, values, strict=True))} for values in chosen
    ]


EXPERIMENT = Experiment(
    name="depth",
    title="Size of signal and gradient in 30 layers, by activation, weights, width and batch norm",
    run=run,
    configs=_grid("mnist"),
    seeds=tuple(range(8)),
    quick=_grid("digits"),
    chapter="why/depth",
    shows="size",
)

"""Small convolutional nets: batch norm by map, by position, or none; rates, and shifted images.

The chapter *Why does a whole feature map share one gamma?* tells it.
"""

from functools import cache

import numpy as np

from bncourse import checks, nn
from bncourse.data import digits, mnist
from bncourse.experiments.experiment import Experiment
from bncourse.optim import SGD, schedules
from bncourse.training import accuracy, fit

DATA = {"digits": digits, "mnist": mnist}
SHIFTS = (0, 1, 2, 3, 4)
"""Pixels that the test images are moved to the right."""
LAYERS = ((8, 2), (16, 2), (32, 1))
"""Maps and stride of each convolution."""


def network(norm, side, seed):
    """Three convolutions of 3 x 3, each normalized and rectified; the mean of each map; dense.

    Parameters
    ----------
    norm : {"none", "maps", "positions"}
        One mean, variance, gamma and beta a map; or one at each position of each map.
    side : int
        Height and width of the images.
    seed : int
        Of the weights.
    """
    rng = np.random.default_rng(seed)
    layers, n_in = [], 1
    for n_out, stride in LAYERS:
        side = (side - 1) // stride + 1
        layers.append(nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=norm == "none", rng=rng))
        layers += [*_norms(norm, n_out, side), nn.ReLU()]
        n_in = n_out
    return nn.Sequential(*layers, nn.GlobalAvgPool2d(), nn.Dense(n_in, 10, rng=rng))


def _norms(norm, channels, side):
    if norm == "maps":
        return [nn.BatchNorm(channels)]
    if norm == "positions":
        return [nn.BatchNorm((channels, side, side), axis=(1, 2, 3))]
    return []


def shifted(images, pixels):
    """Images moved to the right; what leaves them is lost, and paper comes in from the left."""
    pixels = checks.integer("pixels", pixels, 0)
    moved = np.zeros_like(images)
    moved[..., pixels:] = images[..., : images.shape[-1] - pixels]
    return moved


def worth(maps):
    r"""How many independent values an image counts for, in the mean of each map.

    .. math:: \sigma^2 / \operatorname{Var}(a)

    with the variance of all values of the map, over that of an image's mean :math:`a`. It would be
    H W, were the values of an image independent and alike. ``maps`` has shape (N, C, H, W), the
    result (C,); it is NaN for a constant map.
    """
    maps = np.asarray(maps, dtype="float64")
    with np.errstate(invalid="ignore", divide="ignore"):
        return maps.var(axis=(0, 2, 3)) / maps.mean(axis=(2, 3)).var(axis=0)


def run(config, seed):
    """Train one network by plain SGD on batches of 100, then move its test images.

    The learning rate falls to zero along a cosine: at a steady one the last steps decide.

    Parameters
    ----------
    config : dict
        ``data`` (``"digits"`` or ``"mnist"``), ``norm`` as in :func:`network`, ``lr``
        at the start, ``steps``.
    seed : int
        Of weights and order.

    Returns
    -------
    dict of numpy.ndarray
        ``steps`` (K,) and ``accuracy`` (K,) on the test set, in evaluation; ``shifts`` (S,) and
        the accuracy after the last step on the test set moved so far, ``moved`` (S,); and
        ``worth1`` to ``worth3``, that of the maps that each convolution puts out.
    """
    data = _images(config["data"])
    x, labels = data.x_test, data.y_test
    net = network(config["norm"], x.shape[-1], seed)
    steps = config["steps"]
    rows = fit(
        net,
        SGD(net, schedules.cosine(config["lr"], steps)),
        data.x_train,
        data.y_train,
        steps,
        100,
        np.random.default_rng([seed, 1]),  # not the numbers that the weights used up
        max(steps // 4, 1),
        lambda step: (step, accuracy(net, x, labels)),
    )
    at, right = zip(*rows, strict=True)
    net.eval()
    moved = [accuracy(net, shifted(x, pixels), labels) for pixels in SHIFTS]
    counts = {f"worth{i}": worth(maps) for i, maps in enumerate(_maps(net, x[:1000]), start=1)}
    return {
        "steps": np.array(at),
        "accuracy": np.array(right),
        "shifts": np.array(SHIFTS),
        "moved": np.array(moved),
    } | counts


def _maps(net, x):
    """What each convolution puts out."""
    for layer in net.layers:
        x, _ = layer.forward(x)
        if isinstance(layer, nn.Conv2d):
            yield x


@cache
def _images(name):
    return DATA[name](images=True) if name == "digits" else DATA[name](n_test=4000, images=True)


def _grid(data, steps, rates):
    return [
        {"data": data, "norm": norm, "lr": lr, "steps": steps}
        for norm, chosen in rates.items()
        for lr in chosen
    ]


EXPERIMENT = Experiment(
    name="convolution",
    title="Convolutional nets with batch norm by map, by position, or none; images that move",
    run=run,
    configs=_grid(
        "mnist",
        600,
        {
            "none": (0.1, 0.3, 1.0, 3.0),
            "maps": (0.1, 0.3, 1.0, 3.0, 10.0),
            "positions": (1.0, 3.0),
        },
    ),
    quick=_grid("digits", 300, {"none": (1.0, 3.0), "maps": (1.0, 3.0), "positions": (3.0,)}),
    chapter="transform/convolution",
    shows="accuracy",
)

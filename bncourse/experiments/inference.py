"""One network, and several memories of its batches: what each is worth in evaluation.

Running statistics have no say in training, so that one run serves all memories. The chapter *What
do you normalize with when there is only one example?* compares them.
"""

import copy
from functools import cache

import numpy as np

from bncourse import nn
from bncourse.data import digits, mnist
from bncourse.experiments.depth import standardized
from bncourse.experiments.experiment import Experiment
from bncourse.functional import softmax_cross_entropy_forward
from bncourse.optim import SGD
from bncourse.training import batches, train_step

MOMENTA = {"default": 0.1, "slow": 0.01, "reversed": 0.99, "cumulative": None}
"""Weight of the new batch in each average that is kept; ``None`` for the plain average."""

DERIVED = {"biased": "default", "no start": "slow"}
"""Memories that are worked out from another: without m / (m - 1), and without the start."""


class Remembering(nn.BatchNorm):
    """A batch norm that keeps all averages of :data:`MOMENTA` at once."""

    def __init__(self, features):
        super().__init__(features)
        start = np.zeros(features), np.ones(features)
        self.memories = dict.fromkeys(MOMENTA, start)

    def forward(self, x, mask=None):
        """As a batch norm does, and in training all averages move."""
        y, cached = super().forward(x, mask)
        if self.training:
            self.count = cached.moments.count
            batch = cached.moments.mean.reshape(-1), cached.moments.var_unbiased.reshape(-1)
            for name, momentum in MOMENTA.items():
                a = 1 / self.num_batches_tracked if momentum is None else momentum
                pairs = zip(self.memories[name], batch, strict=True)
                self.memories[name] = tuple((1 - a) * old + a * new for old, new in pairs)
        return y, cached

    def use(self, name):
        """Evaluate with the memory ``name``, a key of :data:`MOMENTA` or of :data:`DERIVED`."""
        mean, var = self.memories[DERIVED.get(name, name)]
        if name == "biased":
            var = var * (self.count - 1) / self.count
        if name == "no start":
            left = (1 - MOMENTA["slow"]) ** self.num_batches_tracked
            mean, var = mean / (1 - left), (var - left) / (1 - left)
        self.running_mean, self.running_var = mean.astype("float32"), var.astype("float32")


def network(n_in, seed, width=100, depth=3):
    """``depth`` times dense without a bias, :class:`Remembering`, rectifier; then ten scores."""
    rng, layers = np.random.default_rng(seed), []
    for _ in range(depth):
        layers += [nn.Dense(n_in, width, bias=False, rng=rng), Remembering(width), nn.ReLU()]
        n_in = width
    return nn.Sequential(*layers, nn.Dense(n_in, 10, rng=rng))


def norms(net):
    """The batch norms of ``net``, from the first to the last."""
    return [layer for layer in net.layers if isinstance(layer, Remembering)]


def judge(net, x, labels, size=None):
    """Accuracy from 0 to 1 and mean loss in nats, in batches of ``size``, in the present mode."""
    size = size or len(x)
    cuts = range(0, len(x) - size + 1, size)
    scores = np.concatenate([net.forward(x[k : k + size])[0] for k in cuts])
    labels = labels[: len(scores)]
    loss, _ = softmax_cross_entropy_forward(scores, labels)
    return (scores.argmax(axis=1) == labels).mean(), loss


def algorithm_2(net, pool, size):
    """``net`` with means over batches in training mode, the weights at rest, up to 1000 of them."""
    for layer in norms(net):
        layer.num_batches_tracked = 0
    net.train()
    for k in range(min(1000, len(pool) // size)):
        net.forward(pool[k * size : (k + 1) * size])
    for layer in norms(net):
        layer.use("cumulative")
    return net.eval()


def run(config, seed):
    """Train one network by plain SGD, and evaluate it with each memory.

    Parameters
    ----------
    config : dict
        ``data`` (``"digits"`` or ``"mnist"``); ``batch_size``; ``examples``, how many it is
        trained on; ``lr_per_example``, the rate divided by the batch size; ``pool``, how many
        training examples population statistics are taken of; ``points``, how often it is
        measured.
    seed : int
        Of the initial weights and of the order of the examples.

    Returns
    -------
    dict of numpy.ndarray
        ``steps``, shape (K,), evenly spaced in their logarithm, and ``"NAME accuracy"`` and
        ``"NAME loss"`` on the test set, shape (K,), for each NAME in :data:`MOMENTA`, in
        :data:`DERIVED`, and for ``"precise"`` (:func:`bncourse.nn.precise`). At the end also, as
        numbers, for ``"algorithm 2"``, and for ``"batch"``: in training mode, the test set in
        batches as large as those of training.
    """
    x, labels, x_test, labels_test = _images(config["data"])
    size = config["batch_size"]
    net, rng = network(x.shape[1], seed), np.random.default_rng([seed, 1])
    pool = x[rng.permutation(len(x))[: config["pool"]]]
    optimizer, order = SGD(net, config["lr_per_example"] * size), batches(len(x), size, rng)
    steps = config["examples"] // size
    at = np.unique(np.geomspace(1, steps, config["points"]).round().astype(int))
    rows = []
    for step in range(1, steps + 1):
        chosen = next(order)
        train_step(net.train(), optimizer, x[chosen], labels[chosen])
        if step in at:
            rows.append(_judged(net.eval(), pool, x_test, labels_test))
    series = {"steps": at} | {name: [row[name] for row in rows] for name in rows[0]}
    frozen = algorithm_2(copy.deepcopy(net), pool, size)
    series |= _named("algorithm 2", judge(frozen, x_test, labels_test))
    return series | _named("batch", judge(net.train(), x_test, labels_test, size))


def _judged(net, pool, x, labels):
    """A row of the series: the network, which is in evaluation mode, with each memory."""
    row = {}
    for name in (*MOMENTA, *DERIVED):
        for layer in norms(net):
            layer.use(name)
        row |= _named(name, judge(net, x, labels))
    return row | _named("precise", judge(nn.precise(copy.deepcopy(net), [pool]), x, labels))


def _named(name, judged):
    return {f"{name} accuracy": float(judged[0]), f"{name} loss": float(judged[1])}


@cache
def _images(name):
    data = {"digits": digits, "mnist": mnist}[name]()
    x_test = standardized(data.x_test, data.x_train)
    return standardized(data.x_train), data.y_train, x_test, data.y_test


def _grid(data, points, examples, pool):
    """One config for each batch size in ``points``, which says how often it is measured."""
    shape = {"data": data, "examples": examples, "pool": pool, "lr_per_example": 0.003}
    return [shape | {"batch_size": size, "points": often} for size, often in points.items()]


EXPERIMENT = Experiment(
    name="inference",
    title="One network evaluated with several memories of its batches, by batch size",
    run=run,
    configs=_grid("mnist", {2: 2, 4: 2, 8: 2, 32: 14, 128: 2}, 60_000, 5000),
    seeds=(0, 1, 2, 3, 4),
    quick=_grid("digits", {4: 2, 32: 8}, 6000, 1000),
    chapter="transform/inference",
    shows="default accuracy",
)

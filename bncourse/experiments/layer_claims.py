"""Live checks of what is said about the layer: evidence for ``book/claims.yml``.

Each function measures, in a second, and returns whether the verdict of the chapter *What must a
layer remember, and when?* holds.
"""

import numpy as np

from bncourse import functional as F
from bncourse import nn
from bncourse.data import digits
from bncourse.experiments.layer import block
from bncourse.optim import SGD, Adam
from bncourse.training import accuracy, batches, fit


def _network(dtype="float64"):
    rng, layers = np.random.default_rng(0), []
    for n_in in (64, 32):
        dense = nn.Dense(n_in, 32, rng=rng, dtype=dtype)
        dense.b += 1
        layers += [dense, nn.BatchNorm(32, dtype=dtype), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dense(32, 10, rng=rng, dtype=dtype))


def a_bias_before_it_does_nothing_in_training():
    """Neither output nor gradient: equal outputs with b and without, a gradient of rounding."""
    rng = np.random.default_rng(0)
    u, dy = rng.normal(0, 1, (60, 8)), rng.normal(1, 1, (60, 5))
    dense, norm = nn.Dense(8, 5, rng=rng, dtype="float64"), nn.BatchNorm(5, dtype="float64")
    net, outputs = nn.Sequential(dense, norm), []
    for b in (0.0, 3.0):
        dense.b[:] = b
        y, cache = net.forward(u)
        outputs.append(y)
    net.backward(dy, cache)
    small = np.abs(dense.grads["b"]).max() < 1e-12 < np.abs(dense.grads["w"]).max()
    return bool(np.allclose(*outputs, atol=1e-12) and small)


def a_frozen_norm_has_use_for_the_bias():
    """In evaluation its gradient is that of any bias, and not zero."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(0, 1, (60, 5)), rng.normal(1, 1, (60, 5))
    y, cache = F.batch_norm_inference_forward(x, None, None, np.zeros(5), np.ones(5))
    return bool(np.abs(F.batch_norm_inference_backward(dy, cache)[0].sum(axis=0)).min() > 1)


def the_useless_bias_moves_all_the_same():
    """In float32: not by SGD, by the decay as predicted, and by Adam from rounding alone."""
    x, labels = digits().x_train, digits().y_train
    moved = {}
    for name, optimizer in (
        ("SGD", lambda net: SGD(net, 0.1)),
        ("decay", lambda net: SGD(net, 0.1, weight_decay=0.01)),
        ("Adam", lambda net: Adam(net, 1e-3)),
    ):
        net = _network("float32")
        fit(net, optimizer(net), x, labels, 200)
        moved[name] = np.abs(net[0].b - 1)
    predicted = np.abs(moved["decay"] - (1 - 0.999**200)).max() < 1e-4
    return bool(moved["SGD"].max() == 0 and predicted and moved["Adam"].max() > 1e-3)


def looking_alone_changes_evaluation():
    """Forward passes in training mode, without a gradient: the running statistics move."""
    data, net = digits(dtype="float64"), _network()
    fit(net, SGD(net, 0.3), data.x_train, data.y_train, 200)
    net.eval()
    good = accuracy(net, data.x_test, data.y_test)
    for k in (0, 3):
        net[k].b += 10
    bad, order = accuracy(net, data.x_test, data.y_test), batches(len(data.x_train), 60, 0)
    net.train()
    for _ in range(80):
        net.forward(data.x_train[next(order)])
    net.eval()
    return bool(good > 0.9 and bad < 0.3 and accuracy(net, data.x_test, data.y_test) > 0.9)


def what_each_order_does_not_notice():
    """Ten times the weights: unseen by a norm before g, and by one after ReLU, not after sigmoid.

    A shift of the bias is unseen by a norm before g only.
    """
    u, seen = np.random.default_rng(1).normal(0, 1, (60, 20)), {}
    for order, activation in (("before", "sigmoid"), ("after", "relu"), ("after", "sigmoid")):
        parts = block(order, activation, 1, 20, 8, np.random.default_rng(0))
        net, outputs = nn.Sequential(*parts), []
        for factor, shift in ((1, 0), (10, 0), (1, 2)):
            dense = nn.Dense(20, 8)
            dense.w[:], dense.b[:] = factor * parts[0].w, shift
            outputs.append(nn.Sequential(dense, *net.layers[1:]).forward(u)[0])
        seen[order, activation] = [not np.allclose(outputs[0], o, atol=1e-3) for o in outputs[1:]]
    return seen == {
        ("before", "sigmoid"): [False, False],
        ("after", "relu"): [False, True],
        ("after", "sigmoid"): [True, True],
    }

"""Live checks of what is said about input normalization beside batch normalization.

Evidence for ``book/claims.yml``: each function measures, in seconds, and returns whether the
verdict of the chapter *Why standardize the inputs, and why is that not enough?* holds.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from bncourse.data import digits
from bncourse.experiments.inputs import pixels, rewriting, second_moment
from bncourse.experiments.inputs_nets import network
from bncourse.optim import SGD
from bncourse.training import accuracy, batches, train_step


def losses(x, labels, norm, lr=0.1, steps=60, seed=0):
    """Training losses of the chapter's network on inputs ``x``, in float64 (numpy.ndarray)."""
    net = network(norm, x.shape[1], seed, hidden=30, dtype="float64")
    optimizer, order = SGD(net, lr), batches(len(x), 100, seed)
    found = []
    with threadpool_limits(1):  # small matrices: threads would wait for one another
        for _ in range(steps):
            chosen = next(order)
            found.append(train_step(net, optimizer, x[chosen], labels[chosen]))
    return np.array(found)


def a_shift_of_the_inputs_is_forgotten():
    """Batch norm behind the first layer: the same losses whatever is added to each pixel."""
    data = digits(dtype="float64")
    x, labels = data.x_train, data.y_train
    moved = x + np.random.default_rng(0).normal(0, 1, x.shape[1])
    same = np.abs(losses(x, labels, True) / losses(moved, labels, True) - 1).max()
    other = np.abs(losses(x, labels, False) / losses(moved, labels, False) - 1).max()
    return bool(same < 1e-6 and other > 0.1)


def a_scale_of_a_single_pixel_is_not():
    """Batch norm behind the first layer: dividing each pixel by its own spread still matters."""
    data = digits(dtype="float64")
    x, labels = data.x_train[:, pixels(data)], data.y_train
    each = losses(x / x.std(axis=0), labels, True)
    return bool(np.abs(each / losses(x, labels, True) - 1).max() > 0.05)


def the_largest_rate_depends_on_the_inputs():
    """Of a linear model: 2 by the largest eigenvalue, more than 10 times as large once centered."""
    data = digits(dtype="float64")
    x = data.x_train[:, pixels(data)]
    largest = {}
    for form in ("bytes", "raw", "centered"):
        c, a = rewriting(form, x)
        largest[form] = np.linalg.eigvalsh(second_moment((x - c) @ a))[-1]
    return bool(
        largest["raw"] > 10 * largest["centered"] and largest["bytes"] > 5e4 * largest["raw"]
    )


def inputs_are_standardized_at_inference_too():
    """A net that learned from standardized digits loses 20 points on digits that are not."""
    data = digits(dtype="float64")
    kept = pixels(data)
    c, a = rewriting("standardized", data.x_train[:, kept])
    z, z_test = ((x[:, kept] - c) @ a for x in (data.x_train, data.x_test))
    net = network(False, z.shape[1], hidden=30, dtype="float64")
    optimizer, order = SGD(net, 0.1), batches(len(z), 100, 0)
    with threadpool_limits(1):
        for _ in range(200):
            chosen = next(order)
            train_step(net, optimizer, z[chosen], data.y_train[chosen])
    right = accuracy(net.eval(), z_test, data.y_test)
    return bool(right > 0.9 and accuracy(net, data.x_test[:, kept], data.y_test) < right - 0.2)


def the_table_has_the_root_of_the_condition_number():
    """Of raw digits: that of the table is the root of that of its second moment, which rules."""
    data = digits(dtype="float64")
    x = data.x_train[:, pixels(data)]
    with_one = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    of_the_moment = np.linalg.cond(second_moment(x))
    return bool(np.isclose(np.linalg.cond(with_one), np.sqrt(of_the_moment)))


CHECKS = (
    a_shift_of_the_inputs_is_forgotten,
    a_scale_of_a_single_pixel_is_not,
    the_largest_rate_depends_on_the_inputs,
    inputs_are_standardized_at_inference_too,
    the_table_has_the_root_of_the_condition_number,
)

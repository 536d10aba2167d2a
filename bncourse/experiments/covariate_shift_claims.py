"""Live checks of what is said about internal covariate shift: evidence for ``book/claims.yml``.

Each function measures on the digits, in seconds, and returns whether the course's verdict holds.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from bncourse import nn
from bncourse.data import digits
from bncourse.experiments.covariate_shift import activation_inputs, shift
from bncourse.experiments.two_nets import Config, network
from bncourse.optim import SGD
from bncourse.training import fit

one_thread = threadpool_limits.wrap(limits=1, user_api="blas")  # the matrices are small


@one_thread
def frozen_weights_do_not_shift():
    """Random starts, with and without batch norm, at rate 0: the shift on a probe is 0, exactly.

    Two batches of 60 show one all the same, and larger ones a smaller one.
    """
    data = digits(binary=True)
    for norm in (False, True):
        for seed in range(2):
            net = network(Config(norm, std=0.4, seed=seed))
            first, last = _trained(net, 0.0, 20, data, seed)
            if shift(first, last).max() > 0:
                return False
            small, large = (_between_batches(net, data.x_train, m) for m in (60, 600))
            if not (small > 0.1 and 2.5 < small / large < 4):  # the root of 10 is 3.2
                return False
    return True


@one_thread
def test_images_are_no_shift():
    """Training and test images differ by as much as two halves of the former; steps do by more."""
    data = digits(binary=True)
    for seed in range(2):
        net = network(Config(norm=False, std=0.4, seed=seed))
        start, end = _trained(net, 0.5, 300, data, seed)
        train, others = (_last(net, x) for x in np.split(data.x_train[: 2 * len(end)], 2))
        halves, test = shift(train, others).mean(), shift(train, end).mean()
        if not (test < 1.3 * halves and 10 * test < shift(start, end).mean()):
            return False
    return True


@one_thread
def learned_scale_and_shift_add_to_it():
    """With gamma and beta held at 1 and 0 the layers shift less, and the loss ends higher."""
    data = digits(binary=True)
    for seed in range(2):
        learned, held = (_moved_and_loss(affine, data, seed) for affine in (True, False))
        if not (learned[0] > held[0] and learned[1] < held[1]):
            return False
    return True


@one_thread
def only_x_hat_is_fixed():
    """After training, means and variances of y are not 0 and 1, those of x_hat still are."""
    data = digits(binary=True)
    net = network(Config(norm=True, std=0.4))
    _, y = _trained(net, 2.0, 300, data, 0)
    x_hat = (y - net[7].beta) / net[7].gamma
    off = [
        np.median(np.abs(v.mean(axis=0))) + np.median(np.abs(v.var(axis=0) - 1)) for v in (y, x_hat)
    ]
    return bool(off[0] > 0.3 and off[1] < 1e-2)


@one_thread
def changing_batches_flatter_batch_norm():
    """Frozen, through batches of 60, the plain net seems to shift more than the normalized one."""
    x = digits(binary=True).x_train
    seen = [_between_batches(network(Config(norm, std=0.4)), x, 60) for norm in (False, True)]
    return bool(seen[0] > 1.3 * seen[1] > 0.1)


def _last(net, x):
    return activation_inputs(net, x)[-1]


def _trained(net, lr, steps, data, seed):
    """What enters the last hidden layer for the test images, before and after."""
    start = _last(net, data.x_test)
    fit(net, SGD(net, lr), data.x_train, data.y_train, steps, rng=seed)
    return start, _last(net, data.x_test)


def _between_batches(net, x, m, draws=20):
    rng = np.random.default_rng(m)
    pairs = (x[rng.integers(0, len(x), (2, m))] for _ in range(draws))
    return np.mean([shift(*(_last(net, batch) for batch in pair)).mean() for pair in pairs])


def _moved_and_loss(affine, data, seed):
    rng, layers = np.random.default_rng(seed), []
    for n_in in (64, 100, 100):
        norm = nn.BatchNorm(100, affine=affine)
        layers += [nn.Dense(n_in, 100, False, 0.4, rng), norm, nn.Sigmoid()]
    net = nn.Sequential(*layers, nn.Dense(100, 10, std=0.4, rng=rng))
    run = fit(
        net,
        SGD(net, 0.5),
        data.x_train,
        data.y_train,
        200,
        rng=seed,
        every=20,
        record=lambda step: _last(net, data.x_test),
    )
    moved = sum(shift(a, b).mean() for a, b in zip(run, run[1:], strict=False))
    return moved, np.mean(run.losses[-50:])

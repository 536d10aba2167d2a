"""The training loop: batches, one step, many steps, and the accuracy that comes out."""

import numpy as np
from tqdm.auto import tqdm

from bncourse import arrays, checks
from bncourse import functional as F


def batches(n, size, rng):
    """Endless batches of indices into ``n`` examples, shuffled anew for each epoch.

    Parameters
    ----------
    n, size : int
        Examples in all, and in each batch. A last, smaller batch of an epoch is left out.
    rng : numpy.random.Generator or int
        Source of the order, or a seed.

    Yields
    ------
    numpy.ndarray of int, shape (size,)

    Raises
    ------
    TypeError, ValueError
        At once, if ``n`` or ``size`` is not a whole number, or ``size`` does not lie in 1 to n.
    """
    n, size = checks.integer("n", n, 1), checks.integer("size", size, 1)
    if size > n:
        raise ValueError(f"size of a batch must lie in 1 to {n}, the number of examples: {size}")
    return _batches(n, size, np.random.default_rng(rng))


def _batches(n, size, rng):
    while True:
        order = rng.permutation(n)
        for start in range(0, n - size + 1, size):
            yield order[start : start + size]


def train_step(net, optimizer, x, labels):
    """One step of training on one batch; returns the loss before the step, as a float.

    ``net`` and ``optimizer`` as in :func:`fit`; ``x`` and ``labels`` are the examples of the
    batch and their classes. Whatever is wrong with them is told before a parameter changes.
    """
    logits, cache = net.forward(x)
    loss, loss_cache = F.softmax_cross_entropy_forward(logits, labels)
    net.zero_grad()
    net.backward(F.softmax_cross_entropy_backward(loss_cache), cache)
    optimizer.step()
    return float(loss)


def fit(net, optimizer, x, labels, steps, batch_size=60, rng=0, every=0, record=None, progress=""):
    """Train for a number of steps.

    Parameters
    ----------
    net : bncourse.nn.Module
        Changed in place, and left in training mode.
    optimizer : bncourse.optim.SGD
        An optimizer of ``net``.
    x, labels : array
        Training examples, along the first axis, and their classes.
    steps, batch_size : int
        How many batches, and of how many examples.
    rng : numpy.random.Generator or int
        Order of the examples.
    every : int, optional
        Call ``record(step)`` before the first step, then after each ``every`` steps and at the
        end, the network being in evaluation mode.
    record : callable, optional
        Takes the number of steps done; what it returns is collected.
    progress : str, optional
        Label of a progress bar; none is shown without it.

    Returns
    -------
    list
        What ``record`` returned, in order. A loss that is NaN or infinite does not stop
        training: a divergence is a result too.

    Raises
    ------
    TypeError, ValueError
        If ``x`` and ``labels`` do not fit each other, a number is not what it must be, or
        ``record`` is given without ``every``.
    """
    xp = _check_examples(x, labels)
    steps, every = checks.integer("steps", steps), checks.integer("every", every)
    if record is not None and every == 0:
        raise ValueError("every must be at least 1 for record to be called, not 0")
    device = arrays.compat.device(x)
    order = batches(x.shape[0], batch_size, rng)
    records = []

    def note(step):
        if record is not None and (step % every == 0 or step == steps):
            net.eval()
            records.append(record(step))
            net.train()

    net.train()
    note(0)
    for step in tqdm(range(1, steps + 1), desc=progress, disable=not progress, leave=False):
        chosen = xp.asarray(next(order), device=device)
        train_step(net, optimizer, xp.take(x, chosen, axis=0), xp.take(labels, chosen, axis=0))
        note(step)
    return records


def accuracy(net, x, labels):
    """Share of examples that ``net`` gets right, in its present mode, as a float from 0 to 1.

    Use ``net.eval()`` first: in training mode a batch norm would judge each example by the
    company it is in. ``x`` and ``labels`` as in :func:`fit`; no example is a ``ValueError``.
    """
    xp = _check_examples(x, labels)
    if x.shape[0] == 0:
        raise ValueError("x must hold at least one example, not 0")
    logits, _ = net.forward(x)
    right = xp.argmax(logits, axis=1) == labels
    return float(xp.mean(xp.astype(right, xp.float32)))


def _check_examples(x, labels):
    """Library of ``x`` and ``labels``, after a look at whether there is one label an example."""
    arrays.check_real("x", x)
    arrays.namespace(labels=labels)
    xp = arrays.namespace(x=x, labels=labels)
    if x.ndim < 1 or tuple(labels.shape) != (x.shape[0],):
        raise ValueError(
            f"labels must have one entry an example, but x has shape {tuple(x.shape)} and labels "
            f"{tuple(labels.shape)}"
        )
    return xp

"""The training loop: batches, many steps, and the accuracy that comes out."""

import numpy as np

from bncourse import arrays, checks
from bncourse.optim.schedules import _text
from bncourse.training.history import History
from bncourse.training.interrupts import WholeSteps
from bncourse.training.order import Batches
from bncourse.training.progress import Progress
from bncourse.training.runs import Run
from bncourse.training.step import CROSS_ENTROPY, Step


def batches(n, size, rng):
    """Endless batches of indices into ``n`` examples, shuffled anew for each epoch.

    Parameters
    ----------
    n, size : int
        Examples in all, and in each batch. A last, smaller batch of an epoch is left out.
    rng : numpy.random.Generator or int
        Source of the order, or a seed.

    Returns
    -------
    bncourse.training.Batches
        An iterator of integer arrays of shape (size,).

    Raises
    ------
    TypeError, ValueError
        At once, if ``n`` or ``size`` is not a whole number, or ``size`` does not lie in 1 to n.
    """
    return Batches(n, size, rng)


def fit(
    net,
    optimizer,
    x,
    labels,
    steps,
    batch_size=60,
    rng=0,
    every=0,
    record=None,
    progress="",
    *,
    loss=CROSS_ENTROPY,
    checkpoint=None,
):
    """Train for a number of steps, each a :class:`Step`.

    The same seeds on the same machine give the same bits; so does a run that was killed and is
    started again with a ``checkpoint``.

    Parameters
    ----------
    net : bncourse.nn.Module
        Changed in place, and left in training mode.
    optimizer : bncourse.optim.Optimizer
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
        Takes the number of steps done, and evaluates what you like; what it returns is collected.
    progress : str, optional
        Label of a progress bar, or of plain lines where nobody watches; none without it.
    loss : tuple of two functions, optional
        ``value, cache = forward(output, labels)`` and ``doutput = backward(cache)``. With a loss
        of your own, ``labels`` may be any array with one entry an example along the first axis.
    checkpoint : str, path or Checkpoint, optional
        A folder of this run, or a :class:`~bncourse.training.Checkpoint`, which says how often.
        If there are checkpoints in it, the run goes on from the newest: network, optimizer, order
        of the examples and history are as they were, whatever they are now. Then ``steps`` counts
        those before too, and a run that had ended returns at once. Random numbers that ``record``
        or others draw are saved if they come from ``rng`` or from a layer's generator.

    Returns
    -------
    History
        A list of what ``record`` returned, in order, with ``steps``, at which it did, and
        ``losses``, one for each step. A loss that is NaN or infinite does not stop training: a
        divergence is a result too.

    Raises
    ------
    TypeError, ValueError
        If ``x`` and ``labels`` do not fit each other, a number is not what it must be,
        ``record`` is given without ``every``, or the checkpoint is damaged or of another run.
    KeyboardInterrupt
        On Ctrl-C, after the step it came in is whole and a checkpoint, if asked for, is written.
        A second Ctrl-C does not wait.
    """
    xp = _check_examples(x, labels, classes=loss is CROSS_ENTROPY)
    steps, every = checks.integer("steps", steps), checks.integer("every", every)
    if record is not None and every == 0:
        raise ValueError("every must be at least 1 for record to be called, not 0")
    _check_loss(loss)
    device = arrays.compat.device(x)
    order, history = Batches(x.shape[0], batch_size, rng), History()
    train = Step(net, optimizer, loss)
    settings = {} if checkpoint is None else _settings(optimizer, x, batch_size, rng, loss)
    run = Run(checkpoint, settings, net=net, optimizer=optimizer, order=order, history=history)

    def note(step):
        due = record is not None and (step % every == 0 or step == steps)
        if not due or history.steps[-1:] == [step]:  # the latter if a run is resumed at a record
            return
        net.eval()
        try:
            recorded = record(step)
        finally:
            net.train()
        run.check_record(recorded)
        history.add(step, recorded)

    net.train()
    run.start(steps, x[:batch_size, ...])
    with Progress(progress, steps, history.done) as shown, WholeSteps() as hold:
        try:
            note(history.done)
            run.save_if_due(steps)
            for step in range(history.done + 1, steps + 1):
                hold.begin()
                chosen = xp.asarray(next(order), device=device)
                x_batch, labels_batch = (xp.take(a, chosen, axis=0) for a in (x, labels))
                value = train(x_batch, labels_batch)
                history.add_loss(value)
                hold.end()
                note(step)
                shown.advance(value)
                run.save_if_due(steps)
        except KeyboardInterrupt:
            if not hold.inside:  # else the step was broken by a second Ctrl-C
                run.save()
            raise
    return history


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


def _settings(optimizer, x, batch_size, rng, loss):
    """What makes this run another one than the next, and is the same when it is started again."""
    # A generator may have moved on in the meantime, in a notebook; a seed has not.
    seed = type(rng).__name__ if isinstance(rng, np.random.Generator) else repr(rng)
    return optimizer.settings() | {
        "examples": list(x.shape),
        "batch_size": int(batch_size),
        "rng": seed,
        "loss": _text(loss[0]),
    }


def _check_loss(loss):
    pair = isinstance(loss, (tuple, list)) and len(loss) == 2 and all(map(callable, loss))
    if not pair:
        raise TypeError(
            "loss must be a pair of functions, (forward, backward), such as "
            f"training.CROSS_ENTROPY, not {loss!r}"
        )


def _check_examples(x, labels, classes=True):
    """Library of ``x`` and ``labels``, after a look at whether there is one label an example."""
    arrays.check_real("x", x)
    arrays.namespace(labels=labels)
    xp = arrays.namespace(x=x, labels=labels)
    entries = tuple(labels.shape) if classes else tuple(labels.shape)[:1]
    if x.ndim < 1 or entries != (x.shape[0],):
        raise ValueError(
            f"labels must have one entry an example, but x has shape {tuple(x.shape)} and labels "
            f"{tuple(labels.shape)}"
        )
    return xp

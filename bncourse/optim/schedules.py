"""Learning rates that change with the step: an optimizer takes one in place of a number.

>>> from bncourse.optim import schedules
>>> from bncourse.optim import SGD
>>> rate = schedules.warm_up(schedules.cosine(0.1, steps=900), steps=100)
>>> optimizer = SGD(net, rate, momentum=0.9)      # doctest: +SKIP

A schedule is called with the number of steps done, and gives the rate of the next. It remembers
nothing, so a run that is resumed needs only the number of its step.
"""

from math import cos, pi

from bncourse import checks


class Schedule:
    """A learning rate as a function of the number of steps done, from 0.

    Parameters
    ----------
    rate : callable
        From the number of steps done to the rate of the next.
    text : str
        How it was made, to be read by people and compared between runs.
    """

    def __init__(self, rate, text):
        self._rate = rate
        self._text = text

    def __call__(self, step):
        return self._rate(checks.integer("step", step))

    def __repr__(self):
        return self._text


def constant(lr):
    r"""Always the same rate, :math:`\eta_k = \eta`; to be warmed up, say. ``lr`` is the rate."""
    lr = checks.number("lr", lr, 0)
    return Schedule(lambda k: lr, f"constant({lr})")


def step(lr, every, factor=0.1):
    r"""A staircase, :math:`\eta_k = \eta\,\gamma^{\lfloor k / s \rfloor}`.

    Parameters
    ----------
    lr : float
        The first rate :math:`\eta`, finite and not negative.
    every : int or tuple of int
        Steps :math:`s` from one drop to the next; or the steps at which it drops, ascending.
    factor : float in [0, 1]
        By what it is multiplied at each drop, :math:`\gamma`.

    Raises
    ------
    TypeError, ValueError
        If a number is not what it must be, or the steps of a tuple do not ascend.

    Notes
    -----
    PyTorch: ``StepLR``, ``MultiStepLR``.
    """
    lr, factor = checks.number("lr", lr, 0), checks.number("factor", factor, 0, 1)
    if not isinstance(every, (list, tuple)):
        every = checks.integer("every", every, 1)
        return Schedule(lambda k: lr * factor ** (k // every), f"step({lr}, {every}, {factor})")
    drops = tuple(checks.integer("every", drop) for drop in every)
    if list(drops) != sorted(set(drops)):
        raise ValueError(f"every must name steps in ascending order, not {drops}")
    return Schedule(
        lambda k: lr * factor ** sum(k >= drop for drop in drops), f"step({lr}, {drops}, {factor})"
    )


def exponential(lr, factor):
    r"""A geometric decay, :math:`\eta_k = \eta\,\gamma^k`.

    ``lr`` is the first rate, finite and not negative, ``factor`` in [0, 1] the ratio
    :math:`\gamma` of one rate to that before. Raises as :func:`step`. PyTorch: ``ExponentialLR``.
    """
    lr, factor = checks.number("lr", lr, 0), checks.number("factor", factor, 0, 1)
    return Schedule(lambda k: lr * factor**k, f"exponential({lr}, {factor})")


def cosine(lr, steps, low=0.0):
    r"""Half a wave from ``lr`` down to ``low``, where it stays.

    .. math::

        \eta_k = \eta_\mathrm{low} + (\eta - \eta_\mathrm{low})\,
        \frac{1 + \cos(\pi \min(k, n) / n)}{2}

    Parameters
    ----------
    lr : float
        The first rate :math:`\eta`, finite and not negative.
    steps : int
        How many steps :math:`n` it takes.
    low : float in [0, lr]
        The last rate :math:`\eta_\mathrm{low}`.

    Raises
    ------
    TypeError, ValueError
        If a number is not what it must be.

    Notes
    -----
    Source: Loshchilov and Hutter (2017), equation 5, without restarts. PyTorch:
    ``CosineAnnealingLR``, which would rise again.
    """
    lr, steps = checks.number("lr", lr, 0), checks.integer("steps", steps, 1)
    low = checks.number("low", low, 0, lr)

    def rate(k):
        return low + (lr - low) * (1 + cos(pi * min(k, steps) / steps)) / 2

    return Schedule(rate, f"cosine({lr}, {steps}, {low})")


def warm_up(schedule, steps):
    r"""Rise in equal steps to the first rate of a schedule, then follow it from its start.

    .. math::

        \eta_k = \frac{k + 1}{n + 1}\,\eta'_0 \quad (k < n), \qquad
        \eta_k = \eta'_{k - n} \quad (k \ge n)

    Parameters
    ----------
    schedule : callable or float
        The schedule :math:`\eta'`, or a rate that is held.
    steps : int
        How many steps :math:`n` are below its first rate; none of them has rate 0.

    Raises
    ------
    TypeError, ValueError
        If ``schedule`` is neither of the two, or ``steps`` no whole number.

    Notes
    -----
    Source: Goyal et al. (2017), section 2.2. PyTorch: ``SequentialLR`` of a ``LinearLR`` with
    ``start_factor=1 / (n + 1), total_iters=n`` and the schedule.
    """
    schedule = schedule if callable(schedule) else constant(schedule)
    steps = checks.integer("steps", steps)

    def rate(k):
        return schedule(0) * (k + 1) / (steps + 1) if k < steps else schedule(k - steps)

    return Schedule(rate, f"warm_up({_text(schedule)}, {steps})")


def _text(function):
    """A function in words that are the same in each process: no address in memory."""
    if isinstance(function, Schedule):
        return repr(function)
    return getattr(function, "__qualname__", type(function).__qualname__)

"""Kinds of gradient checkers, each with a weakness, and what to say to whoever has written it."""

from functools import lru_cache, partial

import numpy as np

from bncourse.exercises.mistake import Mistake

STEP = 1e-5


def _random(y):
    return _drawn(y.shape)


@lru_cache(maxsize=32)
def _drawn(shape):
    return np.random.default_rng(0).normal(0, 1, shape)


def _first_feature(y):
    dy = np.zeros_like(y)
    dy[:, 0] = _random(y)[:, 0]
    return dy


def _within_noise(dx, measured, noise):
    return np.all(np.abs(dx - measured) <= 1e-5 * np.abs(measured).max() + noise)


def judge(forward, backward, x, upstream=_random, factor=1.0, accept=_within_noise):
    """A checker in parts that can be replaced; right as it stands.

    Parameters
    ----------
    forward, backward, x
        What is claimed.
    upstream : callable
        From the output to the ``dy`` that the check is made with.
    factor : float
        By which the measured gradient is off.
    accept : callable
        From the claimed gradient, the measured one and its noise to the verdict.
    """
    y, slopes = _measured(forward, x.tobytes(), x.shape)
    dy = upstream(y)
    measured = factor * (slopes * dy).sum(axis=(-2, -1)).reshape(x.shape)
    noise = 10 * np.finfo(float).eps * np.sum(np.abs(dy * y)) / STEP
    return bool(accept(backward(dy), measured, noise))


@lru_cache(maxsize=32)  # the same few claims are judged by every kind of checker
def _measured(forward, data, shape):
    """Outputs, and their slopes for each entry of x: the transforms take a stack of tables."""
    x = np.frombuffer(data).reshape(shape)
    nudges = STEP * np.eye(x.size).reshape(-1, *shape)
    return forward(x), (forward(x + nudges) - forward(x - nudges)) / (2 * STEP)


def _no_floor(dx, measured, noise):
    return np.abs(dx - measured).max() <= 1e-5 * max(np.abs(dx).max(), np.abs(measured).max())


def _only_nan_slips(dx, measured, noise):
    return not np.any(np.abs(dx - measured) > 1e-5 * np.nanmax(np.abs(measured)) + noise)


def _loose(dx, measured, noise):
    return np.all(np.abs(dx - measured) <= 1e-2 * np.abs(measured).max() + noise)


def _on_average(dx, measured, noise):
    return np.mean(np.abs(dx - measured)) <= 5e-4 * np.abs(measured).max() + noise


def _first_entry(dx, measured, noise):
    return abs(dx.flat[0] - measured.flat[0]) <= 1e-5 * np.abs(measured).max() + noise


def _direction(dx, measured, noise):
    sizes = np.linalg.norm(dx) * np.linalg.norm(measured)
    return np.sum(dx * measured) > (1 - 1e-7) * sizes if sizes else True


def _size(dx, measured, noise):
    off = np.abs(np.abs(dx) - np.abs(measured))
    return np.all(off <= 1e-5 * np.abs(measured).max() + noise)


def _too_large(dx, measured, noise):
    return np.all(dx - measured <= 1e-5 * np.abs(measured).max() + noise)


def _too_small(dx, measured, noise):
    return _too_large(-dx, -measured, noise)


def _first_row(dx, measured, noise):
    return _within_noise(dx[:1], measured[:1], noise)


def _loose_direction(dx, measured, noise):
    sizes = np.linalg.norm(dx) * np.linalg.norm(measured)
    return sizes > 0 and np.sum(dx * measured) > 0.9999 * sizes


def _zero(dx, measured, noise):
    return not np.any(dx) and np.abs(measured).max() <= noise


def _sums(dx, measured, noise):
    return abs(dx.sum() - measured.sum()) <= 1e-5 * np.abs(measured).max() + dx.size * noise


def _kind(**parts):
    """Not combined with others in one output: there, two weaknesses look like a third."""
    checker = partial(judge, **parts)
    return lambda forward, backward, x: checker(forward, backward, x)


# What is special stands before what is general: the first of equals is named.
MISTAKES = (
    Mistake(
        "the floor of the tolerance is a fixed number",
        _kind(accept=lambda dx, measured, noise: np.allclose(dx, measured)),
        "np.allclose allows 1e-8 beside its relative part, so it accepts anything that is "
        "smaller. Pass atol=0, or better a floor that follows the noise.",
    ),
    Mistake(
        "the tolerance has no floor",
        _kind(accept=_no_floor),
        "It refuses a right gradient that is zero: beside it stands the noise of the measurement, "
        "and relative to the larger of the two, which is that noise, the error is 1. Allow what "
        "rounding does, u * sum(abs(dy * y)) / h.",
    ),
    Mistake(
        "the tolerance is too loose",
        _kind(accept=_loose),
        "An error of 2 parts in a thousand has passed. Centered differences in float64 are good "
        "to eight digits here, so 1e-5 is generous.",
    ),
    Mistake(
        "the errors are averaged",
        _kind(accept=_on_average),
        "One wrong entry among many right ones disappears in the mean. Take the largest.",
    ),
    Mistake(
        "NaN slips through",
        _kind(accept=_only_nan_slips),
        "Every comparison with NaN is False, so `error > allowed` finds nothing. Ask whether all "
        "errors are <= allowed.",
    ),
    Mistake(
        "one entry is looked at",
        _kind(accept=_first_entry),
        "The others may hold anything, NaN included. Compare all of them, or many at random.",
    ),
    Mistake(
        "one row is looked at",
        _kind(accept=_first_row),
        "The others may hold anything, NaN included. Compare all of them.",
    ),
    Mistake(
        "only errors upward count",
        _kind(accept=_too_large),
        "A gradient that is too small passes: take the absolute value of the difference.",
    ),
    Mistake(
        "only errors downward count",
        _kind(accept=_too_small),
        "A gradient that is too large passes: take the absolute value of the difference.",
    ),
    Mistake(
        "the tolerance is absolute",
        _kind(accept=lambda dx, measured, noise: np.all(np.abs(dx - measured) <= 1e-6)),
        "1e-6 is more than all of a gradient of 1e-12, and less than the noise in one of 1e9. "
        "Compare with the largest entry.",
    ),
    Mistake(
        "only the first feature has an upstream gradient",
        _kind(upstream=_first_feature),
        "Where dy is zero, every backward gives zero, and nothing is checked. Let all outputs "
        "weigh in the loss.",
    ),
    Mistake(
        "the upstream gradient is all ones",
        _kind(upstream=np.ones_like),
        "That is the loss sum(y), for which the true gradient is zero. A check with it accepts "
        "every gradient whose weights have a + b = 0, and refuses no wrong path through the "
        "variance. Draw dy at random.",
    ),
    Mistake(
        "the loss is the sum of squares",
        _kind(upstream=lambda y: 2 * y),
        "Its upstream gradient, 2 y, is a straight line in x_hat, and the true gradient is zero, "
        "up to eps. So is every multiple of it: zero, twice, minus. Draw dy at random.",
    ),
    Mistake(
        "only the direction is compared",
        _kind(accept=_direction),
        "A cosine of 1 says that the two are parallel. Twice the gradient is parallel, too, and "
        "zero has no direction.",
    ),
    Mistake(
        "only the direction is compared, and loosely",
        _kind(accept=_loose_direction),
        "Twice the gradient is parallel, too; zero has no direction; and a cosine of 0.9999 "
        "leaves room for an error of one part in a hundred.",
    ),
    Mistake(
        "only sizes are compared",
        _kind(accept=_size),
        "abs(dx) and a norm forget the sign. Subtract first, then take the absolute value.",
    ),
    Mistake(
        "only sums of entries are compared",
        _kind(accept=_sums),
        "The entries of dx add up to zero for every right gradient of a batch norm, and for many "
        "wrong ones. Compare entry by entry.",
    ),
    Mistake(
        "the measured gradient is twice as large as it should be",
        _kind(factor=2.0),
        "Yours accepts the doubled gradient, and refuses the right one. x + h and x - h are 2 h "
        "apart.",
    ),
    Mistake(
        "the measured gradient has the wrong sign",
        _kind(factor=-1.0),
        "Yours accepts minus the gradient, and refuses the right one. f(x + h) comes first.",
    ),
    Mistake(
        "it accepts everything",
        lambda forward, backward, x: True,
        "Is a gradient compared with itself? Or is the tolerance larger than the gradient?",
    ),
    Mistake(
        "it refuses all but zeros",
        _kind(accept=_zero),
        "Right gradients are refused, so the measured one is wrong, or less exact than the "
        "tolerance asks. Are the differences centered, and h near 1e-5? Is dy the same in both?",
    ),
    Mistake(
        "it refuses everything",
        lambda forward, backward, x: False,
        "Then the tolerance is below the noise, as with == or a step of 1e-12. Or the measured "
        "gradient is wrong: is dy the same in both? Or dy is all ones: then the true gradient of "
        "a batch norm is zero, and a relative error compares noise with noise.",
    ),
)

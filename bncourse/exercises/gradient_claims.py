"""Gradients that are claimed, right ones and wrong ones: what a learner's checker has to judge."""

from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np

from bncourse.exercises.attempt import WrongForm
from bncourse.exercises.inputs import columns, scales

RIGHT = (1.0, -1.0, -1.0)


@dataclass(frozen=True, eq=False)  # told apart by identity, and so a key of a cache
class Transform:
    """``unit * (gamma * x_hat + beta)``, of a table or of a stack of tables."""

    gamma: np.ndarray
    beta: np.ndarray
    eps: float = 1e-5
    unit: float = 1.0

    def __call__(self, x):
        x_hat, _ = self.normalized(x)
        return self.unit * (self.gamma * x_hat + self.beta)

    def normalized(self, x):
        m = x.shape[-2]
        d = x - x.sum(axis=-2, keepdims=True) / m
        s = np.sqrt((d * d).sum(axis=-2, keepdims=True) / m + self.eps)
        return d / s, s


@dataclass(frozen=True, eq=False)
class AfterBias:
    """The transform of a table to which a bias has been added, as a function of the bias."""

    transform: Transform
    table: np.ndarray

    def __call__(self, bias):
        return self.transform(self.table + bias[..., None, :])


@dataclass(frozen=True)
class Backward:
    """The gradient of :class:`Transform`, with ``weights`` of its three paths.

    ``changed(dx)`` is returned, which may spoil it further.
    """

    transform: Transform
    x: np.ndarray
    weights: tuple = RIGHT
    changed: object = field(default=lambda dx: dx, repr=False)

    @cached_property
    def normalized(self):
        return self.transform.normalized(self.x)

    def __call__(self, dy):
        x_hat, s = self.normalized
        a, b, c = self.weights
        mean, slope = dy.sum(axis=0) / len(dy), (dy * x_hat).sum(axis=0) / len(dy)
        bracket = a * dy + b * mean + c * x_hat * slope
        return self.changed(self.transform.unit * self.transform.gamma / s * bracket)


@dataclass(frozen=True)
class LastFeatureWrong(Backward):
    """Right, but for the last feature, where the path through the variance is missing.

    So it is off along ``x_hat``: too large here and too small there, whatever ``dy`` is.
    """

    def __call__(self, dy):
        without = Backward(self.transform, self.x, (1.0, -1.0, 0.0))(dy)
        right = Backward(self.transform, self.x)(dy)
        return np.concatenate([right[:, :-1], without[:, -1:]], axis=1)


@dataclass(frozen=True)
class NoGradient:
    """The gradient of a bias before a batch norm: zeros."""

    features: int

    def __call__(self, dy):
        return np.zeros(self.features)


@dataclass(frozen=True)
class Claim:
    """A claimed gradient: ``backward(dy)``, of ``sum(dy * forward(x))`` at ``x``."""

    forward: object
    backward: object
    x: np.ndarray


@dataclass(frozen=True)
class Battery:
    """Groups of claims, by name."""

    groups: dict


OF = {  # what the claims of a group are, in order
    "right": "at random, huge",
    "zero": "right: that of a bias before a batch norm",
    "tiny": "right, wrong, made up",
    "paths": "none, own alone, without variance, without mean, all doubled, all negative",
    "entries": "all half a percent off, the last one off, twice, the last column wrong, made up",
    "nan": "one NaN, else right; made up",
}


def use(answer, x, right, zero, tiny, paths, entries, nan, claims):
    """Verdicts of the learner's checker, an array for each group.

    ``x`` and the words are there to be shown.
    """
    verdicts = {
        name: [answer(c.forward, c.backward, c.x) for c in group]
        for name, group in claims.groups.items()
    }
    if all(v is None or v is ... for group in verdicts.values() for v in group):
        raise NotImplementedError
    return tuple(np.array([_verdict(v) for v in group]) for group in verdicts.values())


def _verdict(verdict):
    if verdict is None:
        raise WrongForm("for some gradients nothing is returned; True or False is needed.")
    if np.ndim(verdict):
        raise WrongForm(f"one True or False is needed, not an array of {np.shape(verdict)}.")
    if np.asarray(verdict).dtype.kind != "b":
        raise WrongForm(f"True or False is needed, not {type(verdict).__name__}.")
    return verdict


def _corner(dx, off=2e-3):
    dx = dx.copy()
    dx[-1, -1] += off * np.abs(dx).max()
    return dx


def _nan(dx):
    dx = dx.copy()
    dx[-1, 0] = np.nan
    return dx


def _made_up(dx):
    return 1e3 * np.random.default_rng(0).normal(0, 1, dx.shape)


def batteries(rng):
    """One case for :func:`use`, of a claim for each weakness that a checker may have."""
    x = columns(rng, rng.integers(6, 9), rng.integers(2, 4))
    d = x.shape[1]
    f = Transform(scales(rng, d), scales(rng, d))
    huge, tiny, plain = replace(f, unit=1e9), replace(f, unit=1e-12), replace(f, beta=0 * f.beta)

    def claim(f=f, weights=RIGHT, changed=lambda dx: dx, kind=Backward):
        return Claim(f, kind(f, x, weights, changed), x)

    own = (1.0, 0.0, 0.0)
    paths = (
        (0.0, 0.0, 0.0),
        own,
        (1.0, -1.0, 0.0),
        (1.0, 0.0, -1.0),
        (2.0, -2.0, -2.0),
        (-1.0, 1.0, 1.0),
    )
    made_up = claim(changed=_made_up)
    groups = {
        "right": [claim(), claim(huge)],
        "zero": [_of_a_bias(rng)],
        "tiny": [claim(tiny), claim(tiny, own), claim(tiny, changed=_made_up)],
        "paths": [claim(plain, weights) for weights in paths],
        "entries": [
            claim(weights=(1.005, -1.005, -1.005)),
            claim(changed=_corner),
            claim(changed=partial(_corner, off=-2e-3)),
            claim(kind=LastFeatureWrong),
            made_up,
        ],
        "nan": [claim(changed=_nan), made_up],
    }
    return [(x, *OF.values(), Battery(groups))]


def _of_a_bias(rng):
    """Far from zero and wide enough that rounding shows: measured, this gradient is not zero."""
    d = 12
    table, f = 30 + columns(rng, 12, d), Transform(scales(rng, d), scales(rng, d))
    return Claim(AfterBias(f, table), NoGradient(d), rng.normal(0, 1, d))

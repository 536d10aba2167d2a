"""The layer with its way back: right, in parts that can go wrong, and what to say to those."""

from functools import partial
from types import SimpleNamespace

import numpy as np

from bncourse.exercises.mistake import Mistake


class BatchNorm:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.eps, self.momentum, self.training = eps, momentum, True
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.dgamma, self.dbeta = np.zeros(num_features), np.zeros(num_features)
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var, m, a = x.mean(axis=0), x.var(axis=0), len(x), self.momentum
            self.running_mean = (1 - a) * self.running_mean + a * mean
            self.running_var = (1 - a) * self.running_var + a * var * m / (m - 1)
        s = np.sqrt(var + self.eps)
        x_hat = (x - mean) / s
        return self.gamma * x_hat + self.beta, (x_hat, s, self.training)

    def backward(self, dy, cache):
        x_hat, s, by_batch = cache
        self.dgamma = self.dgamma + (dy * x_hat).sum(axis=0)
        self.dbeta = self.dbeta + dy.sum(axis=0)
        if by_batch:
            dy = dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0)
        return self.gamma / s * dy


def _bracket(dy, x_hat, own=1, mean=1, var=1):
    return own * dy - mean * dy.mean(axis=0) - var * x_hat * (dy * x_hat).mean(axis=0)


def _constant(dy, x_hat):
    return dy


class _Made(BatchNorm):
    """The layer in parts that can be replaced; right as it stands."""

    def __init__(
        self,
        num_features,
        eps,
        momentum,
        which=lambda given, kept: given,
        mode=lambda then, now: then,
        in_training=_bracket,
        in_evaluation=_constant,
        scale=lambda gamma, s: gamma / s,
        adds=lambda old, new, by_batch: old + new,
        factor=lambda dy, m: dy,
        beside=lambda x_hat, x: x_hat,
        order=1,
        late=False,
    ):
        super().__init__(num_features, eps, momentum)
        self.parts = SimpleNamespace(**{k: v for k, v in locals().items() if k != "self"})
        self.kept = []

    def forward(self, x):
        y, cache = super().forward(x)
        self.kept.append((*cache, x))
        return y, self.kept[-1]

    def backward(self, dy, cache):
        p = self.parts
        x_hat, s, by_batch, x = p.which(cache, self.kept)
        by_batch = p.mode(by_batch, self.training)
        if p.late and not by_batch:
            s = np.sqrt(self.running_var + self.eps)
            x_hat = (x - self.running_mean) / s
        share = p.factor(dy, len(dy))
        sums = (share * p.beside(x_hat, x)).sum(axis=0), share.sum(axis=0)
        before = self.dgamma, self.dbeta
        added = zip(before, sums[:: p.order], strict=True)
        self.dgamma, self.dbeta = (p.adds(*pair, by_batch) for pair in added)
        path = p.in_training if by_batch else p.in_evaluation
        return p.scale(self.gamma, s) * path(dy, x_hat)


MISTAKES = (
    Mistake(
        "the last forward pass is used, whatever the cache",
        partial(_Made, which=lambda given, kept: kept[-1]),
        "What forward keeps on self is overwritten when it is called again. Return it as the "
        "cache, and let backward use the one that it is given.",
    ),
    Mistake(
        "the caches are a pile",
        partial(_Made, which=lambda given, kept: kept.pop()),
        "Last in, first out is right only if the way back meets the batches in reverse. Use the "
        "cache that backward is given.",
    ),
    Mistake(
        "the oldest forward pass is used first",
        partial(_Made, which=lambda given, kept: kept.pop(0)),
        "The way back need not meet the batches in the order of the way forward. Use the cache "
        "that backward is given.",
    ),
    Mistake(
        "backward asks for the mode that the layer is in now",
        partial(_Made, mode=lambda then, now: now),
        "It may have been switched in between. What counts is the mode of the forward pass, so "
        "that belongs into the cache.",
    ),
    Mistake(
        "evaluation goes back through the statistics",
        partial(_Made, in_evaluation=_bracket),
        "The running statistics do not depend on x. In evaluation y is a straight line in x, and "
        "dx is gamma / s * dy.",
    ),
    Mistake(
        "training takes the statistics for constants",
        partial(_Made, in_training=_constant),
        "In training, mean and variance depend on x, and two more paths lead back.",
    ),
    Mistake(
        "nothing goes back in evaluation",
        partial(_Made, in_evaluation=lambda dy, x_hat: 0 * dy),
        "The statistics are fixed there, but x still moves y, along a straight line: dx is "
        "gamma / s * dy. Whoever asks how an image should change needs it.",
    ),
    Mistake(
        "evaluation goes back by the running statistics of now",
        partial(_Made, late=True),
        "They have moved since that forward pass. What it normalized by belongs into the cache, "
        "as a copy if you update in place.",
    ),
    Mistake(
        "the modes are swapped on the way back",
        partial(_Made, in_training=_constant, in_evaluation=_bracket),
        "The bracket with the two means belongs to training; in evaluation dx is gamma / s * dy.",
    ),
    Mistake(
        "the path through the mean is missing",
        partial(_Made, in_training=partial(_bracket, mean=0)),
        "In training, dy.mean(axis=0) is subtracted from dy.",
    ),
    Mistake(
        "the path through the variance is missing",
        partial(_Made, in_training=partial(_bracket, var=0)),
        "In training, x_hat * (dy * x_hat).mean(axis=0) is subtracted from dy.",
    ),
    Mistake(
        "the own path is missing",
        partial(_Made, in_training=partial(_bracket, own=0)),
        "The bracket begins with dy.",
    ),
    Mistake(
        "gamma is missing in dx",
        partial(_Made, scale=lambda gamma, s: 1 / s),
        "What stands before the bracket is gamma / s.",
    ),
    Mistake(
        "dx is not divided by s",
        partial(_Made, scale=lambda gamma, s: gamma),
        "What stands before the bracket is gamma / s.",
    ),
    Mistake(
        "dx is multiplied by s",
        partial(_Made, scale=lambda gamma, s: gamma * s),
        "x is divided by s on the way forward, and so is the gradient on the way back: gamma / s.",
    ),
    Mistake(
        "the gradients of gamma and beta are replaced",
        partial(_Made, adds=lambda old, new, by_batch: new),
        "A parameter that was used three times gets three gradients, and they add up.",
    ),
    Mistake(
        "gamma and beta get no gradient in evaluation",
        partial(_Made, adds=lambda old, new, by_batch: old + new if by_batch else old),
        "They are in y in both modes. That nothing shall be learned in evaluation is for the "
        "optimizer to decide.",
    ),
    Mistake(
        "gamma and beta get no gradient in training",
        partial(_Made, adds=lambda old, new, by_batch: old if by_batch else old + new),
        "They are in y in both modes, and training is when they learn.",
    ),
    Mistake(
        "means stand for the sums in dgamma and dbeta",
        partial(_Made, factor=lambda dy, m: dy / m),
        "gamma is in all m outputs, so m gradients come back and add up. If the loss is a mean, "
        "its 1/m is in dy already.",
    ),
    Mistake(
        "dgamma is taken with x",
        partial(_Made, beside=lambda x_hat, x: x),
        "gamma multiplies x_hat, so dgamma = sum(dy * x_hat).",
    ),
    Mistake(
        "dgamma and dbeta are swapped",
        partial(_Made, order=-1),
        "gamma multiplies x_hat, so its gradient is sum(dy * x_hat); that of beta is sum(dy).",
    ),
)
"""What learners make of the way back."""

"""Exercises of the chapter on convolution: one gamma and one beta a feature map."""

from functools import partial

import numpy as np

from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import units
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity

CHAPTER = "transform/convolution"


def _gradients(dy, x_hat):
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    dbeta = dy.sum(axis=(0, 2, 3))
    return dgamma, dbeta


def _sums(axes):
    return lambda a: a.sum(axis=axes)


def _divided_by(count):
    """The right sum, divided by a count of the shape (N, C, H, W)."""
    return lambda a: _all_but_channels(a) / count(*a.shape)


_all_but_channels = _sums((0, 2, 3))


def _product_first(a, b, total):
    return total(a * b)


def _made(
    dy,
    x_hat,
    total=_all_but_channels,
    weigh=_product_first,
    factor=lambda dy, x_hat: dy,
    sign=1,
    order=1,
):
    """Both gradients in parts that can be replaced; right as it stands."""
    dgamma = weigh(factor(dy, x_hat), x_hat, total)
    return (sign * dgamma, sign * total(dy))[::order]


def _maps(rng):
    """Whole numbers first. W equals C in each, else sums over the wrong axes have other shapes."""
    dy = np.array([[[[1.0, 0.0]], [[2.0, -1.0]]], [[[3.0, 1.0]], [[0.0, -2.0]]]])
    x_hat = np.array([[[[1.0, -1.0]], [[1.0, 1.0]]], [[[1.0, -2.0]], [[-1.0, -1.0]]]])
    cases = [(dy, x_hat)]
    for _ in range(3):
        n, c, h = 2 + rng.permutation(5)[:3]  # three different numbers
        shape = (n, c, h, c)
        offset = rng.choice([-1.0, 1.0], (1, c, 1, 1)) * rng.uniform(0.5, 2, (1, c, 1, 1))
        cases.append((units(rng) * (offset + rng.normal(0, 1, shape)), rng.normal(0.2, 1, shape)))
    return cases


def _wide(rng, eps):
    """Maps that are not as wide as there are channels."""
    shape = 3, 4, 5, 6
    return [(rng.normal(1, 1, shape), rng.normal(0, 1, shape))]


def _describe(case, got, want):
    dy, _ = case
    n, c, h, w = dy.shape
    for name, g, right in zip(("dgamma", "dbeta"), got, want, strict=True):
        ratio = g / right
        off = np.ptp(ratio) > 1e-4 * np.abs(ratio).max()
        if not off and abs(ratio[0] - 1) > 1e-4:
            return [
                f"Read off: {name} is {ratio[0]:.4g} times the right one in every channel, with "
                f"N = {n}, C = {c}, H = {h}, W = {w}."
            ]
    return []


parameter_gradients = Exercise(
    name="parameter_gradients",
    chapter=CHAPTER,
    question="A batch norm of feature maps, y = gamma * x_hat + beta with one gamma and one beta a "
    "channel: f(dy, x_hat) -> (dgamma, dbeta), with dy and x_hat of shape (N, C, H, W) and the "
    "gradients of shape (C,).",
    reference=_gradients,
    inputs=_maps,
    outputs=("dgamma", "dbeta"),
    hostile=_wide,
    fragile="it must not matter how wide the maps are.",
    describe=_describe,
    mistakes=(
        Mistake(
            "the last axis is taken for the channels",
            partial(_made, total=_sums((0, 1, 2))),
            "Sums over (0, 1, 2) are for maps with channels last, (N, H, W, C). Here axis 1 counts "
            "the channels; sum over (0, 2, 3).",
        ),
        Mistake(
            "a mean is returned where a sum is needed",
            partial(_made, total=_divided_by(lambda n, c, h, w: n * h * w)),
            "The same gamma and beta serve all N H W values of a channel, so the gradients of all "
            "add up. A mean over the batch, if there is one, is in dy already.",
        ),
        Mistake(
            "the positions are averaged",
            partial(_made, total=_divided_by(lambda n, c, h, w: h * w)),
            "The batch is summed over, as for a table, but then the H W positions are averaged. "
            "They share gamma and beta just as the examples do: sum over both.",
        ),
        Mistake(
            "the batch is averaged",
            partial(_made, total=_divided_by(lambda n, c, h, w: n)),
            "Sum over the examples too. If the loss is a mean over the batch, dy has the 1/N.",
        ),
        Mistake(
            "it is divided by the number of channels",
            partial(_made, total=_divided_by(lambda n, c, h, w: c)),
            "Channels have nothing to share: each has its own sum, undivided.",
        ),
        Mistake(
            "only the first image counts",
            partial(_made, total=lambda a: a[0].sum(axis=(1, 2))),
            "All images go through the same gamma and beta: sum over axis 0 too.",
        ),
        Mistake(
            "only one position counts",
            partial(_made, total=lambda a: a[:, :, 0, 0].sum(axis=0)),
            "All positions of a map go through the same gamma and beta: sum over axes 2 and 3 too.",
        ),
        Mistake(
            "x_hat is missing in dgamma",
            lambda dy, x_hat: (dy.sum(axis=(0, 2, 3)),) * 2,
            "gamma multiplies x_hat, so its gradient is the sum of dy * x_hat.",
        ),
        Mistake(
            "dgamma and dbeta are swapped",
            partial(_made, order=-1),
            "gamma multiplies x_hat, so its gradient is the sum of dy * x_hat.",
        ),
        Mistake(
            "dy is missing in dgamma",
            partial(_made, factor=lambda dy, x_hat: np.ones_like(dy)),
            "That is the sum of x_hat. Each value counts as much as the loss depends on it: "
            "multiply by dy.",
        ),
        Mistake(
            "x_hat is squared in dgamma",
            partial(_made, factor=lambda dy, x_hat: dy * x_hat),
            "y grows by x_hat for each unit of gamma, so x_hat comes in once.",
        ),
        Mistake(
            "sums are multiplied, where products are summed up",
            partial(_made, weigh=lambda a, b, total: total(a) * total(b)),
            "Each dy belongs to its own x_hat: multiply entry by entry first, then sum.",
        ),
        Mistake(
            "the positions are summed up before the product",
            partial(
                _made,
                weigh=lambda a, b, total: (a.sum(axis=(2, 3)) * b.sum(axis=(2, 3))).sum(axis=0),
            ),
            "Each dy belongs to the x_hat at its own position: multiply first, then sum.",
        ),
        Mistake(
            "the batch is summed up before the product",
            partial(
                _made, weigh=lambda a, b, total: (a.sum(axis=0) * b.sum(axis=0)).sum(axis=(1, 2))
            ),
            "Each dy belongs to the x_hat of its own image: multiply first, then sum.",
        ),
        Mistake(
            "the sign is turned round",
            partial(_made, sign=-1),
            "The gradient points uphill. The minus comes with the step of the optimizer.",
        ),
    ),
    hints=(
        "Which values of y does one gamma touch? Their gradients add up.",
        "All axes but the channels': .sum(axis=(0, 2, 3)).",
        "dgamma = (dy * x_hat).sum(axis=(0, 2, 3)); dbeta is the same without x_hat.",
    ),
    praise="With channels last it would be axis=(0, 1, 2). Does anything else change?",
)


values_per_map = Quantity(
    name="values_per_map",
    chapter=CHAPTER,
    question="Feature maps of shape (N, C, H, W) = (32, 64, 28, 28) go into a batch norm. How many "
    "values does each of its means run over?",
    answer=32 * 28 * 28,
    tolerance=0,  # a count is exact
    mistakes=(
        Mistake(
            "the positions are not counted",
            32,
            "That is the batch. Each image has 28 x 28 values in a channel, and all of them are "
            "samples of the same feature map.",
        ),
        Mistake(
            "the batch is not counted",
            28 * 28,
            "Those are the values of one image; instance norm has this mean. There are 32 images.",
        ),
        Mistake(
            "the channels are counted",
            32 * 64 * 28 * 28,
            "That is all there is. Each of the 64 channels has a mean of its own.",
        ),
        Mistake(
            "those are the values of one image",
            64 * 28 * 28,
            "All channels of one image: layer norm has this mean. Batch norm keeps the channels "
            "apart and takes the images together.",
        ),
        Mistake("one side of the maps is missing", 32 * 28, "A map has 28 x 28 positions, not 28."),
        Mistake("that is the number of means", 64, "One a channel. Over how many values is it?"),
        Mistake(
            "that is the number of parameters",
            2 * 64,
            "One gamma and one beta a channel. The question is over how many values a mean runs.",
        ),
        Mistake(
            "the channels stand where the positions belong",
            32 * 64,
            "Each of the 64 channels has a mean of its own, over 32 images of 28 x 28 positions.",
        ),
    ),
    hints=(
        "Which of the four axes has a mean for each of its entries?",
        "Only the channels are kept apart. Multiply the lengths of the other three axes.",
    ),
    working="m' = N H W = 32 * 28 * 28 = 25088. It stands wherever m stands for a table.",
)

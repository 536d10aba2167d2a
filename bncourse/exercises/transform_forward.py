"""Exercises of the chapter *What does batch normalization do to a batch?*"""

from functools import partial

import numpy as np

from bncourse.exercises import deviation
from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import columns, far_from_zero, scales, tables, units
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity
from bncourse.exercises.roots import right_root, wrong_roots

CHAPTER = "transform/forward"


def _transform(x, gamma, beta, eps):
    d = x - x.mean(axis=0)
    var = (d * d).mean(axis=0)
    return gamma * d / np.sqrt(var + eps) + beta


def _biased(x, mean, axis):
    return ((x - mean) ** 2).mean(axis=axis, keepdims=True)


def _unbiased(x, mean, axis):
    return x.var(axis=axis, keepdims=True, ddof=1)


def _sum_of_squares(x, mean, axis):
    return ((x - mean) ** 2).sum(axis=axis, keepdims=True)


def _mean_square(x, mean, axis):
    return (x * x).mean(axis=axis, keepdims=True)


def _made(
    x,
    gamma,
    beta,
    eps,
    axis=0,
    spread=_biased,
    root=right_root,
    center=1,
    scale=lambda gamma, beta: gamma,
    shift=lambda gamma, beta: beta,
):
    """The transform in parts that can be replaced; right as it stands."""
    mean = x.mean(axis=axis, keepdims=True)
    s = root(spread(x, mean, axis), eps)
    return scale(gamma, beta) * (x - center * mean) / s + shift(gamma, beta)


def _x_hat(x, eps):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)


def _tables(rng):
    """A table whose numbers come out round, and two at random."""
    x = np.array([[0.0, 2.0], [4.0, 2.0], [8.0, 2.0], [4.0, -2.0]])
    cases = [(x, np.array([3.0, -2.0]), np.array([1.0, 2.0]), 1.0)]
    for x, eps in tables(rng):
        d = x.shape[1]
        cases.append((x, scales(rng, d), rng.normal(0, 1, d), eps))
    return cases


def _hostile(rng, eps):
    return [(far_from_zero(rng, eps), scales(rng, 4), rng.normal(0, 1, 4), 1e-5)]


FRAGILE = (
    "where the mean is large beside the spread, two numbers that agree in all their digits are "
    "subtracted, and nothing is left. Subtract the mean from x first, and square or scale what "
    "remains: not mean(x * x) - mean**2, and not x * scale + shift."
)


forward = Exercise(
    name="forward",
    chapter=CHAPTER,
    question="Batch-normalize a table: f(x, gamma, beta, eps) -> y, with x of shape (N, D).",
    reference=_transform,
    inputs=_tables,
    outputs=("y",),
    hostile=_hostile,
    fragile=FRAGILE,
    describe=lambda case, got, want: deviation.first_deviation(*case, got[0]),
    mistakes=(
        Mistake(
            "the variance is divided by m - 1",
            partial(_made, spread=_unbiased),
            "The transform takes the biased variance, np.var without ddof. With m - 1, the mean "
            "square of x_hat is (m - 1) / m and not 1 (section 'From a wish to a formula').",
        ),
        Mistake(
            "the statistics are those of each row",
            partial(_made, axis=1),
            "axis=1 runs along the features of one example, which makes layer norm. A batch norm "
            "looks down the columns, axis=0: then the mean of each column of x_hat is 0.",
        ),
        Mistake(
            "one mean and one variance serve the whole table",
            partial(_made, axis=None),
            "x.mean() without an axis mixes the features. Each of the D features has its own mean.",
        ),
        Mistake(
            "eps is missing",
            partial(_made, root=lambda var, eps: np.sqrt(var)),
            "Without it, a constant feature divides zero by zero (section 'What epsilon does').",
        ),
        *wrong_roots(lambda root: partial(_made, root=root)),
        Mistake(
            "the root is missing",
            partial(_made, root=lambda var, eps: var + eps),
            "You divide by a variance, which has the squared units of x. Divide by its root.",
        ),
        Mistake(
            "it is not divided by the standard deviation",
            partial(_made, root=lambda var, eps: 1.0),
            "Centering alone leaves each feature its spread.",
        ),
        Mistake(
            "the mean is not subtracted",
            partial(_made, center=0),
            "The numerator is x - mean; yours is x.",
        ),
        Mistake(
            "the sum of the squares stands for their mean",
            partial(_made, spread=_sum_of_squares),
            "The variance is the mean of (x - mean)**2: divide the sum by m. With a sum, x_hat "
            "shrinks as the batch grows.",
        ),
        Mistake(
            "gamma multiplies x alone, and the mean alone is divided",
            lambda x, g, b, eps: g * x - x.mean(0) / np.sqrt(x.var(0) + eps) + b,
            "Parentheses: gamma * (x - mean) / s, since / and * bind before -.",
        ),
        Mistake(
            "the mean alone is divided",
            lambda x, g, b, eps: g * (x - x.mean(0) / np.sqrt(x.var(0) + eps)) + b,
            "Parentheses: (x - mean) / s, since / binds before -.",
        ),
        Mistake(
            "the mean square of x stands for the variance",
            partial(_made, spread=_mean_square),
            "The variance is the mean of (x - mean)**2, after centering.",
        ),
        Mistake(
            "gamma and beta are swapped",
            partial(_made, scale=lambda g, b: b, shift=lambda g, b: g),
            "gamma multiplies, beta is added.",
        ),
        Mistake(
            "gamma is missing",
            partial(_made, scale=lambda g, b: 1.0),
            "What comes back is x_hat + beta. Multiply x_hat by gamma first.",
        ),
        Mistake(
            "gamma loses its sign",
            partial(_made, scale=lambda g, b: np.abs(g)),
            "Nothing keeps gamma positive. Where it is negative, it turns x_hat over.",
        ),
        Mistake(
            "beta is missing",
            partial(_made, shift=lambda g, b: 0.0),
            "What comes back is gamma * x_hat. Its mean is 0; it should be beta.",
        ),
        Mistake(
            "gamma and beta are missing",
            partial(_made, scale=lambda g, b: 1.0, shift=lambda g, b: 0.0),
            "What comes back is x_hat. One step of the algorithm is left: gamma * x_hat + beta.",
        ),
        Mistake(
            "beta is added before gamma multiplies",
            partial(_made, shift=lambda g, b: g * b),
            "It is gamma * x_hat + beta, not gamma * (x_hat + beta).",
        ),
        Mistake(
            "gamma and beta are used by the normalization, not after it",
            lambda x, g, b, eps: _x_hat(g * x + b, eps),
            "What is scaled and shifted first is normalized back at once, so that gamma and beta "
            "have no effect. They come last.",
        ),
    ),
    hints=(
        "Four lines, as in the algorithm: mean, variance, x_hat, y. All sums run over axis 0.",
        "d = x - x.mean(axis=0), and the variance is the mean of d * d over the same axis.",
        "x_hat = d / np.sqrt(var + eps); NumPy broadcasts gamma and beta along the rows.",
    ),
    praise="Does yours compute x - mean only once? And what comes out if N is 1?",
)

forward_by_hand = Quantity(
    name="forward_by_hand",
    chapter=CHAPTER,
    question="x = (2, 4, 6, 8), gamma = 2, beta = 5, eps neglected: what is the third output?",
    answer=5 + 2 / 5**0.5,
    mistakes=(
        Mistake(
            "the variance is divided by m - 1",
            5 + 2 / (20 / 3) ** 0.5,
            "The squares are 9, 1, 1, 9. Their mean is 20 / 4 = 5; 20 / 3 is the unbiased one.",
        ),
        Mistake(
            "you divided by the variance",
            5 + 2 / 5,
            "Divide the deviation 1 by the root of 5.",
        ),
        Mistake(
            "gamma and beta are swapped",
            2 + 5 / 5**0.5,
            "gamma = 2 multiplies, beta = 5 is added.",
        ),
        Mistake("that is x_hat", 1 / 5**0.5, "One step is left: gamma * x_hat + beta."),
        Mistake(
            "that is the second output",
            5 - 2 / 5**0.5,
            "The third value is 6, one above the mean.",
        ),
        Mistake(
            "beta is missing",
            2 / 5**0.5,
            "That is gamma * x_hat. The shift of 5 comes on top.",
        ),
    ),
    hints=(
        "The mean is 5. What are the four deviations, and the mean of their squares?",
        "The variance is 5, so x_hat of the third value is 1 / sqrt(5).",
    ),
    working="The mean is 5, the variance (9 + 1 + 1 + 9) / 4 = 5, and 5 + 2 * 1 / sqrt(5) = 5.894.",
)


def _identity(x, eps):
    return np.sqrt(x.var(axis=0) + eps), x.mean(axis=0)


def _undone(
    x,
    eps,
    root=right_root,
    ddof=0,
    gamma=lambda s, mean: s,
    beta=lambda s, mean: mean,
):
    s, mean = root(x.var(axis=0, ddof=ddof), eps), x.mean(axis=0)
    return gamma(s, mean), beta(s, mean)


def _varied(rng):
    """Tables where eps counts beside the variance, and some where it hardly does."""
    faint = columns(rng, rng.integers(12, 20), 3)
    faint[:, 0] *= 0.01
    unit = units(rng)
    x = np.array([[0.0, 2.0], [4.0, 2.0], [8.0, 2.0], [4.0, -2.0]])
    return [(x, 1.0), (unit * faint, 1e-5 * unit**2), *tables(rng)]


identity = Exercise(
    name="identity",
    chapter=CHAPTER,
    question="Which gamma and beta give x back? f(x, eps) -> (gamma, beta)",
    reference=_identity,
    inputs=_varied,
    outputs=("gamma", "beta"),
    mistakes=(
        Mistake(
            "gamma and beta are swapped",
            partial(_undone, gamma=lambda s, mean: mean, beta=lambda s, mean: s),
            "gamma multiplies x_hat, so it is the spread; beta is added, so it is the mean.",
        ),
        Mistake(
            "gamma is the standard deviation",
            partial(_undone, root=lambda var, eps: np.sqrt(var)),
            "What was divided by is sqrt(var + eps), so that is what gamma must be. For a feature "
            "whose variance is near eps the two differ much.",
        ),
        *wrong_roots(lambda root: partial(_undone, root=root)),
        Mistake(
            "gamma is a variance",
            partial(_undone, root=lambda var, eps: var + eps),
            "x_hat was divided by the root of var + eps.",
        ),
        Mistake(
            "gamma is inverted",
            partial(_undone, gamma=lambda s, mean: 1 / s),
            "The transform divides by sqrt(var + eps). To undo it, multiply by the same number.",
        ),
        Mistake(
            "beta has the wrong sign",
            partial(_undone, beta=lambda s, mean: -mean),
            "The transform subtracts the mean. To undo it, add the mean.",
        ),
        Mistake(
            "beta is scaled by gamma",
            partial(_undone, beta=lambda s, mean: mean / s),
            "beta is added after gamma has multiplied, so it is the plain mean.",
        ),
        Mistake(
            "the unbiased variance is used",
            partial(_undone, ddof=1),
            "The transform divides by the biased one.",
        ),
    ),
    hints=(
        "Read the last two steps of the algorithm backwards.",
        "x = x_hat * sqrt(var + eps) + mean. Compare with y = gamma * x_hat + beta.",
    ),
    praise="These two numbers undo the transform for this batch only.",
)

room = Quantity(
    name="room",
    chapter=CHAPTER,
    question="One value in a batch of 50 differs from the 49 others, which are equal: its x_hat?",
    answer=7.0,
    mistakes=(
        Mistake(
            "that is the root of m",
            50**0.5,
            "The mean is not 0: the inked pixel pulls it up by one part in 50.",
        ),
        Mistake("that is its square", 49.0, "x_hat squared is m - 1. Take the root."),
        Mistake(
            "that is the x_hat of the 49 others",
            -1 / 7,
            "They are below the mean, the inked one is above it.",
        ),
    ),
    hints=(
        "Let the ink be a. Then the mean is a / 50. What is the variance?",
        "The bound of the theorem is reached when all the others are equal.",
    ),
    working=(
        "The deviation is 49 a / 50 and the variance 49 a^2 / 50^2, so the ratio is sqrt(49) = 7: "
        "a cancels."
    ),
)


def _transform_images(x, gamma, beta, eps):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = ((x - mean) ** 2).mean(axis=(0, 2, 3), keepdims=True)
    x_hat = (x - mean) / np.sqrt(var + eps)
    return gamma[:, None, None] * x_hat + beta[:, None, None]


def _made_of_images(x, gamma, beta, eps, axis=(0, 2, 3), along=1, **parts):
    """As for tables, with ``gamma`` and ``beta`` along another axis."""
    if along == 1:
        gamma, beta = gamma[:, None, None], beta[:, None, None]
    return _made(x, gamma, beta, eps, axis=axis, **parts)


def _images(rng, n, c, h, w):
    return np.moveaxis(columns(rng, n * h * w, c).reshape(n, h, w, c), -1, 1)


def _batches_of_images(rng):
    """W equals C in each: else a gamma along the wrong axis would not broadcast at all."""
    x = np.array([[0.0, 2.0], [4.0, 2.0], [8.0, 2.0], [4.0, -2.0]])
    x = x.reshape(2, 1, 2, 2).transpose(0, 3, 1, 2)  # two images of one row
    cases = [(x, np.array([3.0, -2.0]), np.array([1.0, 2.0]), 1.0)]
    for large in (0.5, 1e-5):
        n, c, h = rng.integers(2, 5, 3)
        unit = units(rng)
        x = unit * _images(rng, n, c, h, c)
        cases.append((x, scales(rng, c), rng.normal(0, 1, c), large * unit**2))
    return cases


forward_images = Exercise(
    name="forward_images",
    chapter=CHAPTER,
    question="Batch-normalize images: f(x, gamma, beta, eps) -> y, with x of shape (N, C, H, W).",
    reference=_transform_images,
    inputs=_batches_of_images,
    outputs=("y",),
    hostile=lambda rng, eps: [
        (
            np.moveaxis(far_from_zero(rng, eps).reshape(6, 2, 2, 4), -1, 1),
            scales(rng, 4),
            rng.normal(0, 1, 4),
            1e-5,
        )
    ],
    fragile=FRAGILE,
    describe=lambda case, got, want: deviation.first_deviation(*case, got[0]),
    mistakes=(
        Mistake(
            "each position has its own statistics",
            partial(_made_of_images, axis=(0,)),
            "Over the batch alone, C H W features are treated apart. A channel is one feature: "
            "its positions are samples too.",
        ),
        Mistake(
            "each image has its own statistics",
            partial(_made_of_images, axis=(2, 3)),
            "Without axis 0 the batch plays no part: that is instance norm.",
        ),
        Mistake(
            "the channels are averaged",
            partial(_made_of_images, axis=(1, 2, 3)),
            "All values of one image: that is layer norm. Keep axis 1, sum over the others.",
        ),
        Mistake(
            "the channels and the batch are averaged",
            partial(_made_of_images, axis=(0, 1)),
            "Axis 1 counts the channels; sum over (0, 2, 3).",
        ),
        Mistake(
            "one mean and one variance serve all channels",
            partial(_made_of_images, axis=(0, 1, 2, 3)),
            "Each channel has its own. Keep axis 1.",
        ),
        Mistake(
            "the last axis is taken for the channels",
            partial(_made_of_images, axis=(0, 1, 2), along=-1),
            "Here axis 1 counts the channels. Statistics over (0, 1, 2) are for images with "
            "channels last, and reshape(-1, C) makes rows of channels only of those: move the "
            "axis first, np.moveaxis(x, 1, -1), and back at the end.",
        ),
        Mistake(
            "the statistics are those of the last axis",
            partial(_made_of_images, axis=(0, 1, 2)),
            "Over (0, 1, 2) they are right for images with channels last. Here axis 1 counts the "
            "channels; sum over (0, 2, 3).",
        ),
        Mistake(
            "gamma and beta run along the last axis",
            partial(_made_of_images, along=-1),
            "NumPy aligns shapes from the right, so gamma of shape (C,) meets the axis W. "
            "Reshape it to (C, 1, 1).",
        ),
        Mistake(
            "the variance is divided by m - 1",
            partial(_made_of_images, spread=_unbiased),
            "The transform takes the biased variance, np.var without ddof; m is N H W here.",
        ),
        Mistake(
            "eps is missing",
            partial(_made_of_images, root=lambda var, eps: np.sqrt(var)),
            "Without it, a constant channel divides zero by zero.",
        ),
        *wrong_roots(lambda root: partial(_made_of_images, root=root)),
        Mistake(
            "the root is missing",
            partial(_made_of_images, root=lambda var, eps: var + eps),
            "You divide by a variance, which has the squared units of x. Divide by its root.",
        ),
        Mistake(
            "gamma and beta are swapped",
            partial(_made_of_images, scale=lambda g, b: b, shift=lambda g, b: g),
            "gamma multiplies, beta is added.",
        ),
        Mistake(
            "gamma is missing",
            partial(_made_of_images, scale=lambda g, b: 1.0),
            "What comes back is x_hat + beta. Multiply x_hat by gamma first.",
        ),
        Mistake(
            "gamma loses its sign",
            partial(_made_of_images, scale=lambda g, b: np.abs(g)),
            "Nothing keeps gamma positive. Where it is negative, it turns x_hat over.",
        ),
        Mistake(
            "beta is missing",
            partial(_made_of_images, shift=lambda g, b: 0.0),
            "What comes back is gamma * x_hat. Its mean is 0 in each channel; it should be beta.",
        ),
        Mistake(
            "gamma and beta are missing",
            partial(_made_of_images, scale=lambda g, b: 1.0, shift=lambda g, b: 0.0),
            "What comes back is x_hat. One step of the algorithm is left: gamma * x_hat + beta.",
        ),
    ),
    hints=(
        "Which axes are samples? All but axis 1.",
        "keepdims=True keeps the means in a shape that broadcasts: (1, C, 1, 1).",
        "gamma[:, None, None] has shape (C, 1, 1).",
    ),
    praise="The same function, given axis=0 and no spatial axes, is the one for tables.",
)

"""Exercises of the chapter *What does batch normalization do to a batch?*"""

import numpy as np

from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import columns, scales
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity
from bncourse.exercises.roots import wrong_roots


def _normalize(x, gamma, beta, eps, axis=0, ddof=0):
    """What most of the wrong answers have in common: right but for an axis or a divisor."""
    mean, var = x.mean(axis=axis, keepdims=True), x.var(axis=axis, keepdims=True, ddof=ddof)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def _reference(x, gamma, beta, eps):
    d = x - x.mean(axis=0)
    var = (d * d).mean(axis=0)
    return gamma * d / np.sqrt(var + eps) + beta


def _tables(rng):
    """Tables from tiny to small; the large eps tells the ways of misplacing it apart."""
    cases = []
    for (n, d), eps in (((3, 2), 1e-5), ((8, 5), 0.5), ((20, 4), 1e-5)):
        cases.append((columns(rng, n, d), scales(rng, d), rng.normal(0, 1, d), eps))
    return cases


forward = Exercise(
    question="Batch-normalize a table: f(x, gamma, beta, eps) -> y, with x of shape (N, D).",
    reference=_reference,
    inputs=_tables,
    outputs=("y",),
    mistakes=(
        Mistake(
            "the variance is divided by m - 1",
            lambda x, g, b, eps: _normalize(x, g, b, eps, ddof=1),
            "The transform takes the biased variance, np.var without ddof. With m - 1, the mean "
            "square of x_hat is (m - 1) / m and not 1 (section 'From a wish to a formula').",
        ),
        Mistake(
            "the statistics are those of each row",
            lambda x, g, b, eps: _normalize(x, g, b, eps, axis=1),
            "axis=1 runs along the features of one example, which makes layer norm. A batch norm "
            "looks down the columns, axis=0: then the mean of each column of x_hat is 0.",
        ),
        Mistake(
            "one mean and one variance serve the whole table",
            lambda x, g, b, eps: _normalize(x, g, b, eps, axis=None),
            "x.mean() without an axis mixes the features. Each of the D features has its own mean.",
        ),
        *wrong_roots(
            lambda root: lambda x, g, b, eps: g * (x - x.mean(0)) / root(x.var(0), eps) + b
        ),
        Mistake(
            "eps is missing",
            lambda x, g, b, eps: g * (x - x.mean(0)) / x.std(0) + b,
            "Without it, a constant feature divides zero by zero (section 'What epsilon does').",
        ),
        Mistake(
            "the root is missing",
            lambda x, g, b, eps: g * (x - x.mean(0)) / (x.var(0) + eps) + b,
            "You divide by a variance, which has the squared units of x. Divide by its root.",
        ),
        Mistake(
            "it is not divided by the standard deviation",
            lambda x, g, b, eps: g * (x - x.mean(0)) + b,
            "Centering alone leaves each feature its spread.",
        ),
        Mistake(
            "the mean is not subtracted",
            lambda x, g, b, eps: g * x / np.sqrt(x.var(0) + eps) + b,
            "The numerator is x - mean; yours is x.",
        ),
        Mistake(
            "the sum of the squares stands for their mean",
            lambda x, g, b, eps: (
                g * (x - x.mean(0)) / np.sqrt(((x - x.mean(0)) ** 2).sum(0) + eps) + b
            ),
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
            lambda x, g, b, eps: g * (x - x.mean(0)) / np.sqrt((x * x).mean(0) + eps) + b,
            "The variance is the mean of (x - mean)**2, after centering.",
        ),
        Mistake(
            "gamma and beta are swapped",
            lambda x, g, b, eps: _normalize(x, b, g, eps),
            "gamma multiplies, beta is added.",
        ),
        Mistake(
            "gamma is missing",
            lambda x, g, b, eps: _normalize(x, 1.0, b, eps),
            "What comes back is x_hat + beta. Multiply x_hat by gamma first.",
        ),
        Mistake(
            "gamma loses its sign",
            lambda x, g, b, eps: _normalize(x, np.abs(g), b, eps),
            "Nothing keeps gamma positive. Where it is negative, it turns x_hat over.",
        ),
        Mistake(
            "beta is missing",
            lambda x, g, b, eps: _normalize(x, g, 0.0, eps),
            "What comes back is gamma * x_hat. Its mean is 0; it should be beta.",
        ),
        Mistake(
            "gamma and beta are missing",
            lambda x, g, b, eps: _normalize(x, 1.0, 0.0, eps),
            "What comes back is x_hat. One step of the algorithm is left: gamma * x_hat + beta.",
        ),
        Mistake(
            "beta is added before gamma multiplies",
            lambda x, g, b, eps: g * (_normalize(x, 1.0, 0.0, eps) + b),
            "It is gamma * x_hat + beta, not gamma * (x_hat + beta).",
        ),
        Mistake(
            "gamma and beta are used by the normalization, not after it",
            lambda x, g, b, eps: _normalize(g * x + b, 1.0, 0.0, eps),
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


def _varied(rng):
    """Tables where eps counts beside the variance, and one where it hardly does."""
    faint = columns(rng, 16, 3)
    faint[:, 0] *= 0.01
    return [(columns(rng, 4, 2), 1e-5), (faint, 1e-5), (columns(rng, 9, 4), 0.3)]


identity = Exercise(
    question="Which gamma and beta give x back? f(x, eps) -> (gamma, beta)",
    reference=_identity,
    inputs=_varied,
    outputs=("gamma", "beta"),
    mistakes=(
        Mistake(
            "gamma and beta are swapped",
            lambda x, eps: (x.mean(axis=0), np.sqrt(x.var(axis=0) + eps)),
            "gamma multiplies x_hat, so it is the spread; beta is added, so it is the mean.",
        ),
        *wrong_roots(lambda root: lambda x, eps: (root(x.var(axis=0), eps), x.mean(axis=0))),
        Mistake(
            "gamma is the standard deviation",
            lambda x, eps: (x.std(axis=0), x.mean(axis=0)),
            "What was divided by is sqrt(var + eps), so that is what gamma must be. For a feature "
            "whose variance is near eps the two differ much.",
        ),
        Mistake(
            "gamma is a variance",
            lambda x, eps: (x.var(axis=0) + eps, x.mean(axis=0)),
            "x_hat was divided by the root of var + eps.",
        ),
        Mistake(
            "gamma is inverted",
            lambda x, eps: (1 / np.sqrt(x.var(axis=0) + eps), x.mean(axis=0)),
            "The transform divides by sqrt(var + eps). To undo it, multiply by the same number.",
        ),
        Mistake(
            "beta has the wrong sign",
            lambda x, eps: (np.sqrt(x.var(axis=0) + eps), -x.mean(axis=0)),
            "The transform subtracts the mean. To undo it, add the mean.",
        ),
        Mistake(
            "beta is scaled by gamma",
            lambda x, eps: (
                np.sqrt(x.var(axis=0) + eps),
                x.mean(axis=0) / np.sqrt(x.var(axis=0) + eps),
            ),
            "beta is added after gamma has multiplied, so it is the plain mean.",
        ),
        Mistake(
            "the unbiased variance is used",
            lambda x, eps: (np.sqrt(x.var(axis=0, ddof=1) + eps), x.mean(axis=0)),
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


def _root(var, eps):
    return np.sqrt(var + eps)


def _images(x, gamma, beta, eps, axes=(0, 2, 3), ddof=0, root=_root):
    mean = x.mean(axis=axes, keepdims=True)
    var = x.var(axis=axes, keepdims=True, ddof=ddof)
    return gamma[:, None, None] * (x - mean) / root(var, eps) + beta[:, None, None]


def _reference_images(x, gamma, beta, eps):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = ((x - mean) ** 2).mean(axis=(0, 2, 3), keepdims=True)
    x_hat = (x - mean) / np.sqrt(var + eps)
    return gamma[:, None, None] * x_hat + beta[:, None, None]


def _batches_of_images(rng):
    cases = []
    # W equals C in each: else a gamma along the wrong axis would not broadcast at all.
    for shape, eps in (((2, 2, 2, 2), 1e-5), ((4, 3, 5, 3), 0.5), ((3, 3, 3, 3), 1e-5)):
        c = shape[1]
        n, _, h, w = shape
        x = np.moveaxis(columns(rng, n * h * w, c).reshape(n, h, w, c), -1, 1)
        cases.append((x, scales(rng, c), rng.normal(0, 1, c), eps))
    return cases


forward_images = Exercise(
    question="Batch-normalize images: f(x, gamma, beta, eps) -> y, with x of shape (N, C, H, W).",
    reference=_reference_images,
    inputs=_batches_of_images,
    outputs=("y",),
    mistakes=(
        Mistake(
            "each position has its own statistics",
            lambda x, g, b, eps: _images(x, g, b, eps, axes=(0,)),
            "Over the batch alone, C H W features are treated apart. A channel is one feature: "
            "its positions are samples too.",
        ),
        Mistake(
            "each image has its own statistics",
            lambda x, g, b, eps: _images(x, g, b, eps, axes=(2, 3)),
            "Without axis 0 the batch plays no part: that is instance norm.",
        ),
        Mistake(
            "the channels are averaged",
            lambda x, g, b, eps: _images(x, g, b, eps, axes=(1, 2, 3)),
            "All values of one image: that is layer norm. Keep axis 1, sum over the others.",
        ),
        Mistake(
            "the channels and the batch are averaged",
            lambda x, g, b, eps: _images(x, g, b, eps, axes=(0, 1)),
            "Axis 1 counts the channels; sum over (0, 2, 3).",
        ),
        Mistake(
            "one mean and one variance serve all channels",
            lambda x, g, b, eps: _images(x, g, b, eps, axes=(0, 1, 2, 3)),
            "Each channel has its own. Keep axis 1.",
        ),
        Mistake(
            "the last axis is taken for the channels",
            lambda x, g, b, eps: _normalize(x, g, b, eps, axis=(0, 1, 2)),
            "Here axis 1 counts the channels. Statistics over (0, 1, 2) are for images with "
            "channels last, and reshape(-1, C) makes rows of channels only of those: move the "
            "axis first, np.moveaxis(x, 1, -1), and back at the end.",
        ),
        Mistake(
            "the statistics are those of the last axis",
            lambda x, g, b, eps: _images(x, g, b, eps, axes=(0, 1, 2)),
            "Over (0, 1, 2) they are right for images with channels last. Here axis 1 counts the "
            "channels; sum over (0, 2, 3).",
        ),
        Mistake(
            "gamma and beta run along the last axis",
            lambda x, g, b, eps: g * _images(x, np.ones_like(g), np.zeros_like(b), eps) + b,
            "NumPy aligns shapes from the right, so gamma of shape (C,) meets the axis W. "
            "Reshape it to (C, 1, 1).",
        ),
        Mistake(
            "the variance is divided by m - 1",
            lambda x, g, b, eps: _images(x, g, b, eps, ddof=1),
            "The transform takes the biased variance, np.var without ddof; m is N H W here.",
        ),
        *wrong_roots(lambda root: lambda x, g, b, eps: _images(x, g, b, eps, root=root)),
        Mistake(
            "eps is missing",
            lambda x, g, b, eps: _images(x, g, b, 0.0),
            "Without it, a constant channel divides zero by zero.",
        ),
        Mistake(
            "the root is missing",
            lambda x, g, b, eps: _images(x, g, b, eps, root=lambda var, eps: var + eps),
            "You divide by a variance, which has the squared units of x. Divide by its root.",
        ),
        Mistake(
            "gamma and beta are swapped",
            lambda x, g, b, eps: _images(x, b, g, eps),
            "gamma multiplies, beta is added.",
        ),
        Mistake(
            "gamma is missing",
            lambda x, g, b, eps: _images(x, np.ones_like(g), b, eps),
            "What comes back is x_hat + beta. Multiply x_hat by gamma first.",
        ),
        Mistake(
            "gamma loses its sign",
            lambda x, g, b, eps: _images(x, np.abs(g), b, eps),
            "Nothing keeps gamma positive. Where it is negative, it turns x_hat over.",
        ),
        Mistake(
            "beta is missing",
            lambda x, g, b, eps: _images(x, g, np.zeros_like(b), eps),
            "What comes back is gamma * x_hat. Its mean is 0 in each channel; it should be beta.",
        ),
        Mistake(
            "gamma and beta are missing",
            lambda x, g, b, eps: _images(x, np.ones_like(g), np.zeros_like(b), eps),
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

"""Exercises of the chapter *What happens to a signal, and to a gradient, in a deep net?*"""

import math
from functools import partial

import numpy as np

from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import units
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity

CHAPTER = "why/depth"

VARIANCE = 1 / 2 - 1 / (2 * math.pi)  # of max(a, 0), for a standard Gaussian a
GROWTH = math.sqrt(math.pi / (math.pi - 1))  # of the gradient, in a batch-normalized layer


thirty_layers = Quantity(
    name="thirty_layers",
    chapter=CHAPTER,
    question="A plain net of 30 layers with rectifiers, n units in each, weights of variance 1/n. "
    "How many times smaller is the size of h_30, its root mean square, than that of h_0?",
    answer=2.0**15,
    absolute=0.0,
    mistakes=(
        Mistake(
            "that is the factor of the mean square",
            2.0**30,
            "Each layer halves the mean square. The size is its root.",
        ),
        Mistake(
            "the root is taken twice",
            2.0**7.5,
            "One layer divides the size by the root of 2, and 30 layers by its 30th power.",
        ),
        Mistake(
            "the factor is turned upside down",
            2.0**-15,
            "That is what the size is multiplied by. The question is how many times smaller it is.",
        ),
        Mistake(
            "the rectifier is forgotten",
            1.0,
            "Weights of variance 1/n keep the mean square; then the rectifier halves it.",
        ),
        Mistake(
            "the factors are added",
            15.0,
            "Layers multiply: a half of a half is a quarter.",
        ),
        Mistake(
            "the variance stands for the mean square",
            VARIANCE**-15,
            "The next layer adds up the squares of what it gets, mean included. A half of the "
            "mean square passes a rectifier, and only 0.34 of it is variance.",
        ),
        Mistake(
            "one layer is missing",
            2.0**14.5,
            "From h_0 to h_30, there are 30 layers.",
        ),
    ),
    hints=(
        "What does one layer do to the mean square, if n times the variance of the weights is 1?",
        "It halves it. And the root of the mean square?",
    ),
    working="A layer multiplies the mean square by 1/2, thirty layers by 2^-30. The size is the "
    "root: 2^15 = 32768 times smaller.",
)


def _layer_sizes(x, weights, dy):
    def size(a):
        return np.sqrt(np.mean(a**2))

    h = [x]
    for w in weights:
        h.append(np.maximum(h[-1] @ w, 0))
    down = [size(dy)]
    for w, out in zip(weights[::-1], h[:0:-1], strict=True):
        dy = (dy * (out > 0)) @ w.T
        down.append(size(dy))
    return np.array([size(a) for a in h]), np.array(down[::-1])


def _rms(a):
    return np.sqrt(np.mean(a**2))


def _made_sizes(
    x,
    weights,
    dy,
    measure=_rms,
    g=lambda a: np.maximum(a, 0),
    slope=lambda h, a, h_in: a > 0,
    back=lambda w: w.T,
    up_of=lambda h, a: h,
    down_of=lambda u, d: u,
    order=-1,
):
    """The sizes in parts that can be replaced; right as they stand."""
    h, passed = x, []
    up = [measure(x)]
    for w in weights:
        a = h @ w
        out = g(a)
        passed.append((w, slope(out, a, h)))
        up.append(measure(up_of(out, a)))
        h = out
    down = []
    u = dy
    for w, s in reversed(passed):
        d = u * s
        down.append(measure(down_of(u, d)))
        u = d @ back(w)
    down.append(measure(u))
    return np.array(up), np.array(down[::order])


def _nets(rng):
    """One of two layers whose numbers come out round, and three at random. All are square."""
    x = np.array([[1.0, 7.0], [-1.0, 7.0]])
    weights = np.array([[[1.0, 0.0], [1.0, -1.0]], [[0.0, 1.0], [-1.0, 2.0]]])
    cases = [(x, weights, np.array([[3.0, 4.0], [-4.0, 3.0]]))]
    for _ in range(3):
        depth, n, m = rng.integers(3, 6), rng.integers(6, 10), rng.integers(7, 12)
        w = rng.normal(0, rng.uniform(1, 2) / np.sqrt(n), (depth, n, n))
        x = rng.normal(rng.uniform(0.5, 1), 1, (m, n))
        cases.append((units(rng) * x, w, units(rng) * rng.normal(0.5, 1, (m, n))))
    return cases


layer_sizes = Exercise(
    name="layer_sizes",
    chapter=CHAPTER,
    question="A plain net with rectifiers and without biases: weights of shape (L, n, n), x of "
    "shape (m, n) goes in, and dy of shape (m, n), the gradient of h_L, comes back. Return the "
    "sizes of h_0 to h_L and those of their gradients: f(x, weights, dy) -> (up, down), both of "
    "shape (L + 1,).",
    reference=_layer_sizes,
    inputs=_nets,
    outputs=("up", "down"),
    mistakes=(
        Mistake(
            "a standard deviation stands for the size",
            partial(_made_sizes, measure=np.std),
            "np.std subtracts the mean first, and what leaves a rectifier has a mean above 0. "
            "The next layer adds up squares, mean included: np.sqrt(np.mean(h**2)).",
        ),
        Mistake(
            "the spread over the examples stands for the size",
            partial(_made_sizes, measure=lambda a: np.sqrt(a.var(axis=0).mean())),
            "What all examples have in common counts as well: np.sqrt(np.mean(h**2)).",
        ),
        Mistake(
            "the root is missing",
            partial(_made_sizes, measure=lambda a: np.mean(a**2)),
            "Those are mean squares. The size is the root.",
        ),
        Mistake(
            "the mean absolute value stands for the size",
            partial(_made_sizes, measure=lambda a: np.mean(np.abs(a))),
            "Mean squares follow a simple recursion, mean absolute values do not: "
            "np.sqrt(np.mean(h**2)).",
        ),
        Mistake(
            "the squares are added up, not averaged",
            partial(_made_sizes, measure=np.linalg.norm),
            "np.linalg.norm grows with the number of entries. Divide by the root of their number.",
        ),
        Mistake(
            "up holds the sizes in front of the rectifiers",
            partial(_made_sizes, up_of=lambda h, a: a),
            "h is what leaves the rectifier.",
        ),
        Mistake(
            "down holds the gradients in front of the rectifiers",
            partial(_made_sizes, down_of=lambda u, d: d),
            "You measure after the slope of the rectifier has been applied: that is the gradient "
            "of the pre-activation. Measure before it.",
        ),
        Mistake(
            "the rectifier is forgotten on the way back",
            partial(_made_sizes, slope=lambda h, a, h_in: 1.0),
            "Where a rectifier has cut off its input, its slope is 0: nothing comes back.",
        ),
        Mistake(
            "the rectifier is missing",
            partial(_made_sizes, g=lambda a: a, slope=lambda h, a, h_in: 1.0),
            "h = np.maximum(h @ w, 0), and its slope on the way back.",
        ),
        Mistake(
            "the slope is taken where the layer begins",
            partial(_made_sizes, slope=lambda h, a, h_in: h_in > 0),
            "The mask of a layer is where what *leaves* it is positive.",
        ),
        Mistake(
            "the gradient is multiplied by h",
            partial(_made_sizes, slope=lambda h, a, h_in: h),
            "The slope of a rectifier is 1 where it lets through, whatever the value.",
        ),
        Mistake(
            "the weights are not transposed",
            partial(_made_sizes, back=lambda w: w),
            "On the way back it is dy @ w.T. In square layers nothing crashes without the T.",
        ),
        Mistake(
            "down begins at the top",
            partial(_made_sizes, order=1),
            "The gradients come in that order, but down[0] belongs to h_0: turn the list round.",
        ),
    ),
    hints=(
        "On the way up, keep every h in a list: h = np.maximum(h @ w, 0).",
        "On the way down, for the last layer first: measure dy, then dy = (dy * (h > 0)) @ w.T, "
        "with the h that leaves the layer.",
        "The size of an array is np.sqrt(np.mean(a**2)). Turn the list of gradients round.",
    ),
    praise="With x from your own data, this tells within a second whether a deep net can learn.",
)


def _leaky_weights(z, slope):
    return np.sqrt(2 / (1 + slope**2) / len(z)) * z


def _made_leaky(
    z,
    slope,
    passed=lambda s: (1 + s**2) / 2,
    fan=lambda n_in, n_out: n_in,
    power=0.5,
    form=lambda tau: tau,
):
    """The weights in parts that can be replaced; right as they stand."""
    return form((passed(slope) * fan(*z.shape)) ** -power) * z


def _leaky_layers(rng):
    """One that is scaled by 0.8, and three of random shapes, never square."""
    cases = [(np.array([[1.0, -1.0, 0.5], [0.0, 2.0, -1.5]]), 0.75)]
    for low in (0.1, 0.3, 0.5):
        n_in = rng.integers(6, 40)
        n_out = n_in + rng.choice([-1, 1]) * rng.integers(2, n_in // 2 + 1)
        cases.append((rng.normal(0, 1, (n_in, n_out)), float(rng.uniform(low, low + 0.2))))
    return cases


def _describe_leaky(case, got, want):
    z, slope = case
    ratio = got[0][z != 0] / z[z != 0]
    if np.ptp(ratio) > 1e-4 * np.abs(ratio).max():
        return ["w is not z times a number."]
    n_in, n_out = z.shape
    return [
        f"w is {ratio.mean():.4g} times z, with n_in = {n_in}, n_out = {n_out} and slope = "
        f"{slope:.3g}."
    ]


leaky_weights = Exercise(
    name="leaky_weights",
    chapter=CHAPTER,
    question="A leaky rectifier is a for a > 0 and slope * a for a < 0. z holds standard normal "
    "numbers and has shape (n_in, n_out). Make weights of it that keep the mean square of the "
    "pre-activations from layer to layer: f(z, slope) -> w.",
    reference=_leaky_weights,
    inputs=_leaky_layers,
    outputs=("w",),
    describe=_describe_leaky,
    mistakes=(
        Mistake(
            "the slope is forgotten",
            partial(_made_leaky, passed=lambda s: 0.5),
            "2 / n_in is for a rectifier without a leak. Negative inputs pass something too: "
            "slope**2 of their mean square.",
        ),
        Mistake(
            "the rectifier is forgotten",
            partial(_made_leaky, passed=lambda s: 1.0),
            "1 / n_in keeps the mean square in the sum; then the leaky rectifier takes its share.",
        ),
        Mistake(
            "the slope is not squared",
            partial(_made_leaky, passed=lambda s: (1 + s) / 2),
            "It is squares that are averaged: (slope * a)**2 = slope**2 a**2.",
        ),
        Mistake(
            "the mean slope is squared",
            partial(_made_leaky, passed=lambda s: ((1 + s) / 2) ** 2),
            "Square first, then average: (1 + slope**2) / 2, not ((1 + slope) / 2)**2.",
        ),
        Mistake(
            "the leak is subtracted",
            partial(_made_leaky, passed=lambda s: (1 - s**2) / 2),
            "What leaks through is added to the mean square, whatever its sign.",
        ),
        Mistake(
            "the half is missing",
            partial(_made_leaky, passed=lambda s: 1 + s**2),
            "Half of the inputs are positive and half negative, so it is the mean of 1 and "
            "slope**2.",
        ),
        Mistake(
            "the variance stands for the mean square",
            partial(_made_leaky, passed=lambda s: (1 + s**2) / 2 - (1 - s) ** 2 / (2 * math.pi)),
            "The next layer adds up squares, mean included. Weights that keep the variance let "
            "the mean square grow.",
        ),
        Mistake(
            "n is the number of outputs",
            partial(_made_leaky, fan=lambda n_in, n_out: n_out),
            "A pre-activation is a sum of n_in terms, z.shape[0]. The outputs meet in the sums "
            "of the way back.",
        ),
        Mistake(
            "n is the mean of inputs and outputs",
            partial(_made_leaky, fan=lambda n_in, n_out: (n_in + n_out) / 2),
            "That is the compromise of Glorot and Bengio, for both directions. The way up asks "
            "for n_in alone.",
        ),
        Mistake(
            "n is the sum of inputs and outputs",
            partial(_made_leaky, fan=lambda n_in, n_out: n_in + n_out),
            "A pre-activation is a sum of n_in terms.",
        ),
        Mistake(
            "the root is missing",
            partial(_made_leaky, form=lambda tau: tau**2),
            "2 / ((1 + slope**2) n_in) is the variance of the weights. z is scaled by its root.",
        ),
        Mistake(
            "the factor is turned upside down",
            partial(_made_leaky, form=lambda tau: 1 / tau),
            "The weights make up for what a layer does to the size: divide by it.",
        ),
        Mistake(
            "z is not scaled",
            lambda z, slope: 1.0 * z,
            "A variance of 1 suits one or two inputs. The more terms, the smaller each weight.",
        ),
    ),
    hints=(
        "Which share of the mean square of a passes, if a is as often negative as positive?",
        "(1 + slope**2) / 2. The variance of the weights times n_in times this share is 1.",
        "w = z * np.sqrt(2 / ((1 + slope**2) * n_in)), and n_in is z.shape[0].",
    ),
    praise="With slope 0 this is the rule of He et al., with slope 1 the net is linear and it is "
    "1 / n_in.",
)


fifty_layers = Quantity(
    name="fifty_layers",
    chapter=CHAPTER,
    question="A wide net of 50 layers with batch norm and rectifiers, large batches, before "
    "training. By which factor is the size of the gradient larger at the bottom than on top?",
    answer=GROWTH**50,
    tolerance=0.015,  # for 1.211, rounded
    absolute=0.0,
    mistakes=(
        Mistake(
            "that is the growth of the mean square",
            GROWTH**100,
            "1.467 is the factor of the square. The size grows by its root, 1.211, in each layer.",
        ),
        Mistake(
            "the root is taken twice",
            GROWTH**25,
            "1.211 is the root of 1.467 already: 1.211 to the power of 50.",
        ),
        Mistake(
            "that is the plain net with twice the variance",
            2.0**25,
            "The factor of one layer is not the root of 2 but the root of pi / (pi - 1).",
        ),
        Mistake(
            "the growth is added up",
            1 + 50 * (GROWTH - 1),
            "Layers multiply: 1.211 to the power of 50.",
        ),
        Mistake(
            "the factor is multiplied by the number of layers",
            50 * GROWTH,
            "Layers multiply: 1.211 to the power of 50.",
        ),
        Mistake(
            "the factor is turned upside down",
            GROWTH**-50,
            "On its way down the gradient grows.",
        ),
    ),
    hints=(
        "By which factor does the size of the gradient grow in one layer?",
        "By sqrt(pi / (pi - 1)) = 1.211. And in fifty?",
    ),
    working="sqrt(pi / (pi - 1)) = 1.211 a layer, to the power of 50: about 14 500.",
)


norm_threshold = Quantity(
    name="norm_threshold",
    chapter=CHAPTER,
    question="A batch-normalized net with rectifiers, weights of variance gain / n and eps = 1e-5. "
    "Below which gain does the signal die out on its way up, whatever its distribution?",
    answer=2e-5,
    tolerance=0.02,
    absolute=0.0,
    mistakes=(
        Mistake(
            "the rectifier is forgotten",
            1e-5,
            "Of a variance v in front of the rectifier, at most v / 2 is left behind it.",
        ),
        Mistake(
            "the signal is taken to be Gaussian",
            1e-5 / VARIANCE,
            "Of a Gaussian's variance 0.341 passes a rectifier. Of others more, up to one half, "
            "and a signal that is about to die is far from Gaussian.",
        ),
        Mistake(
            "the half is on the wrong side",
            0.5e-5,
            "gain / 2 must be less than eps.",
        ),
        Mistake(
            "that is a standard deviation",
            math.sqrt(2e-5),
            "The gain is n times a variance.",
        ),
        Mistake(
            "that is the root of eps",
            math.sqrt(1e-5),
            "eps is a variance, and so is the gain (times 1/n).",
        ),
    ),
    hints=(
        "Let q be the variance that leaves one batch norm. What variance reaches the next?",
        "At most v = gain q / 2, and v / (v + eps) leaves it, which is less than v / eps.",
    ),
    working="A variance q becomes at most v = gain q / 2 in front of the next batch norm, and "
    "v / (v + eps) < v / eps behind it. So each layer multiplies it by less than gain / (2 eps), "
    "which is below 1 for gain < 2 eps = 2e-5.",
)

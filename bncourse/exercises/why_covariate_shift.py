"""Exercises of the chapter *What is internal covariate shift, and can we see it?*"""

import copy
import math
from functools import partial

import numpy as np

from bncourse import functional as F
from bncourse import nn
from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import columns, units
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity

CHAPTER = "why/covariate-shift"

shift_by_hand = Quantity(
    name="shift_by_hand",
    chapter=CHAPTER,
    question="A unit gets (2, 4, 6, 8) for four images, and (12, 3, 5, 0) for the same four images "
    "later on. What is its shift D, that is W1 over the root of the mean of the two variances?",
    answer=2 / 3.5,
    mistakes=(
        Mistake(
            "the images are compared one by one",
            5 / 3.5,
            "2 went to 12, but somebody else has taken its place. Sort both lists first: a "
            "distribution does not know who is who.",
        ),
        Mistake(
            "the means are compared",
            0.0,
            "Both means are 5. The distribution has become wider, though.",
        ),
        Mistake(
            "it is not divided by the spread",
            2.0,
            "That is W1. Divide by the root of the mean variance.",
        ),
        Mistake(
            "it is divided by the spread before",
            2 / math.sqrt(5),
            "The variances are 5 and 19.5. Take the root of their mean.",
        ),
        Mistake(
            "it is divided by the spread afterwards",
            2 / math.sqrt(19.5),
            "The variances are 5 and 19.5. Take the root of their mean.",
        ),
        Mistake(
            "the root is missing",
            2 / 12.25,
            "12.25 is the mean variance. Its root, 3.5, has the units of W1.",
        ),
        Mistake(
            "the variances are divided by n - 1",
            2 / math.sqrt((20 / 3 + 26) / 2),
            "The biased variances, sums of squares over 4, are 5 and 19.5.",
        ),
        Mistake(
            "the spreads are averaged, not the variances",
            4 / (math.sqrt(5) + math.sqrt(19.5)),
            "First the mean of 5 and 19.5, then the root.",
        ),
        Mistake(
            "the sum stands for the mean",
            8 / 3.5,
            "W1 is the mean of the four distances 2, 1, 1, 4.",
        ),
        Mistake(
            "the distances are squared",
            math.sqrt(5.5) / 3.5,
            "The root of the mean square distance is another measure, W2. W1 takes |a - b|.",
        ),
    ),
    hints=(
        "Write the second list in ascending order under the first.",
        "The distances are 2, 1, 1, 4. The variances are 5 and 19.5, and their mean is 12.25.",
    ),
    working="Sorted, (0, 3, 5, 12). The distances are 2, 1, 1, 4, so W1 = 2. The variances are 5 "
    "and 19.5, the root of their mean is 3.5, and D = 2 / 3.5 = 0.571, though the mean is 5 twice.",
)


def _distribution_shift(before, after):
    distance = np.abs(np.sort(before, axis=0) - np.sort(after, axis=0)).mean(axis=0)
    spread = np.sqrt((before.var(axis=0) + after.var(axis=0)) / 2)
    return distance / spread


def _sorted(x):
    return np.sort(x, axis=0)


def _mean_distance(a, b):
    return np.abs(a - b).mean(axis=0)


def _root_mean_variance(a, b):
    return np.sqrt((a.var(axis=0) + b.var(axis=0)) / 2)


def _made_shift(
    before,
    after,
    order=_sorted,
    distance=_mean_distance,
    spread=_root_mean_variance,
):
    """The shift in parts that can be replaced; right as it stands."""
    return distance(order(before), order(after)) / spread(before, after)


def _two_steps(rng):
    """The same images at two steps; units of different means and spreads, in any unit."""
    before = np.array([[2.0, 1.0], [4.0, 0.0], [6.0, -1.0], [8.0, 2.0]])
    after = np.array([[12.0, 3.0], [3.0, 2.0], [5.0, -2.0], [0.0, 4.0]])
    cases = [(before, after)]
    for n in (rng.integers(9, 15), rng.integers(20, 40)):
        d, unit = rng.integers(3, 6), units(rng)
        a, b = (unit * columns(rng, n, d) for _ in range(2))
        cases.append((a, b * rng.uniform(1.2, 2, d)))
    return cases


def _describe_shift(case, got, want):
    ratio = got[0] / want[0]
    if np.ptp(ratio) > 1e-4 * np.abs(ratio).max():
        return []
    return [f"Each unit's shift is {ratio.mean():.4g} times the right one."]


distribution_shift = Exercise(
    name="distribution_shift",
    chapter=CHAPTER,
    question="before and after, of shape (n, units), hold what each unit gets for the same n "
    "images at two steps. Return the shift D of each unit, f(before, after) -> d of shape "
    "(units,): W1 over the root of the mean of the two biased variances.",
    reference=_distribution_shift,
    inputs=_two_steps,
    outputs=("d",),
    describe=_describe_shift,
    mistakes=(
        Mistake(
            "the images are compared one by one",
            partial(_made_shift, order=lambda x: x),
            "The mean of |before - after| sees images change places. A distribution does not know "
            "who is who: sort each column first.",
        ),
        Mistake(
            "the rows are sorted",
            partial(_made_shift, order=lambda x: np.sort(x, axis=1)),
            "np.sort sorts along the last axis, here the units of one image. Sort the images of "
            "one unit, axis=0.",
        ),
        Mistake(
            "whole images are put in order",
            partial(_made_shift, order=lambda x: x[np.argsort(x[:, 0])]),
            "Sorting by the first unit leaves the others in disorder. Each column has an order of "
            "its own.",
        ),
        Mistake(
            "the means are compared",
            partial(_made_shift, distance=lambda a, b: np.abs(a.mean(axis=0) - b.mean(axis=0))),
            "A distribution can widen while its mean stays. Take the mean of the distances, not "
            "the distance of the means.",
        ),
        Mistake(
            "the distances keep their signs",
            partial(_made_shift, distance=lambda a, b: (b - a).mean(axis=0)),
            "Where some values rise and others fall they cancel. Take np.abs before the mean.",
        ),
        Mistake(
            "the distances are squared",
            partial(_made_shift, distance=lambda a, b: np.sqrt(((a - b) ** 2).mean(axis=0))),
            "The root of the mean square distance is another measure, W2. W1 takes |a - b|.",
        ),
        Mistake(
            "the sum stands for the mean",
            partial(_made_shift, distance=lambda a, b: np.abs(a - b).sum(axis=0)),
            "With a sum, a larger probe would show a larger shift of the same network.",
        ),
        Mistake(
            "the largest distance stands for the mean",
            partial(_made_shift, distance=lambda a, b: np.abs(a - b).max(axis=0)),
            "One image decides then. W1 is the mean over all of them.",
        ),
        Mistake(
            "the median stands for the mean",
            partial(_made_shift, distance=lambda a, b: np.median(np.abs(a - b), axis=0)),
            "W1 is the mean of the distances; only that is the area between the two distribution "
            "functions.",
        ),
        Mistake(
            "it is not divided by the spread",
            partial(_made_shift, spread=lambda a, b: 1.0),
            "That is W1, in the units of the input. Two units can be compared only in spreads.",
        ),
        Mistake(
            "it is divided by the spread before",
            partial(_made_shift, spread=lambda a, b: a.std(axis=0)),
            "Then the way there is not as long as the way back. Take the root of the mean of both "
            "variances.",
        ),
        Mistake(
            "it is divided by the spread afterwards",
            partial(_made_shift, spread=lambda a, b: b.std(axis=0)),
            "Then the way there is not as long as the way back. Take the root of the mean of both "
            "variances.",
        ),
        Mistake(
            "the spreads are averaged, not the variances",
            partial(_made_shift, spread=lambda a, b: (a.std(axis=0) + b.std(axis=0)) / 2),
            "First the mean of the variances, then the root.",
        ),
        Mistake(
            "the variances are added, not averaged",
            partial(_made_shift, spread=lambda a, b: np.sqrt(a.var(axis=0) + b.var(axis=0))),
            "Halve their sum: else a move by one spread does not count as one.",
        ),
        Mistake(
            "the root is missing",
            partial(_made_shift, spread=lambda a, b: (a.var(axis=0) + b.var(axis=0)) / 2),
            "You divide by a variance, which has squared units. Divide by its root.",
        ),
        Mistake(
            "the variances are divided by n - 1",
            partial(
                _made_shift,
                spread=lambda a, b: np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / 2),
            ),
            "The biased ones are wanted, np.var without ddof.",
        ),
        Mistake(
            "the spread is that of both steps together",
            partial(_made_shift, spread=lambda a, b: np.concatenate([a, b]).std(axis=0)),
            "A distribution that has moved far makes that spread large, and so hides its move. "
            "Take the variance at each step, about the mean of that step.",
        ),
        Mistake(
            "one spread serves all units",
            partial(_made_shift, spread=lambda a, b: np.sqrt((a.var() + b.var()) / 2)),
            "Without an axis, var mixes the units, and counts how far apart their means are. Each "
            "unit has its own spread: axis=0.",
        ),
    ),
    hints=(
        "Sort the column of each unit, at both steps. What is paired then?",
        "np.sort(before, axis=0) and np.sort(after, axis=0); the mean of their absolute "
        "differences is W1.",
        "The spread is np.sqrt((before.var(axis=0) + after.var(axis=0)) / 2).",
    ),
    praise="It is the same there and back. Is there a triangle inequality too, after the division?",
)

noise_floor = Quantity(
    name="noise_floor",
    chapter=CHAPTER,
    question="Two batches of 60 from a frozen network show a shift of 0.14. The network in "
    "training shifts by 0.014 in five steps. How many images must a batch hold for the noise to "
    "fall to that?",
    answer=6000.0,
    mistakes=(
        Mistake(
            "the noise falls like 1 / m",
            600.0,
            "It falls like one over the root of m: ten times less noise takes a hundred times the "
            "images.",
        ),
        Mistake(
            "the root is taken instead of the square",
            60 * math.sqrt(10),
            "0.14 / 0.014 = 10 = sqrt(m / 60). Square it to solve for m.",
        ),
        Mistake(
            "that is the factor",
            100.0,
            "A batch must be 100 times as large. It has 60 images now.",
        ),
        Mistake(
            "the noise grows with the batch",
            0.6,
            "A larger batch says more about the distribution: there is less noise in it.",
        ),
    ),
    hints=(
        "The noise is a constant over the root of m. Which constant, if it is 0.14 at m = 60?",
        "0.14 sqrt(60 / m) = 0.014.",
    ),
    working="0.14 sqrt(60 / m) = 0.014 gives m / 60 = 10^2, so m = 6000. A probe that stays the "
    "same needs no such effort: its noise is the same at both steps, and cancels.",
)

stretched = Quantity(
    name="stretched",
    chapter=CHAPTER,
    question="x_hat of a unit is Gaussian with mean 0 and variance 1, and does not change. Its "
    "gamma rises from 1 to 1.2, its beta stays. What is the shift D of y = gamma x_hat + beta? "
    "(The mean of |x_hat| is sqrt(2 / pi) = 0.798.)",
    answer=0.2 * math.sqrt(2 / math.pi) / math.sqrt(1.22),
    mistakes=(
        Mistake(
            "a mean that stays is taken for no shift",
            0.0,
            "The mean stays at beta, but the values spread out: each moves by 0.2 |x_hat|.",
        ),
        Mistake(
            "it is not divided by the spread",
            0.2 * math.sqrt(2 / math.pi),
            "That is W1. The spreads are 1 and 1.2: divide by the root of the mean of 1 and 1.44.",
        ),
        Mistake(
            "the mean of |x_hat| is taken to be 1",
            0.2 / math.sqrt(1.22),
            "The root of the mean square of x_hat is 1. The mean of |x_hat| is less, 0.798.",
        ),
        Mistake(
            "gamma stands for its change",
            1.2 * math.sqrt(2 / math.pi) / math.sqrt(1.22),
            "A value moves from x_hat to 1.2 x_hat, so by 0.2 x_hat.",
        ),
        Mistake(
            "it is divided by the spread afterwards",
            0.2 * math.sqrt(2 / math.pi) / 1.2,
            "Divide by the root of the mean of both variances, 1 and 1.44.",
        ),
        Mistake(
            "the root is missing",
            0.2 * math.sqrt(2 / math.pi) / 1.22,
            "1.22 is the mean variance. Divide by its root.",
        ),
        Mistake(
            "the variances are added, not averaged",
            0.2 * math.sqrt(2 / math.pi) / math.sqrt(2.44),
            "The mean of 1 and 1.44 is 1.22.",
        ),
    ),
    hints=(
        "By how much does each value of y move? Does their order change?",
        "By 0.2 x_hat, and the order stays: W1 is the mean of 0.2 |x_hat|. The spreads are 1 and "
        "1.2.",
    ),
    working="W1 = 0.2 * 0.798 = 0.160, the spread is sqrt((1 + 1.44) / 2) = 1.105, and D = 0.144. "
    "The mean has not moved at all.",
)


def _probe_inputs(net, x):
    inputs = []
    for layer in net.layers:
        if isinstance(layer, nn.BatchNorm):
            x, _ = F.batch_norm_forward(x, layer.gamma, layer.beta, layer.eps)
            continue
        if isinstance(layer, nn.Sigmoid):
            inputs.append(x)
        x, _ = layer.forward(x)
    return inputs


def _listened(net, x, normalize=None, keep=lambda kind: kind is nn.Sigmoid, after=False):
    """Probing in parts that can be replaced; right as it stands."""
    inputs = []
    for layer in net.layers:
        entering = x
        if normalize and isinstance(layer, nn.BatchNorm):
            x = normalize(layer, x)
        elif isinstance(layer, nn.BatchNorm):
            x, _ = F.batch_norm_forward(x, layer.gamma, layer.beta, layer.eps)
        else:
            x, _ = layer.forward(x)
        if keep(type(layer)):
            inputs.append(x if after else entering)
    return inputs


def _by_running_statistics(layer, x):
    return F.batch_norm_inference(
        x, layer.gamma, layer.beta, layer.running_mean, layer.running_var, layer.eps
    )


def _by_the_layer(layer, x):
    return layer.forward(x)[0]


def _x_hat_only(layer, x):
    return F.batch_norm_forward(x, eps=layer.eps)[0]


def _nets_and_probes(rng):
    """Small normalized nets that have been trained for a while, as it seems."""
    cases = []
    for n, pixels, hidden in ((4, 2, 2), rng.integers(6, 12, 3)):
        layers = []
        for width in (pixels, hidden):
            norm = nn.BatchNorm(hidden, dtype="float64")
            norm.gamma = rng.uniform(0.5, 2, hidden)
            norm.beta = rng.normal(0, 1, hidden)
            norm.running_mean = rng.normal(1, 1, hidden)
            norm.running_var = rng.uniform(2, 9, hidden)
            dense = nn.Dense(width, hidden, bias=False, std=2.0, rng=rng, dtype="float64")
            layers += [dense, norm, nn.Sigmoid()]
        layers.append(nn.Dense(hidden, 3, std=2.0, rng=rng, dtype="float64"))
        cases.append((nn.Sequential(*layers), rng.normal(0, 1, (n, pixels))))
    return cases


def _probed(answer, net, x):
    net = copy.deepcopy(net)
    inputs = answer(net, x)
    if inputs is None or inputs is ...:
        return None
    if len(inputs) != 2:
        raise ValueError(f"the net has two sigmoids, but {len(inputs)} arrays come back")
    first, second = inputs
    return first, second, np.stack([net[1].running_mean, net[4].running_mean])


probe_inputs = Exercise(
    name="probe_inputs",
    chapter=CHAPTER,
    question="net, in training mode, is nn.Sequential(Dense, BatchNorm, Sigmoid, Dense, BatchNorm, "
    "Sigmoid, Dense), and x a probe of shape (n, pixels). Return what enters the two sigmoids, "
    "f(net, x) -> [first, second], the batch norms using the statistics of x. Measure without "
    "being noticed: the running statistics must stay as they are.",
    reference=_probe_inputs,
    use=_probed,
    inputs=_nets_and_probes,
    outputs=("first", "second", "running_mean"),
    mistakes=(
        Mistake(
            "the running statistics move on",
            partial(_listened, normalize=_by_the_layer),
            "In training mode, forward of a batch norm takes the probe for a batch and adds it to "
            "its running averages. Use F.batch_norm_forward, or a copy of the net.",
        ),
        Mistake(
            "the net is in evaluation mode",
            partial(_listened, normalize=_by_running_statistics),
            "Then each batch norm uses its running statistics. Those lag behind, and move even "
            "where no weight does: a frozen network would seem to shift.",
        ),
        Mistake(
            "what leaves the sigmoids is returned",
            partial(_listened, after=True),
            "Wanted is what enters them, y of the batch norm.",
        ),
        Mistake(
            "what enters the batch norms is returned",
            lambda net, x: _listened(net, x, keep=lambda kind: kind is nn.BatchNorm),
            "That is W x, before the normalization. The sigmoid gets what the batch norm gives.",
        ),
        Mistake(
            "gamma and beta are left out",
            partial(_listened, normalize=_x_hat_only),
            "That is x_hat. The sigmoid gets gamma x_hat + beta, and these two learn.",
        ),
        Mistake(
            "the batch norms are passed over",
            partial(_listened, normalize=lambda layer, x: x),
            "Without them it is another network. They stand between a dense layer and its sigmoid.",
        ),
    ),
    hints=(
        "Go through net.layers. What happens at a Dense, at a BatchNorm, at a Sigmoid?",
        "At a BatchNorm: x, _ = F.batch_norm_forward(x, layer.gamma, layer.beta, layer.eps), which "
        "knows nothing of running statistics. Elsewhere: x, _ = layer.forward(x).",
        "Before a Sigmoid is passed, append x to the list.",
    ),
    praise="What would a frozen network seem to do if you had used the running statistics?",
)

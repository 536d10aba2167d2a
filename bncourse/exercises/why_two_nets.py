"""Exercises of the chapter *Two nets, one curve: what does batch norm buy?*"""

import copy
import math
from functools import partial

import numpy as np

from bncourse import nn
from bncourse.exercises.exercise import Exercise
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity

CHAPTER = "why/two-nets"


def _softmax(scores, axis=1):
    e = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _one_hot(scores, labels):
    return np.eye(scores.shape[1])[labels]


untrained_loss = Quantity(
    name="untrained_loss",
    chapter=CHAPTER,
    question="Ten classes, and a network that finds each of them equally likely, whatever the "
    "image. What is its mean cross-entropy, in nats?",
    answer=math.log(10),
    mistakes=(
        Mistake(
            "the logarithm has base 10",
            1.0,
            "The cross-entropy takes the natural logarithm, np.log.",
        ),
        Mistake(
            "the logarithm has base 2",
            math.log2(10),
            "That is the loss in bits. In nats, it is the natural logarithm, np.log.",
        ),
        Mistake(
            "the sign is lost",
            -math.log(10),
            "The logarithm of a probability is negative; the loss is minus that.",
        ),
        Mistake(
            "that is the share of wrong answers",
            0.9,
            "The loss does not count errors. It takes the logarithm of the probability that the "
            "right class was given.",
        ),
        Mistake(
            "that is the probability of the right class",
            0.1,
            "The loss is minus its logarithm.",
        ),
        Mistake(
            "the classes are summed up",
            10 * math.log(10),
            "Only the right class of each image counts; the mean is over images.",
        ),
    ),
    hints=(
        "Which probability does this network give to the right class of an image?",
        "The loss of one image is minus the natural logarithm of that probability.",
    ),
    working="Each p is 1/10, so each image costs -ln(1/10) = ln 10 = 2.303, and so does the mean.",
)


neutral_spread = Quantity(
    name="neutral_spread",
    chapter=CHAPTER,
    question="Hidden layers of 100 sigmoid units, kept in the middle of the sigmoid. For which "
    "standard deviation tau of the weights does the spread of the pre-activations stay the same "
    "from layer to layer?",
    answer=0.4,
    mistakes=(
        Mistake(
            "the slope of the sigmoid is forgotten",
            0.1,
            "With 1 / sqrt(100) the spread is kept by the matrix product, and then the sigmoid "
            "takes three quarters of it away.",
        ),
        Mistake(
            "that is a variance",
            0.16,
            "tau squared is 16 / 100. The standard deviation is its root.",
        ),
        Mistake(
            "the root of n is missing",
            0.04,
            "100 independent terms add up to a spread of sqrt(100), not of 100.",
        ),
        Mistake(
            "the slope is taken to be one half",
            0.2,
            "One half is the value of the sigmoid at 0. Its slope there is 1/2 (1 - 1/2).",
        ),
        Mistake(
            "the factor is turned upside down",
            2.5,
            "tau sqrt(100) / 4 = 1 has to be solved for tau.",
        ),
        Mistake(
            "that is the spread for ReLU",
            math.sqrt(2 / 100),
            "2 / n is the variance of He et al. The slope of a sigmoid is 1/4 or less.",
        ),
    ),
    hints=(
        "Set the factor by which a layer multiplies the spread equal to 1.",
        "The factor is tau sqrt(n) / 4, with n = 100.",
    ),
    working="tau sqrt(100) / 4 = 1 gives tau = 4 / 10 = 0.4.",
)


def _logit_gradient(scores, labels):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    one_hot = np.eye(scores.shape[1])[labels]
    return (p - one_hot) / len(scores)


def _score_tables(rng):
    """Round numbers; then random tables, the last with rows near 1000 and near -1000.

    All are exact in float32.
    """
    cases = [(np.array([[1.0, 2.0, 4.0], [0.0, 3.0, 3.0]]), np.array([2, 0]))]
    for offset in (0, 1000):
        m, classes = rng.integers(4, 9), rng.integers(4, 11)
        scores = np.round(64 * rng.normal(0, 1.5, (m, classes))) / 64
        scores[::2] -= offset
        scores[1::2] += offset
        cases.append((scores, rng.integers(0, classes, m)))
    return cases


def _overflowing(scores):
    e = np.exp(scores)
    return e / e.sum(axis=1, keepdims=True)


def _made(
    scores,
    labels,
    softmax=_softmax,
    sign=1,
    one_hot=_one_hot,
    divisor=lambda m, classes: m,
):
    """The gradient in parts that can be replaced; right as it stands."""
    return sign * (softmax(scores) - one_hot(scores, labels)) / divisor(*scores.shape)


logit_gradient = Exercise(
    name="logit_gradient",
    chapter=CHAPTER,
    question="The gradient of the mean softmax cross-entropy with respect to the scores: "
    "f(scores, labels) -> dscores, with scores of shape (m, K) and labels of shape (m,).",
    reference=_logit_gradient,
    inputs=_score_tables,
    outputs=("dscores",),
    mistakes=(
        Mistake(
            "it is not divided by m",
            partial(_made, divisor=lambda m, classes: 1),
            "The loss is a mean, so its gradient is one too. Nothing will crash: with batches of "
            "60, training goes on as if the rate were 60 times larger.",
        ),
        Mistake(
            "the sign is turned round",
            partial(_made, sign=-1),
            "p - one_hot, not one_hot - p. With yours, each step of descent climbs: the score of "
            "the right class goes down.",
        ),
        Mistake(
            "the softmax runs down the columns",
            partial(_made, softmax=lambda z: _softmax(z, axis=0)),
            "axis=0 shares one probability among the images. It is shared among the classes of "
            "one image, axis=1; then each row of the gradient sums to 0.",
        ),
        Mistake(
            "the exponential overflows",
            partial(_made, softmax=_overflowing),
            "exp(1000) is infinite, and of -1000 a whole row becomes 0 / 0. Subtract from each "
            "row its maximum first: the softmax does not notice.",
        ),
        Mistake(
            "one maximum is subtracted from the whole batch",
            partial(_made, softmax=lambda z: _overflowing(z - z.max())),
            "A row that lies far below it underflows to 0 / 0. Subtract each row's own maximum, "
            "with axis=1 and keepdims=True.",
        ),
        Mistake(
            "the one-hot labels are missing",
            partial(_made, one_hot=lambda z, t: 0),
            "What comes back is p / m, which does not depend on the labels. Subtract 1 from p at "
            "the right class of each row, before dividing.",
        ),
        Mistake(
            "the one-hot labels are not divided by m",
            partial(_made, one_hot=lambda z, t: len(z) * _one_hot(z, t)),
            "Parentheses: (p - one_hot) / m.",
        ),
        Mistake(
            "it is divided by the number of all scores",
            partial(_made, divisor=lambda m, classes: m * classes),
            "The mean is over the m images, not over m times K entries.",
        ),
        Mistake(
            "it is divided by the number of classes",
            partial(_made, divisor=lambda m, classes: classes),
            "scores.shape[0] is the number of images, scores.shape[1] that of classes.",
        ),
        Mistake(
            "the labels of all images are subtracted from every row",
            partial(_made, one_hot=lambda z, t: _one_hot(z, t).max(axis=0)),
            "p[:, labels] means these columns, in each row. One entry of each row is "
            "p[np.arange(m), labels].",
        ),
        Mistake(
            "those are the probabilities",
            partial(_made, one_hot=lambda z, t: 0, divisor=lambda m, classes: 1),
            "Right so far. Two steps are left: minus one_hot, divided by m.",
        ),
    ),
    hints=(
        "Four lines: subtract each row's maximum, take exp, divide by the row sums, and then "
        "(p - one_hot) / m.",
        "e = np.exp(scores - scores.max(axis=1, keepdims=True)) cannot overflow.",
        "one_hot = np.eye(K)[labels], or p[np.arange(m), labels] -= 1 on an array of your own.",
    ),
    praise="Each row of it sums to 0: adding a constant to all scores of an image changes nothing.",
)


def _probabilities(net, x):
    net.eval()
    scores, _ = net.forward(x)
    net.train()
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _nets_and_images(rng):
    """Small normalized nets whose running statistics are not those of the batch."""
    cases = []
    for m, pixels, hidden, classes in ((2, 3, 4, 3), rng.integers(4, 9, 4)):
        norm = nn.BatchNorm(hidden, dtype="float64")
        norm.gamma = rng.uniform(0.5, 2, hidden)
        norm.beta = rng.normal(0, 1, hidden)
        norm.running_mean = rng.normal(1, 1, hidden)
        norm.running_var = rng.uniform(2, 9, hidden)
        first = nn.Dense(pixels, hidden, bias=False, std=1.0, rng=rng, dtype="float64")
        last = nn.Dense(hidden, classes, std=2.0, rng=rng, dtype="float64")
        net = nn.Sequential(first, norm, nn.Sigmoid(), last)
        cases.append((net, rng.normal(0, 1, (m, pixels))))
    return cases


def _training_scores(net, x):
    return copy.deepcopy(net).train().forward(x)[0]


def _evaluation_scores(net, x):
    return copy.deepcopy(net).eval().forward(x)[0]


probabilities = Exercise(
    name="probabilities",
    chapter=CHAPTER,
    question="A batch-normalized net in training mode, and images x of shape (N, pixels): return "
    "the probability of each class, f(net, x) -> p of shape (N, K), such that no image's answer "
    "depends on the other images.",
    reference=_probabilities,
    inputs=_nets_and_images,
    outputs=("p",),
    mistakes=(
        Mistake(
            "the net is in training mode",
            lambda net, x: _softmax(_training_scores(net, x)),
            "So each image is normalized with the mean and the variance of the images that "
            "happen to be beside it, and its answer depends on them. Call net.eval() first.",
        ),
        Mistake(
            "the net is in training mode, and those are scores",
            _training_scores,
            "Call net.eval() first, and pass the scores through a softmax.",
        ),
        Mistake(
            "those are scores",
            _evaluation_scores,
            "The mode is right. A softmax along each row makes probabilities of them.",
        ),
        Mistake(
            "the softmax runs down the columns",
            lambda net, x: _softmax(_evaluation_scores(net, x), axis=0),
            "The mode is right, but with axis=0 the images share one probability. It is shared "
            "among the classes of one image, axis=1.",
        ),
    ),
    hints=(
        "A batch norm has two modes. Which one looks at the batch?",
        "net.eval(), then scores, _ = net.forward(x), then a softmax along axis 1.",
    ),
    praise="Did you call net.train() afterwards? Else the next step of training would run on "
    "frozen statistics, and nothing would tell you.",
)


def _initial_weights(z):
    return 4 / np.sqrt(len(z)) * z


def _made_weights(
    z,
    drawn=lambda z: z,
    gain=4.0,
    fan=lambda n_in, n_out: n_in,
    power=0.5,
    form=lambda tau: tau,
):
    """The weights in parts that can be replaced; right as it stands."""
    return form(gain / fan(*z.shape) ** power) * drawn(z)


def _layers(rng):
    """One that is scaled by 2, and three of random shapes, never square."""
    cases = [(np.array([[1.0, -1.0], [0.5, 0.0], [0.0, 2.0], [-1.0, 1.0]]),)]
    for _ in range(3):
        n_in = rng.integers(5, 40)
        n_out = n_in + rng.choice([-1, 1]) * rng.integers(2, n_in // 2 + 1)
        cases.append((rng.normal(0, 1, (n_in, n_out)),))
    return cases


def _describe_weights(case, got, want):
    (z,) = case
    ratio = got[0] / z
    if np.ptp(ratio) > 1e-4 * np.abs(ratio).max():
        return ["w is not z times a number."]
    n_in, n_out = z.shape
    return [f"w is {ratio.mean():.4g} times z, with n_in = {n_in} and n_out = {n_out}."]


initial_weights = Exercise(
    name="initial_weights",
    chapter=CHAPTER,
    question="Layers of sigmoid units near 0, where the slope is 1/4. z holds standard normal "
    "numbers and has shape (n_in, n_out). Make weights of it with which the pre-activations keep "
    "their spread from layer to layer: f(z) -> w.",
    reference=_initial_weights,
    inputs=_layers,
    outputs=("w",),
    describe=_describe_weights,
    mistakes=(
        Mistake(
            "n is the number of outputs",
            partial(_made_weights, fan=lambda n_in, n_out: n_out),
            "A pre-activation is a sum over the units before it: n_in terms, z.shape[0].",
        ),
        Mistake(
            "n is the mean of inputs and outputs",
            partial(_made_weights, fan=lambda n_in, n_out: (n_in + n_out) / 2),
            "That is the compromise of Glorot and Bengio, for the gradient on its way back as "
            "well. The spread going forward asks for n_in alone.",
        ),
        Mistake(
            "n is the sum of inputs and outputs",
            partial(_made_weights, fan=lambda n_in, n_out: n_in + n_out),
            "A pre-activation is a sum of n_in terms.",
        ),
        Mistake(
            "n is the number of weights",
            partial(_made_weights, fan=lambda n_in, n_out: n_in * n_out),
            "z.size counts all of them. Only the n_in of one column meet in a sum.",
        ),
        Mistake(
            "the slope of the sigmoid is forgotten",
            partial(_made_weights, gain=1.0),
            "With 1 / sqrt(n_in) the sum keeps the spread, and then the sigmoid takes three "
            "quarters of it away.",
        ),
        Mistake(
            "the slope is taken to be one half",
            partial(_made_weights, gain=2.0),
            "One half is the value of the sigmoid at 0. Its slope there is 1/2 (1 - 1/2) = 1/4.",
        ),
        Mistake(
            "it is multiplied by the slope",
            partial(_made_weights, gain=0.25),
            "The sigmoid divides the spread by 4, so the weights must make up for it: times 4.",
        ),
        Mistake(
            "the slope is squared",
            partial(_made_weights, gain=16.0),
            "1/16 is what happens to the variance. w is scaled by a standard deviation.",
        ),
        Mistake(
            "that is the spread for ReLU",
            partial(_made_weights, gain=math.sqrt(2)),
            "2 / n is the variance of He et al., for a function that is 0 for half of its inputs. "
            "The sigmoid's slope of 1/4 asks for 16 / n.",
        ),
        Mistake(
            "the root of n is missing",
            partial(_made_weights, power=1),
            "n_in independent terms add up to a spread of sqrt(n_in), not of n_in.",
        ),
        Mistake(
            "it is multiplied by the root of n",
            partial(_made_weights, power=-0.5),
            "More terms make a larger sum, so each weight has to be smaller.",
        ),
        Mistake(
            "the variance stands for the standard deviation",
            partial(_made_weights, form=lambda tau: tau**2),
            "16 / n_in is the variance of the weights. z has a standard deviation of 1 and is "
            "scaled by the root.",
        ),
        Mistake(
            "the factor is turned upside down",
            partial(_made_weights, form=lambda tau: 1 / tau),
            "tau sqrt(n_in) / 4 = 1 has to be solved for tau.",
        ),
        Mistake(
            "tau is 0.4, whatever the number of units",
            lambda z: 0.4 * z,
            "That is 4 / sqrt(100), right for 100 inputs. Take n_in from the shape of z.",
        ),
        Mistake(
            "z is not scaled",
            lambda z: 1.0 * z,
            "A spread of 1 is right for 16 inputs only.",
        ),
        Mistake(
            "z is standardized first",
            partial(_made_weights, drawn=lambda z: (z - z.mean()) / z.std()),
            "z is standard normal already. Its own mean and spread are the luck of the draw.",
        ),
        Mistake(
            "z is divided by its own spread",
            partial(_made_weights, drawn=lambda z: z / z.std()),
            "z is standard normal already: its own spread is 1 but for the luck of the draw.",
        ),
        Mistake(
            "each column is given the same length",
            partial(
                _made_weights,
                drawn=lambda z: z * np.sqrt(len(z)) / np.linalg.norm(z, axis=0),
            ),
            "That makes all sums equally wide, which is more than was asked: independent weights "
            "of one spread. Scale all of z by one number.",
        ),
    ),
    hints=(
        "By which factor does a layer multiply the spread, if its weights have the spread tau?",
        "By tau sqrt(n_in) / 4. Set it equal to 1.",
        "tau = 4 / sqrt(n_in), and n_in is z.shape[0].",
    ),
    praise="Each layer has its own n_in. And what would the gradient on its way back ask for?",
)

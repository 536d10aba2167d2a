"""Exercises of the chapter *How does a gradient find its way back through a batch?*"""

from functools import partial

import numpy as np

from bncourse.exercises import paths
from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import far_from_zero, scales, tables, units
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity
from bncourse.exercises.roots import right_root, wrong_roots

CHAPTER = "transform/backward"


def _gradients(dy, x, gamma, beta, eps):
    m = len(x)
    d = x - x.mean(axis=0)
    s = np.sqrt((d * d).mean(axis=0) + eps)
    x_hat = d / s
    dgamma = (dy * x_hat).sum(axis=0)
    dbeta = dy.sum(axis=0)
    dx = gamma / s * (dy - dbeta / m - x_hat * dgamma / m)
    return dx, dgamma, dbeta


def _made(
    dy,
    x,
    gamma,
    beta,
    eps,
    own=1.0,
    mean=lambda m, gamma: -1.0,
    var=lambda m, gamma: -1.0,
    scale=lambda gamma, s: gamma / s,
    root=right_root,
    ddof=0,
    x_hat=lambda x, d, s, y: d / s,
    axis=0,
    parameters=lambda dgamma, dbeta, m, gamma: (dgamma, dbeta),
):
    """The three gradients in parts that can be replaced; right as it stands.

    ``own``, ``mean`` and ``var`` weigh the three paths of ``dx``; ``scale`` is what stands before
    the bracket; ``axis`` is that of the means in ``dx``.
    """
    d = x - x.mean(axis=0)
    s = root(x.var(axis=0, ddof=ddof), eps)
    z = x_hat(x, d, s, gamma * d / s + beta)
    m = len(x)
    via_mean = mean(m, gamma) * dy.mean(axis, keepdims=True)
    via_var = var(m, gamma) * z * (dy * z).mean(axis, keepdims=True)
    dx = scale(gamma, s) * (own * dy + via_mean + via_var)
    return dx, *parameters((dy * z).sum(axis=0), dy.sum(axis=0), m, gamma)


def _weight(value):
    return lambda m, gamma: value


def _times_m(m, gamma):
    return -m


def _over_m(m, gamma):
    return -1 / m


def _over_gamma(m, gamma):
    return -1 / gamma


def _once(dy, x, gamma, beta, eps):
    """``x - mean`` for ``x_hat`` in ``dgamma``, and with it in one place of ``dx``."""
    d = x - x.mean(axis=0)
    s = np.sqrt(x.var(axis=0) + eps)
    dgamma = (dy * d).sum(0)
    return gamma / s * (dy - dy.mean(0) - d / s * dgamma / len(x)), dgamma, dy.sum(0)


def _tables(rng):
    """A table whose numbers come out round, and two at random."""
    x = np.array([[1.0, 7.0], [4.0, 1.0], [7.0, 4.0]])
    dy = np.array([[3.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    cases = [(dy, x, np.array([6.0, -3.0]), np.array([1.0, 2.0]), 3.0)]
    for x, eps in tables(rng):
        d = x.shape[1]
        dy = units(rng) * rng.normal(rng.normal(0, 1, d), 1, x.shape)
        cases.append((dy, x, scales(rng, d), rng.normal(0, 1, d), eps))
    return cases


def _hostile(rng, eps):
    x = far_from_zero(rng, eps)
    return [(rng.normal(1, 1, x.shape), x, scales(rng, 4), rng.normal(0, 1, 4), 1e-5)]


def _read_off(case, got, want):
    """Where ``dx`` leaves the right one; nothing, if it does not."""
    dy, x, gamma, _, eps = case
    if np.allclose(got[0], want[0], atol=1e-5 * np.abs(want[0]).max()):
        return []
    return paths.first_deviation(got[0], dy, x, gamma, eps)


backward = Exercise(
    name="backward",
    chapter=CHAPTER,
    question="Go back: f(dy, x, gamma, beta, eps) -> (dx, dgamma, dbeta), with x of shape (N, D).",
    reference=_gradients,
    inputs=_tables,
    outputs=("dx", "dgamma", "dbeta"),
    hostile=_hostile,
    fragile="where the mean is large beside the spread, mean(x * x) - mean**2 subtracts two "
    "numbers that agree in all their digits, and nothing is left. Subtract the mean from x "
    "first, and square what remains.",
    describe=_read_off,
    mistakes=(
        Mistake(
            "the statistics are treated as constants",
            partial(_made, mean=_weight(0), var=_weight(0)),
            "What comes back is gamma / s * dy: the path of its own is there, those through the "
            "mean and the variance are not. The column sums of dx should be 0.",
        ),
        Mistake(
            "the path through the variance is missing",
            partial(_made, var=_weight(0)),
            "The column sums of dx are 0, as they should be, so the mean is in order. But dx "
            "still has a part along x_hat: s depends on every x_i.",
        ),
        Mistake(
            "the path through the mean is missing",
            partial(_made, mean=_weight(0)),
            "The column sums of dx should be 0. mu goes into every d_i, so its gradient is minus "
            "the sum of theirs, and each x_i gets 1/m of it.",
        ),
        Mistake(
            "the path through the variance has the wrong sign",
            partial(_made, var=_weight(1)),
            "A larger s makes x_hat smaller: the derivative of d / s with respect to s is "
            "-d / s**2.",
        ),
        Mistake(
            "the path of its own is missing",
            partial(_made, own=0),
            "The paths through the mean and the variance are there. But x_i also goes straight "
            "into its own y_i: add gamma / s * dy.",
        ),
        Mistake(
            "the sign of dx is turned round",
            partial(_made, scale=lambda gamma, s: -gamma / s),
            "All of dx is right but for its sign: in gamma / s * (dy - ...), dy comes first. With "
            "yours, each step of descent climbs.",
        ),
        Mistake(
            "the path through the mean has the wrong sign",
            partial(_made, mean=_weight(1)),
            "d = x - mu, so a slope of -1 leads to mu: the mean of dy is subtracted.",
        ),
        Mistake(
            "a factor 2 is lost in the path through the variance",
            partial(_made, var=_weight(-0.5)),
            "The square gives 2 d and the root gives 1 / (2 s): the two cancel. If you have one, "
            "you need the other.",
        ),
        Mistake(
            "a factor 2 is left over in the path through the variance",
            partial(_made, var=_weight(-2)),
            "The square gives 2 d and the root gives 1 / (2 s): the two cancel. Yours misses the "
            "2 below the line.",
        ),
        Mistake(
            "the path through the variance is divided by m - 1",
            partial(_made, var=lambda m, gamma: -m / (m - 1)),
            "The forward pass divides by m, so its gradient does too.",
        ),
        Mistake(
            "the variance is divided by m - 1",
            partial(_made, ddof=1),
            "You normalized by the unbiased variance, ddof=1. The transform takes the biased one.",
        ),
        Mistake(
            "1/m is missing in both paths",
            partial(_made, mean=_times_m, var=_times_m),
            "Sums where means are needed: a mean going forward spreads 1/m going back.",
        ),
        Mistake(
            "1/m is missing in the path through the mean",
            partial(_made, mean=_times_m),
            "mu is a mean, so each x_i gets 1/m of its gradient.",
        ),
        Mistake(
            "1/m is missing in the path through the variance",
            partial(_made, var=_times_m),
            "The variance is a mean of squares, so each d_i gets 2 d_i / m of its gradient.",
        ),
        Mistake(
            "it is divided by m twice",
            partial(_made, mean=_over_m, var=_over_m),
            "dbeta and dgamma are sums. Divide them by m once, in dx.",
        ),
        Mistake(
            "gamma is missing in dx",
            partial(_made, scale=lambda gamma, s: 1 / s),
            "The way back begins with dx_hat = gamma * dy.",
        ),
        Mistake(
            "gamma is missing in the path through the variance",
            partial(_made, var=_over_gamma),
            "All three terms of dx carry gamma: put it in front of the bracket. dgamma is a sum "
            "of dy * x_hat, not of dx_hat * x_hat.",
        ),
        Mistake(
            "gamma is missing in the path through the mean",
            partial(_made, mean=_over_gamma),
            "All three terms of dx carry gamma: put it in front of the bracket. dbeta is a sum of "
            "dy, not of dx_hat.",
        ),
        Mistake(
            "gamma is missing in the paths through the mean and the variance",
            partial(_made, mean=_over_gamma, var=_over_gamma),
            "All three terms of dx carry gamma: put it in front of the bracket. dgamma and dbeta "
            "are made from dy, not from dx_hat.",
        ),
        Mistake(
            "gamma loses its sign",
            partial(_made, scale=lambda gamma, s: np.abs(gamma) / s),
            "Nothing keeps gamma positive. Where it is negative, dx turns over.",
        ),
        Mistake(
            "gamma is in dx twice",
            partial(_made, scale=lambda gamma, s: gamma**2 / s),
            "The ratio to the right answer is gamma in each column: dx_hat = gamma * dy has it "
            "already.",
        ),
        Mistake(
            "dx is not divided by s",
            partial(_made, scale=lambda gamma, s: gamma),
            "x_hat = d / s: on the way back, too, it is divided by s.",
        ),
        Mistake(
            "dx is divided by s squared",
            partial(_made, scale=lambda gamma, s: gamma / s**2),
            "The factor is gamma / s, and s is the root of var + eps.",
        ),
        Mistake(
            "eps is missing",
            partial(_made, root=lambda var, eps: np.sqrt(var)),
            "s is the root of var + eps, going back as going forward.",
        ),
        *wrong_roots(lambda root: partial(_made, root=root)),
        Mistake(
            "x stands for x_hat",
            partial(_made, x_hat=lambda x, d, s, y: x),
            "The formula needs the normalized input: subtract the mean and divide by s.",
        ),
        Mistake(
            "x - mean stands for x_hat",
            partial(_made, x_hat=lambda x, d, s, y: d),
            "It is centered, but not yet divided by s. If dx alone is wrong, there is another "
            "way to it: in the equation for dvar, (var + eps) has the exponent -1/2 instead of "
            "-3/2.",
        ),
        Mistake(
            "x - mean stands once for x_hat",
            _once,
            "dx has x_hat twice, once inside a sum. One of the two is centered, but not yet "
            "divided by s. If dx alone is wrong, there is another way to it: in the equation for "
            "dvar, (var + eps) has the exponent -1 instead of -3/2.",
        ),
        Mistake(
            "y stands for x_hat",
            partial(_made, x_hat=lambda x, d, s, y: y),
            "The two agree only while gamma is 1 and beta is 0, as at the start of training.",
        ),
        Mistake(
            "the means in dx run along each row",
            partial(_made, axis=1),
            "axis=1 runs along the features. Sum over the examples, axis 0, as the forward pass.",
        ),
        Mistake(
            "the means in dx run over the whole table",
            partial(_made, axis=(0, 1)),
            "A mean without an axis mixes the features. Sum over the examples, axis 0.",
        ),
        Mistake(
            "dx is zero",
            partial(_made, scale=lambda gamma, s: 0.0),
            "That is right for one loss, the sum of all outputs, and for no useful one.",
        ),
        Mistake(
            "dgamma and dbeta are swapped",
            partial(_made, parameters=lambda g, b, m, gamma: (b, g)),
            "gamma multiplies x_hat, so its gradient is the sum of dy * x_hat.",
        ),
        Mistake(
            "a mean is returned where a sum is needed",
            partial(_made, parameters=lambda g, b, m, gamma: (g / m, b / m)),
            "The same gamma and beta serve every example, so the gradients of all add up.",
        ),
        Mistake(
            "it is multiplied by gamma",
            partial(_made, parameters=lambda g, b, m, gamma: (gamma * g, gamma * b)),
            "That is made from dx_hat = gamma * dy. The gradients of gamma and beta take dy.",
        ),
    ),
    hints=(
        "Begin with d, s and x_hat, as going forward. dbeta and dgamma are sums over axis 0.",
        "By the graph: dx_hat = gamma * dy; then ds, dvar, dd, dmu and dx. Where a result went to "
        "two places, two gradients add up.",
        "In one line: dx = gamma / s * (dy - dbeta / m - x_hat * dgamma / m).",
    ),
    praise="Your gradient never looked at beta. Why not?",
)

backward_by_hand = Quantity(
    name="backward_by_hand",
    chapter=CHAPTER,
    question="x = (1, 4, 7), eps = 3, gamma = 6, dy = (6, 0, -3): the gradient for the first x?",
    answer=4.0,
    mistakes=(
        Mistake(
            "the statistics are treated as constants",
            12.0,
            "gamma / s * dy is the path of its own. Two are missing.",
        ),
        Mistake(
            "the path through the variance is missing",
            10.0,
            "x_hat_1 times the mean of dy * x_hat is (-1)(-3) = 3, and it is subtracted.",
        ),
        Mistake(
            "the path through the mean is missing", 6.0, "The mean of dy is 1, and is subtracted."
        ),
        Mistake(
            "the path through the variance has the wrong sign",
            16.0,
            "The mean of dy * x_hat is -3 and x_hat_1 is -1: subtract 3.",
        ),
        Mistake(
            "a factor 2 is lost in the path through the variance",
            7.0,
            "The 2 of the square and the 1/2 of the root cancel.",
        ),
        Mistake("1/m is missing", -12.0, "Means, not sums: of dy 3/3, of dy * x_hat -9/3."),
        Mistake("gamma is missing", 2 / 3, "The factor in front is gamma / s = 6 / 3."),
        Mistake("that is the bracket alone", 2.0, "Multiply it by gamma / s = 6 / 3."),
        Mistake("eps is missing", 6**0.5 / 2, "The variance is 6 and eps is 3, so s is 3."),
        Mistake(
            "the variance is divided by m - 1",
            6 / 12**0.5 * 2.75,
            "The squares are 9, 0 and 9. Their mean is 6.",
        ),
    ),
    hints=(
        "The mean is 4. What are d, s and x_hat?",
        "s = 3 and x_hat = (-1, 0, 1). What are the means of dy and of dy * x_hat?",
        "They are 1 and -3. The bracket is 6 - 1 - (-1)(-3).",
    ),
    working="s = 3, x_hat = (-1, 0, 1), and 6/3 * (6 - 1 - (-1)(-3)) = 4.",
)

pair = Quantity(
    name="pair",
    chapter=CHAPTER,
    question="m = 2, x_1 < x_2, eps neglected, gamma = s, dy = (5, -1): the gradient for x_1?",
    answer=0.0,
    mistakes=(
        Mistake(
            "the statistics are treated as constants",
            5.0,
            "With gamma = s that is dy_1 itself. Two paths are missing.",
        ),
        Mistake(
            "the path through the variance is missing",
            3.0,
            "5 minus the mean of dy, 2, is 3. The slope of the line takes the rest.",
        ),
        Mistake(
            "the path through the mean is missing",
            2.0,
            "x_hat_1 times the mean of dy * x_hat is (-1)(-3) = 3. The mean of dy goes as well.",
        ),
    ),
    hints=(
        "What can x_hat be in a batch of two? The chapter on the transform has a theorem for it.",
        "Draw the figure for two points. Where is the line?",
    ),
    working="A line through two points leaves nothing: 5 - 2 - (-1)(-3) = 0.",
)


def _centering(dy):
    return dy - dy.mean(axis=0)


def _upstreams(rng):
    cases = [(np.array([[3.0, 1.0], [0.0, 2.0], [0.0, 3.0]]),)]
    for rows in (rng.integers(4, 8), rng.integers(8, 20)):
        shape = rows, rng.integers(2, 6)
        cases.append((units(rng) * rng.normal(rng.choice((-1, 1)), 1, shape),))
    return cases


centering = Exercise(
    name="centering",
    chapter=CHAPTER,
    question="The layer is y = x - mean, for each column of x. f(dy) -> dx",
    reference=_centering,
    inputs=_upstreams,
    outputs=("dx",),
    mistakes=(
        Mistake(
            "the mean is treated as a constant",
            lambda dy: 1.0 * dy,
            "Then y moves with its own x alone. But each x_i also moves the mean, and with it "
            "all the others.",
        ),
        Mistake(
            "1/m is missing",
            lambda dy: dy - dy.sum(axis=0),
            "The gradient of the mean is minus the sum of dy; each x_i gets 1/m of it.",
        ),
        Mistake(
            "the wrong sign",
            lambda dy: dy + dy.mean(axis=0),
            "The mean is subtracted going forward, so a -1 comes with it going back.",
        ),
        Mistake(
            "only the diagonal is there",
            lambda dy: dy * (1 - 1 / len(dy)),
            "That is how y_i depends on its own x_i, with the mean's share. What about the "
            "other outputs, which move too?",
        ),
        Mistake(
            "the path through the mean alone",
            lambda dy: np.zeros_like(dy) - dy.mean(axis=0),
            "x goes to two places: into the mean, and straight into y. Add the other.",
        ),
        Mistake(
            "it is divided by m - 1",
            lambda dy: dy - dy.sum(axis=0) / (len(dy) - 1),
            "The mean divides by m.",
        ),
        Mistake(
            "the mean runs along each row",
            lambda dy: dy - dy.mean(axis=1, keepdims=True),
            "Each column has its mean: axis 0.",
        ),
        Mistake(
            "the mean runs over the whole table",
            lambda dy: dy - dy.mean(),
            "Each column has its own mean: axis 0.",
        ),
    ),
    hints=(
        "x goes to two places: into y, and into the mean.",
        "The gradient of the mean is -dy.sum(axis=0). How much of it does one x_i get?",
    ),
    praise="Centering is its own way back. Apply it twice: what changes?",
)


def _inference(dy, x, gamma, mean, var, eps):
    s = np.sqrt(var + eps)
    x_hat = (x - mean) / s
    return gamma / s * dy, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def _given_statistics(rng):
    """A table whose numbers come out round, and two at random."""
    x = np.array([[1.0, 7.0], [4.0, 1.0], [7.0, 4.0]])
    dy = np.array([[3.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    mean, var = np.array([1.0, 4.0]), np.array([1.0, 13.0])
    cases = [(dy, x, np.array([6.0, -3.0]), mean, var, 3.0)]
    for x, eps in tables(rng):
        d = x.shape[1]
        unit = np.sqrt(x.var(axis=0).max())
        mean, var = unit * rng.normal(0, 2, d), unit**2 * rng.uniform(0.6, 4, d)
        var[0] = 0.4 * eps if eps > 1e-3 * unit**2 else var[0]  # eps counts, as in the tables
        dy = units(rng) * rng.normal(rng.normal(0, 1, d), 1, x.shape)
        cases.append((dy, x, scales(rng, d), mean, var, eps))
    return cases


def _made_inference(
    dy,
    x,
    gamma,
    mean,
    var,
    eps,
    statistics=lambda x, mean, var: (mean, var),
    root=right_root,
    scale=lambda gamma: gamma,
    bracket=lambda dy, x_hat: dy,
    x_hat=lambda x, d, s: d / s,
    parameters=lambda dgamma, dbeta, m: (dgamma, dbeta),
):
    """The gradients of inference in parts that can be replaced; right as it stands."""
    mean, var = statistics(x, mean, var)
    s = root(var, eps)
    z = x_hat(x, x - mean, s)
    dx = scale(gamma) / s * bracket(dy, z)
    return dx, *parameters((dy * z).sum(0), dy.sum(0), len(x))


def _projected(dy, x_hat):
    return dy - dy.mean(0) - x_hat * (dy * x_hat).mean(0)


backward_inference = Exercise(
    name="backward_inference",
    chapter=CHAPTER,
    question="Back through inference: f(dy, x, gamma, mean, var, eps) -> (dx, dgamma, dbeta)",
    reference=_inference,
    inputs=_given_statistics,
    outputs=("dx", "dgamma", "dbeta"),
    mistakes=(
        Mistake(
            "it goes back through statistics that are given",
            partial(_made_inference, bracket=_projected),
            "Here mean and var do not depend on x. The paths through them do not exist.",
        ),
        Mistake(
            "the statistics of the batch are used",
            partial(
                _made_inference,
                statistics=lambda x, mean, var: (x.mean(0), x.var(0)),
                bracket=_projected,
            ),
            "In inference, mean and var are arguments: nothing is taken from the batch.",
        ),
        Mistake(
            "the variance of the batch stands for the given one",
            partial(_made_inference, statistics=lambda x, mean, var: (mean, x.var(0))),
            "In inference, var is an argument: use it, and not x.var(axis=0).",
        ),
        Mistake(
            "the mean of the batch stands for the given one",
            partial(_made_inference, statistics=lambda x, mean, var: (x.mean(0), var)),
            "In inference, mean is an argument: use it, and not x.mean(axis=0).",
        ),
        Mistake(
            "mean and variance of the batch stand for the given ones",
            partial(_made_inference, statistics=lambda x, mean, var: (x.mean(0), x.var(0))),
            "In inference, mean and var are arguments: nothing is taken from the batch.",
        ),
        Mistake(
            "there is a path through the mean",
            partial(_made_inference, bracket=lambda dy, x_hat: dy - dy.mean(0)),
            "The mean of dy is subtracted where mu depends on x. Here the mean is given.",
        ),
        Mistake(
            "that is the gradient of centering",
            lambda dy, x, g, mean, var, eps: (
                dy - dy.mean(0),
                *_inference(dy, x, g, mean, var, eps)[1:],
            ),
            "The mean of dy is subtracted where mu depends on x. Here it is given, and what is "
            "left is the factor gamma / s.",
        ),
        Mistake(
            "it is not divided by s",
            partial(_made_inference, root=lambda var, eps: 1.0),
            "x_hat = (x - mean) / s, so dx = gamma / s * dy, and dgamma is the sum of dy * x_hat.",
        ),
        Mistake(
            "dgamma and dbeta are swapped",
            partial(_made_inference, parameters=lambda g, b, m: (b, g)),
            "gamma multiplies x_hat, so its gradient is the sum of dy * x_hat.",
        ),
        Mistake(
            "eps is missing",
            partial(_made_inference, root=lambda var, eps: np.sqrt(var)),
            "s is the root of var + eps.",
        ),
        *wrong_roots(lambda root: partial(_made_inference, root=root)),
        Mistake(
            "gamma loses its sign",
            partial(_made_inference, scale=lambda gamma: np.abs(gamma)),
            "Nothing keeps gamma positive. Where it is negative, dx turns over.",
        ),
        Mistake(
            "gamma is missing in dx",
            partial(_made_inference, scale=lambda gamma: 1.0),
            "y = gamma * x_hat + beta: the way back begins with gamma * dy.",
        ),
        Mistake(
            "the root is missing",
            partial(_made_inference, root=lambda var, eps: var + eps),
            "s is the root of var + eps.",
        ),
        Mistake(
            "x stands for x_hat",
            partial(_made_inference, x_hat=lambda x, d, s: x),
            "gamma multiplies x_hat = (x - mean) / s.",
        ),
        Mistake(
            "a mean is returned where a sum is needed",
            partial(_made_inference, parameters=lambda g, b, m: (g / m, b / m)),
            "The same gamma and beta serve every example, so the gradients of all add up.",
        ),
    ),
    hints=(
        "Draw the graph again. Which arrows are gone?",
        "mean and var have no arrow from x. What is left of the three paths?",
    ),
    praise="In training this would be a mistake. The graph decides.",
)

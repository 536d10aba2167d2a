"""Exercises of the chapter *How does a gradient find its way back through a batch?*"""

import numpy as np

from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import columns, scales
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity
from bncourse.exercises.roots import wrong_roots

CHAPTER = "transform/backward"


def _reference(dy, x, gamma, beta, eps):
    m = len(x)
    d = x - x.mean(axis=0)
    s = np.sqrt((d * d).mean(axis=0) + eps)
    x_hat = d / s
    dgamma = (dy * x_hat).sum(axis=0)
    dbeta = dy.sum(axis=0)
    dx = gamma / s * (dy - dbeta / m - x_hat * dgamma / m)
    return dx, dgamma, dbeta


def _forward(x, eps, ddof=0):
    d = x - x.mean(axis=0)
    s = np.sqrt(x.var(axis=0, ddof=ddof) + eps)
    return d, s, d / s


def _weighed(mean=-1.0, var=-1.0, scale=None):
    """``dx`` with other weights for the mean path and the variance path, or another factor.

    Each is a number or a function: the weights of the batch size and gamma, the factor of gamma
    and s.
    """

    def wrong(dy, x, gamma, beta, eps):
        _, dgamma, dbeta = _reference(dy, x, gamma, beta, eps)
        _, s, x_hat = _forward(x, eps)
        m = len(x)
        b, c = (w(m, gamma) if callable(w) else w for w in (mean, var))
        factor = scale(gamma, s) if scale else gamma / s
        dx = factor * (dy + b * dy.mean(0) + c * x_hat * (dy * x_hat).mean(0))
        return dx, dgamma, dbeta

    return wrong


def _instead_of_x_hat(stand_in):
    """All three gradients, with something else in the place of ``x_hat``."""

    def wrong(dy, x, gamma, beta, eps):
        d, s, x_hat = _forward(x, eps)
        z = stand_in(x, d, gamma * x_hat + beta)
        dx = gamma / s * (dy - dy.mean(0) - z * (dy * z).mean(0))
        return dx, (dy * z).sum(0), dy.sum(0)

    return wrong


def _once(dy, x, gamma, beta, eps):
    """``x - mean`` for ``x_hat`` in ``dgamma``, and with it in one place of ``dx``."""
    d, s, x_hat = _forward(x, eps)
    dgamma = (dy * d).sum(0)
    return gamma / s * (dy - dy.mean(0) - x_hat * dgamma / len(x)), dgamma, dy.sum(0)


def _with_root(root):
    """All three gradients by the right formulas, with a wrong ``s`` in them."""

    def wrong(dy, x, gamma, beta, eps):
        s = root(x.var(axis=0), eps)
        x_hat = (x - x.mean(axis=0)) / s
        dx = gamma / s * (dy - dy.mean(0) - x_hat * (dy * x_hat).mean(0))
        return dx, (dy * x_hat).sum(0), dy.sum(0)

    return wrong


def _averaged_over(axis):
    """``dx`` with its two means over the wrong axis."""

    def wrong(dy, x, gamma, beta, eps):
        _, dgamma, dbeta = _reference(dy, x, gamma, beta, eps)
        _, s, x_hat = _forward(x, eps)
        own = dy - dy.mean(axis, keepdims=True)
        return gamma / s * (own - x_hat * (dy * x_hat).mean(axis, keepdims=True)), dgamma, dbeta

    return wrong


def _unbiased(dy, x, gamma, beta, eps):
    _, s, x_hat = _forward(x, eps, ddof=1)
    dx = gamma / s * (dy - dy.mean(0) - x_hat * (dy * x_hat).mean(0))
    return dx, (dy * x_hat).sum(0), dy.sum(0)


def _parameters(dgamma, dbeta):
    """Right ``dx``; the gradients of the parameters from what they are made of."""

    def wrong(dy, x, gamma, beta, eps):
        dx, right_gamma, right_beta = _reference(dy, x, gamma, beta, eps)
        return dx, dgamma(right_gamma, right_beta, len(x)), dbeta(right_gamma, right_beta, len(x))

    return wrong


def _tables(rng):
    """Tables from tiny to small; the large eps tells the ways of losing it apart."""
    cases = []
    for (n, d), eps in (((3, 2), 1e-5), ((8, 5), 0.5), ((20, 4), 1e-5)):
        dy = rng.normal(rng.normal(0, 1, d), 1, (n, d))
        cases.append((dy, columns(rng, n, d), scales(rng, d), rng.normal(0, 1, d), eps))
    return cases


backward = Exercise(
    name="backward",
    chapter=CHAPTER,
    question="Go back: f(dy, x, gamma, beta, eps) -> (dx, dgamma, dbeta), with x of shape (N, D).",
    reference=_reference,
    inputs=_tables,
    outputs=("dx", "dgamma", "dbeta"),
    mistakes=(
        Mistake(
            "the statistics are treated as constants",
            _weighed(mean=0, var=0),
            "What comes back is gamma / s * dy: the path of its own is there, those through the "
            "mean and the variance are not. The column sums of dx should be 0.",
        ),
        Mistake(
            "the path through the variance is missing",
            _weighed(var=0),
            "The column sums of dx are 0, as they should be, so the mean is in order. But dx "
            "still has a part along x_hat: s depends on every x_i.",
        ),
        Mistake(
            "the path through the mean is missing",
            _weighed(mean=0),
            "The column sums of dx should be 0. mu goes into every d_i, so its gradient is minus "
            "the sum of theirs, and each x_i gets 1/m of it.",
        ),
        Mistake(
            "the path through the variance has the wrong sign",
            _weighed(var=1),
            "A larger s makes x_hat smaller: the derivative of d / s with respect to s is "
            "-d / s**2.",
        ),
        Mistake(
            "the path through the mean has the wrong sign",
            _weighed(mean=1),
            "d = x - mu, so a slope of -1 leads to mu: the mean of dy is subtracted.",
        ),
        Mistake(
            "a factor 2 is lost in the path through the variance",
            _weighed(var=-0.5),
            "The square gives 2 d and the root gives 1 / (2 s): the two cancel. If you have one, "
            "you need the other.",
        ),
        Mistake(
            "a factor 2 is left over in the path through the variance",
            _weighed(var=-2),
            "The square gives 2 d and the root gives 1 / (2 s): the two cancel. Yours misses the "
            "2 below the line.",
        ),
        Mistake(
            "the path through the variance is divided by m - 1",
            _weighed(var=lambda m, gamma: -m / (m - 1)),
            "The forward pass divides by m, so its gradient does too.",
        ),
        Mistake(
            "the variance is divided by m - 1",
            _unbiased,
            "You normalized by the unbiased variance, ddof=1. The transform takes the biased one.",
        ),
        Mistake(
            "1/m is missing in both paths",
            _weighed(mean=lambda m, gamma: -m, var=lambda m, gamma: -m),
            "Sums where means are needed: a mean going forward spreads 1/m going back.",
        ),
        Mistake(
            "1/m is missing in the path through the mean",
            _weighed(mean=lambda m, gamma: -m),
            "mu is a mean, so each x_i gets 1/m of its gradient.",
        ),
        Mistake(
            "1/m is missing in the path through the variance",
            _weighed(var=lambda m, gamma: -m),
            "The variance is a mean of squares, so each d_i gets 2 d_i / m of its gradient.",
        ),
        Mistake(
            "it is divided by m twice",
            _weighed(mean=lambda m, gamma: -1 / m, var=lambda m, gamma: -1 / m),
            "dbeta and dgamma are sums. Divide them by m once, in dx.",
        ),
        Mistake(
            "gamma is missing in dx",
            _weighed(scale=lambda gamma, s: 1 / s),
            "The way back begins with dx_hat = gamma * dy.",
        ),
        Mistake(
            "gamma is missing in the path through the variance",
            _weighed(var=lambda m, gamma: -1 / gamma),
            "All three terms of dx carry gamma: put it in front of the bracket. dgamma is a sum "
            "of dy * x_hat, not of dx_hat * x_hat.",
        ),
        Mistake(
            "gamma is missing in the path through the mean",
            _weighed(mean=lambda m, gamma: -1 / gamma),
            "All three terms of dx carry gamma: put it in front of the bracket. dbeta is a sum of "
            "dy, not of dx_hat.",
        ),
        Mistake(
            "gamma is missing in the paths through the mean and the variance",
            _weighed(mean=lambda m, gamma: -1 / gamma, var=lambda m, gamma: -1 / gamma),
            "All three terms of dx carry gamma: put it in front of the bracket. dgamma and dbeta "
            "are made from dy, not from dx_hat.",
        ),
        Mistake(
            "gamma loses its sign",
            _weighed(scale=lambda gamma, s: np.abs(gamma) / s),
            "Nothing keeps gamma positive. Where it is negative, dx turns over.",
        ),
        Mistake(
            "gamma is in dx twice",
            _weighed(scale=lambda gamma, s: gamma**2 / s),
            "The ratio to the right answer is gamma in each column: dx_hat = gamma * dy has it "
            "already.",
        ),
        Mistake(
            "dx is not divided by s",
            _weighed(scale=lambda gamma, s: gamma),
            "x_hat = d / s: on the way back, too, it is divided by s.",
        ),
        Mistake(
            "dx is divided by s squared",
            _weighed(scale=lambda gamma, s: gamma / s**2),
            "The factor is gamma / s, and s is the root of var + eps.",
        ),
        Mistake(
            "eps is missing",
            lambda dy, x, gamma, beta, eps: _reference(dy, x, gamma, beta, 0.0),
            "s is the root of var + eps, going back as going forward.",
        ),
        *wrong_roots(_with_root),
        Mistake(
            "x stands for x_hat",
            _instead_of_x_hat(lambda x, d, y: x),
            "The formula needs the normalized input: subtract the mean and divide by s.",
        ),
        Mistake(
            "x - mean stands for x_hat",
            _instead_of_x_hat(lambda x, d, y: d),
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
            _instead_of_x_hat(lambda x, d, y: y),
            "The two agree only while gamma is 1 and beta is 0, as at the start of training.",
        ),
        Mistake(
            "the means in dx run along each row",
            _averaged_over(1),
            "axis=1 runs along the features. Sum over the examples, axis 0, as the forward pass.",
        ),
        Mistake(
            "the means in dx run over the whole table",
            _averaged_over((0, 1)),
            "A mean without an axis mixes the features. Sum over the examples, axis 0.",
        ),
        Mistake(
            "dx is zero",
            lambda dy, x, g, b, eps: (np.zeros_like(x), *_reference(dy, x, g, b, eps)[1:]),
            "That is right for one loss, the sum of all outputs, and for no useful one.",
        ),
        Mistake(
            "dgamma and dbeta are swapped",
            _parameters(lambda g, b, m: b, lambda g, b, m: g),
            "gamma multiplies x_hat, so its gradient is the sum of dy * x_hat.",
        ),
        Mistake(
            "a mean is returned where a sum is needed",
            _parameters(lambda g, b, m: g / m, lambda g, b, m: b / m),
            "The same gamma and beta serve every example, so the gradients of all add up.",
        ),
        Mistake(
            "it is multiplied by gamma",
            lambda dy, x, g, b, eps: _reference(g * dy, x, 1.0, b, eps),
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


centering = Exercise(
    name="centering",
    chapter=CHAPTER,
    question="The layer is y = x - mean, for each column of x. f(dy) -> dx",
    reference=_centering,
    inputs=lambda rng: [
        (rng.normal(1, 1, (3, 2)),),
        (rng.normal(-1, 2, (5, 4)),),
        (rng.normal(0.5, 1, (16, 3)),),
    ],
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
    cases = []
    for (n, d), eps in (((3, 2), 1e-5), ((8, 5), 0.5), ((20, 4), 1e-5)):
        dy = rng.normal(rng.normal(0, 1, d), 1, (n, d))
        mean, var = rng.normal(0, 2, d), rng.uniform(0.6, 4, d)
        var[0] = 0.2  # below the large eps, as in the tables
        cases.append((dy, columns(rng, n, d), scales(rng, d), mean, var, eps))
    return cases


def _as_in_training(dy, x, gamma, mean, var, eps):
    s = np.sqrt(var + eps)
    x_hat = (x - mean) / s
    dx = gamma / s * (dy - dy.mean(0) - x_hat * (dy * x_hat).mean(0))
    return dx, (dy * x_hat).sum(0), dy.sum(0)


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
            _as_in_training,
            "Here mean and var do not depend on x. The paths through them do not exist.",
        ),
        Mistake(
            "the statistics of the batch are used",
            lambda dy, x, g, mean, var, eps: _reference(dy, x, g, 0.0, eps),
            "In inference, mean and var are arguments: nothing is taken from the batch.",
        ),
        Mistake(
            "the variance of the batch stands for the given one",
            lambda dy, x, g, mean, var, eps: _inference(dy, x, g, mean, x.var(0), eps),
            "In inference, var is an argument: use it, and not x.var(axis=0).",
        ),
        Mistake(
            "the mean of the batch stands for the given one",
            lambda dy, x, g, mean, var, eps: _inference(dy, x, g, x.mean(0), var, eps),
            "In inference, mean is an argument: use it, and not x.mean(axis=0).",
        ),
        Mistake(
            "mean and variance of the batch stand for the given ones",
            lambda dy, x, g, mean, var, eps: _inference(dy, x, g, x.mean(0), x.var(0), eps),
            "In inference, mean and var are arguments: nothing is taken from the batch.",
        ),
        Mistake(
            "there is a path through the mean",
            lambda dy, x, g, mean, var, eps: (
                _inference(dy - dy.mean(0), x, g, mean, var, eps)[:1]
                + _inference(dy, x, g, mean, var, eps)[1:]
            ),
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
            lambda dy, x, g, mean, var, eps: _inference(dy, x, g, mean, np.ones_like(var), 0.0),
            "x_hat = (x - mean) / s, so dx = gamma / s * dy, and dgamma is the sum of dy * x_hat.",
        ),
        Mistake(
            "dgamma and dbeta are swapped",
            lambda dy, x, g, mean, var, eps: (
                g / np.sqrt(var + eps) * dy,
                dy.sum(0),
                (dy * (x - mean) / np.sqrt(var + eps)).sum(0),
            ),
            "gamma multiplies x_hat, so its gradient is the sum of dy * x_hat.",
        ),
        *wrong_roots(
            lambda root: (
                lambda dy, x, g, mean, var, eps: _inference(
                    dy, x, g, mean, root(var, eps) ** 2, 0.0
                )
            )
        ),
        Mistake(
            "gamma loses its sign",
            lambda dy, x, g, mean, var, eps: _inference(dy, x, np.abs(g), mean, var, eps),
            "Nothing keeps gamma positive. Where it is negative, dx turns over.",
        ),
        Mistake(
            "gamma is missing in dx",
            lambda dy, x, g, mean, var, eps: _inference(dy, x, 1.0, mean, var, eps),
            "y = gamma * x_hat + beta: the way back begins with gamma * dy.",
        ),
        Mistake(
            "eps is missing",
            lambda dy, x, g, mean, var, eps: _inference(dy, x, g, mean, var, 0.0),
            "s is the root of var + eps.",
        ),
        Mistake(
            "the root is missing",
            lambda dy, x, g, mean, var, eps: _inference(dy, x, g, mean, (var + eps) ** 2, 0.0),
            "s is the root of var + eps.",
        ),
        Mistake(
            "x stands for x_hat",
            lambda dy, x, g, mean, var, eps: (
                g / np.sqrt(var + eps) * dy,
                (dy * x).sum(0),
                dy.sum(0),
            ),
            "gamma multiplies x_hat = (x - mean) / s.",
        ),
        Mistake(
            "a mean is returned where a sum is needed",
            lambda dy, x, g, mean, var, eps: (
                g / np.sqrt(var + eps) * dy,
                (dy * (x - mean) / np.sqrt(var + eps)).mean(0),
                dy.mean(0),
            ),
            "The same gamma and beta serve every example, so the gradients of all add up.",
        ),
    ),
    hints=(
        "Draw the graph again. Which arrows are gone?",
        "mean and var have no arrow from x. What is left of the three paths?",
    ),
    praise="In training this would be a mistake. The graph decides.",
)

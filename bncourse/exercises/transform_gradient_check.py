"""Exercises of the chapter *How do you know that your gradient is right?*"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from bncourse.exercises import gradient_checkers, gradient_claims
from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import scales, tables, units
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity
from bncourse.exercises.roots import right_root, wrong_roots

CHAPTER = "transform/gradient-check"

centered_by_hand = Quantity(
    name="centered_by_hand",
    chapter=CHAPTER,
    question="L(x) = x**3. What is its centered difference at x = 1 with h = 0.1?",
    answer=3.01,
    tolerance=1e-4,
    mistakes=(
        Mistake(
            "that is the true slope",
            3.0,
            "3 x**2 is what the difference is after. It misses by h**2 L''' / 6: how much is that?",
        ),
        Mistake(
            "the difference is one-sided, forward",
            3.31,
            "(1.331 - 1) / 0.1 takes one step, up. Take one down as well, and divide by 0.2.",
        ),
        Mistake(
            "the difference is one-sided, backward",
            2.71,
            "(1 - 0.729) / 0.1 takes one step, down. Take one up as well, and divide by 0.2.",
        ),
        Mistake("it is divided by h", 6.02, "The two points are 2 h apart."),
        Mistake("it is not divided", 0.602, "Divide by the distance of the two points, 0.2."),
        Mistake("it is turned round", -3.01, "The point above comes first: L(1.1) - L(0.9)."),
        Mistake(
            "the step is 0.2 on each side",
            3.04,
            "x + h is 1.1 and x - h is 0.9: the two are 0.2 apart.",
        ),
    ),
    hints=(
        "L(1.1) = 1.331 and L(0.9) = 0.729.",
        "How far apart are 1.1 and 0.9? Divide the difference of L by that.",
    ),
    working="(1.331 - 0.729) / 0.2 = 3.01: off by h**2 L''' / 6 = 0.01 * 6 / 6, with nothing "
    "left over, since L''' is constant.",
)

best_step = Quantity(
    name="best_step",
    chapter=CHAPTER,
    question="L(x) = 1/x at x = 1000, in float64 with u = 2.2e-16. L is a single term, so S = |L|. "
    "Take M = |L'''(x)|. What is the best step for a centered difference?",
    answer=4.79e-3,
    tolerance=0.03,
    absolute=0.0,
    mistakes=(
        Mistake(
            "that is the best step for x near 1",
            (3 * 2.2e-16) ** (1 / 3),
            "S and M are not 1 here. L is 1e-3, and L''' is 6 / x**4.",
        ),
        Mistake(
            "the usual step, not the best one",
            1e-5,
            "1e-5 suits an x and an L near 1. The best step has the units of x.",
        ),
        Mistake(
            "the 3 is missing",
            (2.2e-16 * 1e-3 / 6e-12) ** (1 / 3),
            "The slope of E is h M / 3 - u S / h**2: the 3 goes over to u S.",
        ),
        Mistake(
            "S is taken to be 1",
            (3 * 2.2e-16 / 6e-12) ** (1 / 3),
            "S is the size of L, and L is 1/1000.",
        ),
        Mistake(
            "M is taken to be 1",
            (3 * 2.2e-16 * 1e-3) ** (1 / 3),
            "The third derivative of 1/x is -6 / x**4.",
        ),
        Mistake(
            "the 6 of the third derivative is missing",
            (3 * 2.2e-16 * 1e-3 / 1e-12) ** (1 / 3),
            "1/x has the derivatives -1/x**2, 2/x**3 and -6/x**4.",
        ),
        Mistake(
            "a square root stands for the cube root",
            (3 * 2.2e-16 * 1e-3 / 6e-12) ** 0.5,
            "h M / 3 = u S / h**2: multiply by h**2, and h**3 is alone.",
        ),
        Mistake(
            "that is the best step to one side",
            2 * (2.2e-16 * 1e-3 / 2e-9) ** 0.5,
            "2 sqrt(u S / M_2) belongs to the one-sided difference.",
        ),
        Mistake(
            "that is the best error, not the step",
            0.5 * (9 * 6e-12 * (2.2e-16 * 1e-3) ** 2) ** (1 / 3),
            "E(h*) is what is left of the error. Asked is h*.",
        ),
    ),
    hints=(
        "S = 1e-3. What is the third derivative of 1/x at 1000?",
        "M = 6 / 1000**4 = 6e-12. Put u, S and M into h* = (3 u S / M)**(1/3).",
    ),
    working="(3 * 2.2e-16 * 1e-3 / 6e-12)**(1/3) = (1.1e-7)**(1/3) = 4.8e-3. In general "
    "x * (u / 2)**(1/3): the best step grows with x.",
)


@dataclass(frozen=True)
class Loss:
    """A number that depends on all entries of ``x`` together, and on each in its own way."""

    a: np.ndarray
    w: np.ndarray

    def __call__(self, x):
        return np.sum(self.a * x**3) + np.sum(self.w * x) ** 2

    def gradient(self, x):
        return 3 * self.a * x**2 + 2 * self.w * np.sum(self.w * x)


def _gradient(loss, x, h):
    x = np.asarray(x, dtype=float)
    dx = np.empty_like(x)
    for j in np.ndindex(x.shape):
        nudge = np.zeros_like(x)
        nudge[j] = h
        dx[j] = (loss(x + nudge) - loss(x - nudge)) / (2 * h)
    return dx


def _entry(x, j):
    one = np.zeros_like(x)
    one[j] = 1
    return one


def _made_gradient(
    loss,
    x,
    h,
    sides=(1, -1),
    apart=lambda h: 2 * h,
    step=lambda h, x_j: h,
    nudged=_entry,
    kind=lambda x: float,
):
    """The numerical gradient in parts that can be replaced; right as it stands.

    ``sides`` says where the two values of the loss are taken, in steps; ``apart`` what their
    difference is divided by; ``nudged`` has a 1 wherever entry ``j`` takes others along.
    """
    dx = np.zeros(x.shape, dtype=kind(x))
    x = x.astype(float)
    up, down = sides
    for j in np.ndindex(x.shape):
        nudge = step(h, x[j]) * nudged(x, j)
        dx[j] = (loss(x + up * nudge) - loss(x + down * nudge)) / apart(h)
    return dx


def _piled_up(loss, x, h, left=-1):
    """Each entry is left where its second nudge has put it, ``left`` steps away."""
    x = x.astype(float)
    dx = np.empty_like(x)
    for j in np.ndindex(x.shape):
        step = h * _entry(x, j)
        dx[j] = (loss(x + step) - loss(x - step)) / (2 * h)
        x = x + left * step
    return dx


def _swallowed(loss, x, h):
    return _gradient(loss, x, h) if x.dtype.kind == "f" else np.zeros(x.shape)


def _losses(rng):
    """A loss with small round numbers, two at random, and one at integers."""
    cases = [(Loss(np.array([1.0, 0.0]), np.array([1.0, 2.0])), np.array([2.0, -1.0]), 0.5)]
    for shape in ((rng.integers(3, 6),), rng.integers(2, 5, 2), rng.integers(2, 5, 2)):
        a, w = rng.uniform(0.5, 2, shape), rng.uniform(0.5, 2, shape)
        x = rng.choice((-1, 1), shape) * rng.uniform(1.5, 3, shape)
        cases.append((Loss(units(rng) * a, w), x, rng.uniform(0.2, 0.6)))
    loss, x, h = cases.pop()
    return [*cases, (loss, (2 * x).astype(int), h)]


numerical_gradient = Exercise(
    name="numerical_gradient",
    chapter=CHAPTER,
    question="The centered differences of a loss: f(loss, x, h) -> dx, where loss(x) is a number "
    "and x an array of any shape, possibly of integers. h is no small number here.",
    reference=_gradient,
    inputs=_losses,
    outputs=("dx",),
    mistakes=(
        Mistake(
            "the difference is one-sided, forward",
            partial(_made_gradient, sides=(1, 0), apart=lambda h: h),
            "That is (L(x + h) - L(x)) / h. Take the value below too, L(x - h).",
        ),
        Mistake(
            "the difference is one-sided, backward",
            partial(_made_gradient, sides=(0, -1), apart=lambda h: h),
            "That is (L(x) - L(x - h)) / h. Take the value above too, L(x + h).",
        ),
        Mistake(
            "after the step up, the step down only leads back",
            partial(_made_gradient, sides=(1, 0)),
            "Yours is (L(x + h) - L(x)) / 2h, half of a one-sided difference. If x[j] += h comes "
            "first, x[j] -= 2 * h has to follow.",
        ),
        Mistake(
            "it is divided by h",
            partial(_made_gradient, apart=lambda h: h),
            "The two points are 2 h apart. Twice the right answer comes out.",
        ),
        Mistake(
            "h stands where 2h is divided by: it is multiplied",
            partial(_made_gradient, apart=lambda h: 2 / h),
            "/ 2 * h divides by 2 and multiplies by h. Write / (2 * h).",
        ),
        Mistake(
            "it is not divided",
            partial(_made_gradient, apart=lambda h: 1),
            "The difference of the two losses is not a slope yet: divide by 2 h.",
        ),
        Mistake(
            "the sign is turned round",
            partial(_made_gradient, sides=(-1, 1)),
            "The value above, L(x + h), comes first.",
        ),
        Mistake(
            "the step is twice as long",
            partial(_made_gradient, sides=(2, -2), apart=lambda h: 4 * h),
            "The two points are x + h and x - h, and 2 h apart.",
        ),
        Mistake(
            "the step is half as long",
            partial(_made_gradient, sides=(0.5, -0.5), apart=lambda h: h),
            "The two points are x + h and x - h, and 2 h apart.",
        ),
        Mistake(
            "the step is multiplied by x",
            partial(_made_gradient, step=lambda h, x_j: h * x_j),
            "x * (1 + h) is a relative step. Here h is added.",
        ),
        Mistake(
            "that is the gradient itself",
            lambda loss, x, h: _gradient(loss, x, 1e-5),
            "Centered differences miss it by the order of h**2, which shows here. Take the h that "
            "is passed, not a very small one, and two values of the loss for each entry.",
        ),
        Mistake(
            "all entries are nudged at once",
            partial(_made_gradient, nudged=lambda x, j: np.ones_like(x)),
            "x + h adds h to every entry, and the slopes of all add up. Nudge one at a time.",
        ),
        Mistake(
            "a whole row is nudged at once",
            partial(_made_gradient, nudged=lambda x, j: _entry(x, j[0])),
            "x[j] with one index is a row, where x has two axes. np.ndindex(x.shape) gives the "
            "indices of single entries.",
        ),
        Mistake(
            "an entry stays down after its turn",
            _piled_up,
            "After x[j] -= 2 * h, x[j] += h is missing: the next entry is nudged at another place.",
        ),
        Mistake(
            "an entry stays up after its turn",
            partial(_piled_up, left=1),
            "The next entry is nudged at another place. Put x[j] back to what it was.",
        ),
        Mistake(
            "an array of integers swallows the step",
            _swallowed,
            "zeros_like(x) and x.copy() are integers if x is, and 0.3 in an array of integers is "
            "0. Begin with x = np.array(x, dtype=float).",
        ),
        Mistake(
            "an array of integers cuts off the slopes",
            partial(_made_gradient, kind=lambda x: x.dtype),
            "np.zeros_like(x) and np.empty_like(x) hold integers if x does. dx needs dtype=float.",
        ),
    ),
    hints=(
        "Go through the entries with np.ndindex(x.shape), and nudge one at a time.",
        "An array of zeros with h in one place can be added to x and subtracted from it. Then "
        "nothing has to be put back.",
        "dx[j] = (loss(x + nudge) - loss(x - nudge)) / (2 * h)",
    ),
    praise="It costs two losses an entry. How many for a network with a million weights?",
)


def _checker(f, backward, x):
    y = f(x)
    dy = np.random.default_rng(0).normal(0, 1, y.shape)
    dx, h = backward(dy), 1e-5
    measured = np.empty_like(x)
    for j in np.ndindex(x.shape):
        nudge = np.zeros_like(x)
        nudge[j] = h
        measured[j] = np.sum(dy * (f(x + nudge) - f(x - nudge))) / (2 * h)
    noise = np.finfo(float).eps * np.sum(np.abs(dy * y)) / h
    allowed = 1e-5 * np.abs(measured).max() + 10 * noise
    return bool(np.all(np.abs(dx - measured) <= allowed))


gradient_checker = Exercise(
    name="gradient_checker",
    chapter=CHAPTER,
    question="Is backward right? f(forward, backward, x) -> True or False, where backward(dy) "
    "claims to be the gradient of sum(dy * forward(x)) at x. Entries of x are near 1, those of "
    "forward(x) may be tiny or huge, and the true gradient may be zero.",
    reference=_checker,
    use=gradient_claims.use,
    inputs=gradient_claims.batteries,
    outputs=tuple(gradient_claims.OF),
    whole=True,
    mistakes=gradient_checkers.MISTAKES,
    hints=(
        "Draw a random dy with the shape of forward(x), and measure the gradient of "
        "sum(dy * forward(x)) by centered differences.",
        "Compare entry by entry: the largest difference must be small beside the largest entry, "
        "or beside the noise of the measurement, u * sum(abs(dy * y)) / h.",
        "NaN <= allowed is False, and so is NaN > allowed. Ask what is right, not what is wrong.",
    ),
    praise="You have tested a test. What would it take to get a wrong gradient past yours?",
)


def _paths(dx, dy, x, gamma, eps):
    d = x - x.mean(axis=0)
    s = np.sqrt((d * d).mean(axis=0) + eps)
    x_hat = d / s
    own, mean, var = dy, dy.mean(axis=0) + 0 * dy, x_hat * (dy * x_hat).mean(axis=0)
    columns = np.stack([gamma / s * path for path in (own, mean, var)], axis=-1)
    weights, *_ = np.linalg.lstsq(columns.reshape(-1, 3), dx.ravel())
    return weights


def _made_paths(
    dx,
    dy,
    x,
    gamma,
    eps,
    root=right_root,
    scale=lambda gamma, s: gamma / s,
    x_hat=lambda x, d, s: d / s,
    mean=lambda a: a.mean(axis=0),
    mean_of_product=None,
    solve=lambda columns, dx: np.linalg.lstsq(columns, dx, rcond=None)[0],
    form=lambda weights: weights,
):
    """The weights of the three paths in parts that can be replaced; right as it stands."""
    d = x - x.mean(axis=0)
    s = root(x.var(axis=0), eps)
    z = x_hat(x, d, s)
    var = z * (mean_of_product or mean)(dy * z)
    columns = np.stack([dy, mean(dy) + 0 * dy, var], axis=-1) * scale(gamma, s)[..., None]
    return form(solve(columns.reshape(-1, 3), dx.ravel()))


def _projections(columns, dx):
    return columns.T @ dx / (columns * columns).sum(axis=0)


def _weighted(rng):
    """A gradient with round weights, and three with weights at random."""
    x = np.array([[1.0, 7.0], [4.0, 1.0], [7.0, 4.0], [4.0, 4.0]])
    dy = np.array([[3.0, 1.0], [0.0, 2.0], [1.0, 3.0], [0.0, -2.0]])
    given = [(dy, x, np.array([6.0, -3.0]), 3.0, np.array([1.0, -1.0, 0.0]))]
    for x, eps in (*tables(rng), tables(rng)[0]):
        dy = units(rng) * rng.normal(rng.normal(1, 0.3, x.shape[1]), 1, x.shape)
        weights = rng.permutation([-2.0, -1.0, 1.0]) * rng.uniform(0.6, 1.4, 3)
        given.append((dy, x, scales(rng, x.shape[1]), eps, weights))
    cases = []
    for dy, x, gamma, eps, (a, b, c) in given:
        s = np.sqrt(x.var(axis=0) + eps)
        x_hat = (x - x.mean(axis=0)) / s
        dx = gamma / s * (a * dy + b * dy.mean(axis=0) + c * x_hat * (dy * x_hat).mean(axis=0))
        cases.append((dx, dy, x, gamma, eps))
    return cases


read_paths = Exercise(
    name="read_paths",
    chapter=CHAPTER,
    question="Someone's gradient is dx = gamma / s * (a dy + b mean(dy) + c x_hat mean(dy x_hat)), "
    "with the same three numbers for all features. Find them: f(dx, dy, x, gamma, eps) -> "
    "array of a, b, c.",
    reference=_paths,
    inputs=_weighted,
    outputs=("weights",),
    tolerance=1e-4,
    mistakes=(
        Mistake(
            "gamma is missing",
            partial(_made_paths, scale=lambda gamma, s: 1 / s),
            "All three paths carry gamma / s. Where gamma is negative, yours turn round.",
        ),
        Mistake(
            "the division by s is missing",
            partial(_made_paths, scale=lambda gamma, s: gamma + 0 * s),
            "All three paths carry gamma / s.",
        ),
        Mistake(
            "gamma and s are missing",
            partial(_made_paths, scale=lambda gamma, s: 1 + 0 * s),
            "All three paths carry gamma / s.",
        ),
        Mistake(
            "gamma loses its sign",
            partial(_made_paths, scale=lambda gamma, s: np.abs(gamma) / s),
            "Nothing keeps gamma positive. Where it is negative, dx turns over.",
        ),
        Mistake(
            "eps is missing",
            partial(_made_paths, root=lambda var, eps: np.sqrt(var)),
            "s is the root of var + eps.",
        ),
        *wrong_roots(lambda root: partial(_made_paths, root=root)),
        Mistake(
            "x stands for x_hat",
            partial(_made_paths, x_hat=lambda x, d, s: x),
            "The path through the variance runs along the normalized input: subtract the mean, "
            "and divide by s.",
        ),
        Mistake(
            "x - mean stands for x_hat",
            partial(_made_paths, x_hat=lambda x, d, s: d),
            "It is centered, but not yet divided by s.",
        ),
        Mistake(
            "sums stand for the means",
            partial(_made_paths, mean=lambda a: a.sum(axis=0)),
            "b and c come out m times too small: the paths hold means of dy and dy * x_hat.",
        ),
        Mistake(
            "x_hat stands alone in the path through the variance",
            partial(_made_paths, mean_of_product=lambda a: 1 + 0 * a),
            "x_hat is multiplied by the mean of dy * x_hat, one number for each feature.",
        ),
        Mistake(
            "dy * x_hat is not averaged",
            partial(_made_paths, mean_of_product=lambda a: a),
            "Average dy * x_hat over axis 0, then multiply by x_hat.",
        ),
        Mistake(
            "the means run over the whole table",
            partial(_made_paths, mean=lambda a: a.mean()),
            "Each feature has its own means: axis=0.",
        ),
        Mistake(
            "the means run along each row",
            partial(_made_paths, mean=lambda a: a.mean(axis=1, keepdims=True)),
            "Sum over the examples, axis 0.",
        ),
        Mistake(
            "each path is fitted by itself",
            partial(_made_paths, solve=_projections),
            "The three paths are not at right angles, so one takes the share of another. Fit all "
            "three together: np.linalg.lstsq with three columns.",
        ),
        Mistake(
            "b and c have the opposite sign",
            partial(_made_paths, form=lambda w: w * [1, -1, -1]),
            "Right is (1, -1, -1) here, not (1, 1, 1): the signs belong to the weights.",
        ),
        Mistake(
            "b and c are swapped",
            partial(_made_paths, form=lambda w: w[[0, 2, 1]]),
            "First the own path, then that through the mean, then that through the variance.",
        ),
        Mistake(
            "the order is turned round",
            partial(_made_paths, form=lambda w: w[::-1]),
            "First the own path, then that through the mean, then that through the variance.",
        ),
    ),
    hints=(
        "Each path is an array in the shape of dx. dx is a weighted sum of the three.",
        "Make a column of each path, with ravel(), and stack the three side by side.",
        "np.linalg.lstsq(columns, dx.ravel(), rcond=None)[0] are the weights.",
    ),
    praise="Try it on the wrong gradients of the last chapter. Which cannot be told apart?",
)

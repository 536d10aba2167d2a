"""Exercises of the chapter *What does the gradient throw away?*"""

from functools import partial

import numpy as np

from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import columns, far_from_zero, scales, tables, units
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity
from bncourse.exercises.roots import right_root, wrong_roots

CHAPTER = "transform/geometry"
FRAGILE = (
    "where the mean is large beside the spread, mean(x * x) - mean**2 subtracts two numbers that "
    "agree in all their digits, and nothing is left. Subtract the mean from x first, and square "
    "what remains."
)

kept_by_hand = Quantity(
    name="kept_by_hand",
    chapter=CHAPTER,
    question="x = (2, 2, 5), eps neglected, gamma = s, dy = (10, 2, 3): the gradient for the first "
    "x?",
    answer=4.0,
    mistakes=(
        Mistake(
            "the statistics are treated as constants",
            10.0,
            "That is dy_1 itself. Take away its parts along (1, 1, 1) and along (-1, -1, 2).",
        ),
        Mistake(
            "the part along x_hat is left in",
            5.0,
            "dy less its mean is (5, -3, -2). That is not yet at a right angle to (-1, -1, 2).",
        ),
        Mistake(
            "the mean is left in", 9.0, "The part along (1, 1, 1) is the mean, 5. Take it away too."
        ),
        Mistake(
            "the part along x_hat is added",
            6.0,
            "The part of dy along (-1, -1, 2) is (1, 1, -2). Subtract its first entry, 1.",
        ),
        Mistake(
            "it is not divided by the squared length",
            8.0,
            "(1, -1, 0) is the direction that is left, and 8 its inner product with dy. To "
            "project, divide by the squared length, 2.",
        ),
        Mistake(
            "it is divided by the length once",
            8 / 2**0.5,
            "That is how long dx is. Its first entry is that times 1/sqrt(2).",
        ),
        Mistake("that is the gradient for the second x", -4.0, "dx = (4, -4, 0)."),
        Mistake(
            "1/m is missing", -8.0, "Means, not sums: of dy 15 / 3, of dy * x_hat the sum over 3."
        ),
        Mistake(
            "the variance is divided by m - 1",
            5 - 2 / 3,
            "The squares of (-1, -1, 2) sum to 6. Their mean, with m = 3, is 2.",
        ),
    ),
    hints=(
        "x less its mean is (-1, -1, 2). Which direction is at a right angle to it and to "
        "(1, 1, 1)?",
        "(1, -1, 0). With gamma = s, dx is the projection of dy on it.",
        "(10 - 2) / 2 times (1, -1, 0).",
    ),
    working="What is left is the direction (1, -1, 0), and (10 - 2) / 2 = 4.",
)


def _jacobian(x, gamma, eps):
    m = len(x)
    d = x - x.mean()
    s = np.sqrt((d * d).mean() + eps)
    x_hat = d / s
    return gamma / s * (np.eye(m) - 1 / m - np.outer(x_hat, x_hat) / m)


def _made_jacobian(
    x,
    gamma,
    eps,
    own=1.0,
    eye=np.eye,
    ones=lambda m: -1 / m,
    outer=lambda x_hat, m: -np.outer(x_hat, x_hat) / m,
    scale=lambda gamma, s: gamma / s,
    root=right_root,
    ddof=0,
    x_hat=lambda x, d, s: d / s,
):
    """The matrix in parts that can be replaced; right as it stands."""
    m, d = len(x), x - x.mean()
    s = root(x.var(ddof=ddof), eps)
    bracket = own * eye(m) + ones(m) + outer(x_hat(x, d, s), m)
    return scale(gamma, s) * bracket


def _batches(rng):
    """Three values that come out round, and two batches at random."""
    cases = [(np.array([1.0, 4.0, 7.0]), 6.0, 3.0)]
    gammas = scales(rng, 2)
    for k, (least, large) in enumerate(((4, 0.5), (7, 1e-5))):
        unit = units(rng)
        x = unit * columns(rng, rng.integers(least, least + 4), 2)[:, k]
        cases.append((x, gammas[k], large * unit**2))
    return cases


def _hostile_batch(rng, eps):
    return [(far_from_zero(rng, eps)[:, 0], 1.5, 1e-5)]


jacobian = Exercise(
    name="jacobian",
    chapter=CHAPTER,
    question="The matrix of all slopes, J[i, j] = dy_i / dx_j, of batch norm for one feature: "
    "f(x, gamma, eps) -> J, with x of shape (m,).",
    reference=_jacobian,
    inputs=_batches,
    outputs=("J",),
    hostile=_hostile_batch,
    fragile=FRAGILE,
    mistakes=(
        Mistake(
            "the statistics are treated as constants",
            partial(_made_jacobian, ones=lambda m: 0.0, outer=lambda z, m: 0.0),
            "That is gamma / s on the diagonal. Every x_j is in the mean and the variance too.",
        ),
        Mistake(
            "the part of x_hat is missing",
            partial(_made_jacobian, outer=lambda z, m: 0.0),
            "The rows sum to 0, so the mean is in order. But J @ x_hat should be next to nothing.",
        ),
        Mistake(
            "the part of the mean is missing",
            partial(_made_jacobian, ones=lambda m: 0.0),
            "Shift all x by the same, and no y moves: each row of J sums to 0.",
        ),
        Mistake(
            "the identity is missing",
            partial(_made_jacobian, own=0.0),
            "x_i also moves its own y_i, with mean and variance held fixed: that is the identity.",
        ),
        Mistake(
            "a 1 stands for the identity",
            partial(_made_jacobian, eye=lambda m: np.ones((m, m))),
            "1 - 1 / m has the 1 in every entry. With mean and variance held fixed, x_i moves its "
            "own y_i only: np.eye(m).",
        ),
        Mistake(
            "1/m is missing in both parts",
            partial(_made_jacobian, ones=lambda m: -1.0, outer=lambda z, m: -np.outer(z, z)),
            "1 1^T applied to dy gives its sum. A mean is wanted, so both are divided by m.",
        ),
        Mistake(
            "1/m is missing in the part of the mean",
            partial(_made_jacobian, ones=lambda m: -1.0),
            "1 1^T applied to dy gives its sum. A mean is wanted.",
        ),
        Mistake(
            "1/m is missing in the part of x_hat",
            partial(_made_jacobian, outer=lambda z, m: -np.outer(z, z)),
            "The squared length of x_hat is nearly m, not 1: divide by m to project.",
        ),
        Mistake(
            "both parts are divided by m - 1",
            partial(
                _made_jacobian,
                ones=lambda m: -1 / (m - 1),
                outer=lambda z, m: -np.outer(z, z) / (m - 1),
            ),
            "Mean and variance divide by m going forward. So do their slopes.",
        ),
        Mistake(
            "it is made a projection",
            partial(_made_jacobian, outer=lambda z, m: -np.outer(z, z) / (z @ z)),
            "You divided by the squared length of x_hat, which eps makes a little less than m. "
            "With eps, the bracket is no projection: it leaves eps / s**2 of what lies along "
            "x_hat.",
        ),
        Mistake(
            "the product with x_hat is taken entry by entry",
            partial(_made_jacobian, outer=lambda z, m: -np.diag(z * z) / m),
            "x_hat x_hat^T is the table of all products: np.outer(x_hat, x_hat).",
        ),
        Mistake(
            "a row is taken for the table of products",
            partial(_made_jacobian, outer=lambda z, m: -(z * z) / m),
            "x_hat * x_hat has shape (m,), and broadcasting does the rest. The table of all "
            "products is np.outer(x_hat, x_hat).",
        ),
        Mistake(
            "a number is taken for the table of products",
            partial(_made_jacobian, outer=lambda z, m: -(z @ z) / m),
            "x_hat has shape (m,), so x_hat @ x_hat.T is the inner product, one number. The table "
            "of all products is np.outer(x_hat, x_hat).",
        ),
        Mistake(
            "the part of x_hat has the wrong sign",
            partial(_made_jacobian, outer=lambda z, m: np.outer(z, z) / m),
            "Stretching x changes no y but for eps: the part along x_hat is taken away.",
        ),
        Mistake(
            "the part of the mean has the wrong sign",
            partial(_made_jacobian, ones=lambda m: 1 / m),
            "Shift all x by the same, and no y moves: each row of J sums to 0.",
        ),
        Mistake(
            "gamma is missing",
            partial(_made_jacobian, scale=lambda gamma, s: 1 / s),
            "y = gamma * x_hat + beta: gamma multiplies every slope.",
        ),
        Mistake(
            "it is not divided by s",
            partial(_made_jacobian, scale=lambda gamma, s: gamma),
            "x_hat = d / s: a nudge of x is a nudge of x_hat divided by s.",
        ),
        Mistake(
            "it is divided by s squared",
            partial(_made_jacobian, scale=lambda gamma, s: gamma / s**2),
            "The factor is gamma / s, and s is the root of var + eps.",
        ),
        Mistake(
            "eps is missing",
            partial(_made_jacobian, root=lambda var, eps: np.sqrt(var)),
            "s is the root of var + eps.",
        ),
        *wrong_roots(lambda root: partial(_made_jacobian, root=root)),
        Mistake(
            "the variance is divided by m - 1",
            partial(_made_jacobian, ddof=1),
            "The transform takes the biased variance, ddof=0.",
        ),
        Mistake(
            "x stands for x_hat",
            partial(_made_jacobian, x_hat=lambda x, d, s: x),
            "Subtract the mean and divide by s before you take the products.",
        ),
        Mistake(
            "x - mean stands for x_hat",
            partial(_made_jacobian, x_hat=lambda x, d, s: d),
            "It is centered, but not yet divided by s.",
        ),
    ),
    hints=(
        "Write dx = gamma / s * (dy - mean(dy) - x_hat * mean(dy * x_hat)) as a matrix times dy.",
        "The mean of dy is ones @ dy / m. And x_hat * mean(dy * x_hat) is which matrix times dy?",
        "J = gamma / s * (np.eye(m) - 1 / m - np.outer(x_hat, x_hat) / m).",
    ),
    praise="It equals its transpose. So what it does to a gradient going back, it does to a nudge "
    "going forward. What is it for a batch of two?",
)

leaking_spread = Quantity(
    name="leaking_spread",
    chapter=CHAPTER,
    question="At which spread sigma, in units of sqrt(eps), is a fifth of the pull along x_hat let "
    "through?",
    answer=2.0,
    mistakes=(
        Mistake(
            "that is the variance", 4.0, "sigma**2 is 4 eps. The spread is sigma, so take the root."
        ),
        Mistake("that is s", 5**0.5, "s**2 = sigma**2 + eps is 5 eps. The spread is sigma."),
        Mistake("that is s squared", 5.0, "s**2 is 5 eps. Take eps away, then the root."),
        Mistake(
            "four fifths are let through there",
            0.5,
            "What is let through is eps / s**2; you have sigma**2 / s**2 = 1/5.",
        ),
        Mistake(
            "a fifth of the squared length is let through there",
            (5**0.5 - 1) ** 0.5,
            "The factor on the pull itself is eps / s**2, not its square.",
        ),
    ),
    hints=("What is let through is the factor eps / s**2.", "sigma**2 + eps = 5 eps."),
    working="Where eps / (sigma**2 + eps) = 1/5, sigma**2 is 4 eps.",
)

longer_by_hand = Quantity(
    name="longer_by_hand",
    chapter=CHAPTER,
    question="Weights of length 3 before a batch norm, eps neglected. Their gradient has length 2, "
    "the rate is 2. How long are the weights after one plain step?",
    answer=5.0,
    mistakes=(
        Mistake("the lengths are added", 7.0, "The step is not along w. At what angle is it?"),
        Mistake(
            "the step is subtracted",
            -1.0,
            "The step is not along w, so it does not shorten it. At what angle is it?",
        ),
        Mistake(
            "the step is subtracted, and the sign dropped",
            1.0,
            "The step is not along w, so it does not shorten it. At what angle is it?",
        ),
        Mistake("the rate is forgotten", 13**0.5, "The step is lr times the gradient, 4 long."),
        Mistake(
            "the rate is not squared",
            17**0.5,
            "The step is 4 long, and its square is lr**2 times that of the gradient.",
        ),
        Mistake("that is the squared length", 25.0, "3**2 + 4**2 = 25. Take the root."),
        Mistake(
            "that is the length before", 3.0, "The step is at a right angle, but it is a step."
        ),
        Mistake("that is the length of the step", 4.0, "And w is 3 long, at a right angle to it."),
    ),
    hints=("At what angle to w is the gradient?", "A right angle, with legs 3 and 2 * 2."),
    working="A right angle, with legs 3 and 4.",
)


def _double_backward(u, dy, x, gamma, eps):
    d = x - x.mean(axis=0)
    s = np.sqrt((d * d).mean(axis=0) + eps)
    x_hat = d / s

    def left(z):
        return z - z.mean(axis=0) - x_hat * (z * x_hat).mean(axis=0)

    a, b = (u * x_hat).mean(axis=0), (dy * x_hat).mean(axis=0)
    overlap = (u * left(dy)).mean(axis=0)
    d_dy = gamma / s * left(u)
    d_x = -gamma / s**2 * (x_hat * overlap + b * left(u) + a * left(dy))
    d_gamma = (u * left(dy)).sum(axis=0) / s
    return d_dy, d_x, d_gamma


def _made_double(
    u,
    dy,
    x,
    gamma,
    eps,
    via_s=1.0,
    via_b=1.0,
    via_a=1.0,
    coefficients=lambda a, b: (a, b),
    bare=False,
    project=lambda z, pz: pz,
    slope=lambda v, pv: pv,
    shared=lambda m: 1.0,
    for_dy=lambda gamma, s: gamma / s,
    for_x=lambda gamma, s: -gamma / s**2,
    for_gamma=lambda gamma, s, m: 1 / s,
    root=right_root,
    ddof=0,
    exact=False,
):
    """The three gradients in parts that can be replaced; right as it stands.

    ``via_s``, ``via_b`` and ``via_a`` weigh the three terms of ``d_x``; with ``bare`` the overlap
    is that of ``u`` and ``dy`` themselves; ``project`` is what is made of ``u`` in ``d_dy`` and of
    ``dy`` in ``d_gamma``, ``slope`` what goes with ``b`` and ``a``; ``shared`` multiplies the
    overlap.
    """
    m = len(x)
    s = root(x.var(axis=0, ddof=ddof), eps)
    z = (x - x.mean(axis=0)) / s
    square = (z * z).mean(axis=0) if exact else 1.0

    def left(v):
        return v - v.mean(axis=0) - z * (v * z).mean(axis=0) / square

    a, b = coefficients((u * z).mean(axis=0), (dy * z).mean(axis=0))
    overlap = (u * (dy if bare else left(dy))).mean(axis=0)
    d_dy = for_dy(gamma, s) * project(u, left(u))
    via_products = via_b * b * slope(u, left(u)) + via_a * a * slope(dy, left(dy))
    d_x = for_x(gamma, s) * (via_s * z * shared(m) * overlap + via_products)
    d_gamma = for_gamma(gamma, s, m) * (u * project(dy, left(dy))).sum(axis=0)
    return d_dy, d_x, d_gamma


def _pairs_of_tables(rng):
    """Tables whose numbers come out round, and two pairs at random."""
    x = np.array([[1.0, 7.0], [4.0, 1.0], [7.0, 4.0]])
    dy = np.array([[3.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    u = np.array([[0.0, 2.0], [3.0, 0.0], [1.0, 1.0]])
    cases = [(u, dy, x, np.array([6.0, -3.0]), 3.0)]
    for x, eps in tables(rng):
        d = x.shape[1]
        u, dy = (rng.normal(rng.normal(0, 1, d), 1, x.shape) for _ in range(2))
        cases.append((u, units(rng) * dy, x, scales(rng, d), eps))
    return cases


def _hostile_tables(rng, eps):
    x = far_from_zero(rng, eps)
    u, dy = rng.normal(1, 1, (2, *x.shape))
    return [(u, dy, x, scales(rng, 4), 1e-5)]


double_backward = Exercise(
    name="double_backward",
    chapter=CHAPTER,
    question="Let phi = sum(u * dx), where dx is what batch norm sends back for dy. Go back once "
    "more: f(u, dy, x, gamma, eps) -> (d_dy, d_x, d_gamma), the gradients of phi for dy, x and "
    "gamma. u, dy and x have shape (N, D).",
    reference=_double_backward,
    inputs=_pairs_of_tables,
    outputs=("d_dy", "d_x", "d_gamma"),
    hostile=_hostile_tables,
    fragile=FRAGILE,
    mistakes=(
        Mistake(
            "the statistics are treated as constants",
            partial(_made_double, for_x=lambda gamma, s: 0.0),
            "With s and x_hat held fixed, phi does not depend on x, and d_x is 0. They are made "
            "of x: give them slopes.",
        ),
        Mistake(
            "only s is differentiated",
            partial(_made_double, via_b=0.0, via_a=0.0),
            "The term along x_hat is there: it comes from 1 / s. The two sums mean(u * x_hat) and "
            "mean(dy * x_hat) hold x as well.",
        ),
        Mistake(
            "s is treated as a constant",
            partial(_made_double, via_s=0.0),
            "The slope of 1 / s with respect to x_i is -x_hat_i / (m s**2): a term along x_hat is "
            "missing.",
        ),
        Mistake(
            "x_hat is differentiated in mean(u * x_hat) only",
            partial(_made_double, via_a=0.0),
            "a * b is a product, and both factors hold x_hat. The term a P(dy) is missing.",
        ),
        Mistake(
            "x_hat is differentiated in mean(dy * x_hat) only",
            partial(_made_double, via_b=0.0),
            "a * b is a product, and both factors hold x_hat. The term b P(u) is missing.",
        ),
        Mistake(
            "a and b are swapped",
            partial(_made_double, coefficients=lambda a, b: (b, a)),
            "Differentiate a, and b stays: a's slope is P(u) / (m s), so P(u) goes with b.",
        ),
        Mistake(
            "the term along x_hat has the wrong sign",
            partial(_made_double, via_s=-1.0),
            "All three terms of d_x have the same sign, a minus: 1 / s falls where s rises, and "
            "the product a * b is subtracted.",
        ),
        Mistake(
            "the terms of a and b have the wrong sign",
            partial(_made_double, via_a=-1.0, via_b=-1.0),
            "All three terms of d_x have the same sign, a minus: 1 / s falls where s rises, and "
            "the product a * b is subtracted.",
        ),
        Mistake(
            "the sign of d_x is turned round",
            partial(_made_double, for_x=lambda gamma, s: gamma / s**2),
            "All of it is there. But a larger s makes dx smaller: it begins with a minus.",
        ),
        Mistake(
            "d_x is divided by s once",
            partial(_made_double, for_x=lambda gamma, s: -gamma / s),
            "dx has 1 / s in front, and the slope of s or of x_hat brings another.",
        ),
        Mistake(
            "gamma is missing in d_x",
            partial(_made_double, for_x=lambda gamma, s: -1 / s**2),
            "phi has gamma in front, and so has its slope.",
        ),
        Mistake(
            "gamma is missing in d_dy",
            partial(_made_double, for_dy=lambda gamma, s: 1 / s),
            "dx is J dy, so d_dy is J u, and J = gamma / s P.",
        ),
        Mistake(
            "d_gamma is multiplied by gamma",
            partial(_made_double, for_gamma=lambda gamma, s, m: gamma / s),
            "phi is gamma times something. Its slope is that something, and holds no gamma.",
        ),
        Mistake(
            "d_gamma is not divided by s",
            partial(_made_double, for_gamma=lambda gamma, s, m: 1.0),
            "dx = gamma / s P(dy): take gamma away, and 1 / s stays.",
        ),
        Mistake(
            "d_gamma is a mean",
            partial(_made_double, for_gamma=lambda gamma, s, m: 1 / s / m),
            "phi is a sum over all examples, and one gamma serves them all: sum, do not average.",
        ),
        Mistake(
            "x_hat is differentiated by d alone",
            partial(_made_double, slope=lambda v, pv: v),
            "The Jacobian of x_hat is P / s, not 1 / s: mean and s move with x. So the slope of a "
            "is P(u) / (m s), and that of b is P(dy) / (m s).",
        ),
        Mistake(
            "the overlap is a sum",
            partial(_made_double, shared=lambda m: m),
            "The slope of s is x_hat / m: with it, the sum of u * P(dy) becomes a mean.",
        ),
        Mistake(
            "the overlap takes dy as it comes",
            partial(_made_double, bare=True),
            "The slope of 1 / s multiplies all of dx: the mean of u * P(dy), not of u * dy.",
        ),
        Mistake(
            "P is left out in front",
            partial(_made_double, project=lambda z, pz: z),
            "phi is gamma / s times the sum of u * P(dy), and P equals its transpose. So d_dy is "
            "gamma / s * P(u), and d_gamma is the sum of u * P(dy) / s.",
        ),
        Mistake(
            "it is made a projection",
            partial(_made_double, exact=True),
            "You divided by the mean square of x_hat. With eps, P is no projection: it takes away "
            "x_hat * mean(z * x_hat), and leaves a little along x_hat.",
        ),
        Mistake(
            "eps is missing",
            partial(_made_double, root=lambda var, eps: np.sqrt(var)),
            "s is the root of var + eps, going back twice as going forward.",
        ),
        *wrong_roots(lambda root: partial(_made_double, root=root)),
        Mistake(
            "the variance is divided by m - 1",
            partial(_made_double, ddof=1),
            "The transform takes the biased variance, ddof=0.",
        ),
    ),
    hints=(
        "d_dy and d_gamma are short: dx is linear in dy and in gamma, and J equals its transpose.",
        "For d_x write phi = gamma / s * (sum(u * (dy - mean(dy))) - m * a * b) with a = "
        "mean(u * x_hat) and b = mean(dy * x_hat). x is in s, in a and in b.",
        "The slope of s is x_hat / m, that of a is P(u) / (m s), that of b is P(dy) / (m s).",
        "d_x = -gamma / s**2 * (x_hat * mean(u * P(dy)) + b * P(u) + a * P(dy)).",
    ),
    praise="Swap u and dy, and d_x stays as it is: x_hat is the gradient of m * s, and d_x holds "
    "third derivatives of that.",
)

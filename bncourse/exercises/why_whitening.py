"""Exercises of the chapter *Why not simply whiten?*"""

from functools import partial

import numpy as np

from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import far_from_zero, units
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity

CHAPTER = "why/whitening"

marching_bias = Quantity(
    name="marching_bias",
    chapter=CHAPTER,
    question="x_hat_i = u_i + b - mean(u + b), and the loss is the mean over i of "
    "(x_hat_i - t_i)^2 / 2. The u_i have mean 5, the targets t_i have mean 2. The gradient takes "
    "mean(u + b) for a constant; the rate is 0.1, and b starts at 10. Where is b after 100 steps?",
    answer=30.0,
    mistakes=(
        Mistake(
            "b stays where it is",
            10.0,
            "That is what the right gradient does: the loss does not depend on b, so its slope is "
            "0. The gradient here takes the mean for a constant, and is not 0.",
        ),
        Mistake(
            "the sign is turned round",
            -10.0,
            "The gradient is the mean of x_hat_i - t_i, which is -2. Descent subtracts it.",
        ),
        Mistake(
            "the start is forgotten",
            20.0,
            "That is how far b has come. It started at 10.",
        ),
        Mistake(
            "the derivative of the square brings a 2",
            50.0,
            "It does, and the 1/2 in the loss takes it away again.",
        ),
        Mistake(
            "b goes to where the mean of the outputs is 2",
            -3.0,
            "There it would stop if nothing were subtracted: u + b would have the mean 2. But the "
            "mean of x_hat is 0 wherever b is, so that the gradient never gets smaller.",
        ),
        Mistake(
            "the mean of u is counted",
            0.0,
            "The mean of u is subtracted along with b: x_hat has mean 0, and the gradient is "
            "0 - 2, not 5 - 2.",
        ),
        Mistake(
            "the rate is forgotten",
            210.0,
            "Each step moves b by the rate times the gradient, 0.1 times -2.",
        ),
        Mistake(
            "it grows by a tenth each step",
            10 * 1.1**100,
            "The gradient is the same number at each step, whatever b is: b grows along a line, "
            "not exponentially.",
        ),
    ),
    hints=(
        "The derivative of x_hat_i with respect to b, the mean being a constant, is 1. So the "
        "gradient is the mean of x_hat_i - t_i.",
        "The mean of x_hat is 0, always. What is left is minus the mean of the targets.",
    ),
    working="The gradient is mean(x_hat) - mean(t) = 0 - 2 at each step, so b grows by 0.2 a step: "
    "10 + 100 * 0.2 = 30. The loss is what it was.",
)


flat_directions = Quantity(
    name="flat_directions",
    chapter=CHAPTER,
    question="A batch of 32 examples with 64 features. How many of the 64 eigenvalues of its "
    "covariance matrix are 0, at least?",
    answer=33,
    mistakes=(
        Mistake(
            "the mean is forgotten",
            32,
            "32 rows can span 32 directions. But these are deviations from their mean, which sum "
            "to 0: one of them follows from the others.",
        ),
        Mistake("that is the rank", 31, "So many are not 0, at most. The others, out of 64, are."),
        Mistake(
            "none need be 0",
            0,
            "Sigma is made of 32 deviations, and is 64 by 64. In a direction that is orthogonal "
            "to all of them, no example varies.",
        ),
        Mistake(
            "only the mean is counted",
            1,
            "That is what the mean takes from the rows. How many directions can so few rows span?",
        ),
        Mistake(
            "the mean takes its direction from the wrong side",
            34,
            "The rank is 31, so 64 - 31 are left.",
        ),
    ),
    hints=(
        "The covariance has the rank of the table of deviations, which has 32 rows.",
        "The rows sum to 0, so that at most 31 of them are independent.",
    ),
    working="The 32 deviations sum to 0, so they span at most 31 directions; 64 - 31 = 33.",
)


def _q(share, steps):
    q = share**0.5
    for _ in range(steps):
        q = q * (3 - q**2) / 2
    return q


partly_whitened = Quantity(
    name="partly_whitened",
    chapter=CHAPTER,
    question="A direction holds a thousandth of the total variance. What is the variance along it "
    "after T = 5 steps of the iteration? Whitened, it would be 1. (Three lines of code, or paper.)",
    answer=_q(1e-3, 5) ** 2,
    tolerance=5e-3,
    absolute=1e-5,
    mistakes=(
        Mistake(
            "that is the bound",
            1e-3 * 1.5**10,
            "q grows by (3 - q^2) / 2 a step, which is a little less than 3/2.",
        ),
        Mistake("that is q", _q(1e-3, 5), "q is the standard deviation. Square it."),
        Mistake("that is where it starts", 1e-3, "q_0 is the root of a thousandth. Iterate."),
        Mistake("one step is missing", _q(1e-3, 4) ** 2, "q_0 is the start, q_5 the end."),
        Mistake("there is one step too many", _q(1e-3, 6) ** 2, "q_0 is the start, q_5 the end."),
        Mistake(
            "q starts at the variance",
            _q(1e-6, 5) ** 2,
            "q_0 = sqrt(lambda / trace), the root of a thousandth.",
        ),
        Mistake(
            "q starts at the variance, and is not squared",
            _q(1e-6, 5),
            "q_0 = sqrt(lambda / trace), the root of a thousandth; and the variance is q_5^2.",
        ),
        Mistake(
            "the iteration is taken to be done",
            1.0,
            "It comes to 1 in the end. Five steps multiply so small a q by less than 1.5^5 = 7.6.",
        ),
    ),
    hints=(
        "q_0 is the root of the direction's share in the trace, and q_{k+1} = q_k (3 - q_k^2) / 2.",
        "q_0 = sqrt(0.001) = 0.0316, and each of the first steps multiplies it by nearly 3/2. The "
        "variance is q_5^2.",
    ),
    working=f"q runs from 0.0316 to {_q(1e-3, 5):.4f} in five steps, and q^2 is "
    f"{_q(1e-3, 5) ** 2:.4f}. IterNorm with T = 5 leaves such a direction nearly flat.",
)


def _zca(x, eps):
    d = x - x.mean(axis=0)
    values, u = np.linalg.eigh(d.T @ d / len(d))
    return d @ (u / np.sqrt(values + eps)) @ u.T


def _right_root(values, eps):
    return np.sqrt(values + eps)


def _deviations(x):
    return x - x.mean(axis=0)


def _made_white(
    x,
    eps,
    of=_deviations,
    whiten=_deviations,
    count=len,
    root=_right_root,
    turn=lambda d, u, s: d @ (u / s) @ u.T,
    add=lambda x: 0,
):
    """ZCA in parts that can be replaced; right as it stands. ``of`` gives the covariance."""
    d = of(x)
    values, u = np.linalg.eigh(d.T @ d / count(d))
    with np.errstate(all="ignore"):
        return turn(whiten(x), u, root(np.maximum(values, 0), eps)) + add(x)


def _by_singular_values(x, eps):
    d = x - x.mean(axis=0)
    _, s, vt = np.linalg.svd(d, full_matrices=False)
    return d @ vt.T / np.sqrt(s**2 / len(d) + eps)


def _by_cholesky(x, eps):
    d = x - x.mean(axis=0)
    return d @ np.linalg.cholesky(np.linalg.inv(_covariance(d, eps)))


def _by_inverse_of_cholesky(x, eps):
    d = x - x.mean(axis=0)
    return np.linalg.solve(np.linalg.cholesky(_covariance(d, eps)), d.T).T


def _covariance(d, eps):
    return d.T @ d / len(d) + eps * np.eye(d.shape[1])


def _standardized(x, eps):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)


def _correlated(rng, n, d):
    """A table whose columns are correlated, no direction being near another in variance."""
    mix, _ = np.linalg.qr(rng.normal(0, 1, (d, d)))
    z = rng.normal(0, 1, (n, d))
    z = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)[0] * n**0.5  # whitened
    return (z * np.geomspace(3, 0.4, d)) @ mix.T + rng.normal(0, 2, d)


def _tables(rng):
    """Four examples of two features; then random tables, in which eps counts or nearly not."""
    cases = [(np.array([[6.0, 4.0], [2.0, 0.0], [5.0, 1.0], [3.0, 3.0]]), 0.5)]
    for large in (0.3, 0.02):
        unit, d = units(rng), rng.integers(3, 6)
        cases.append((unit * _correlated(rng, rng.integers(10, 20), d), large * unit**2))
    return cases


def _describe_white(case, got, want):
    (z,), (right,) = got, want
    if not np.isfinite(z).all():
        return ["Some outputs are NaN or infinite."]
    if np.allclose(z @ z.T, right @ right.T, 0, 1e-4 * np.abs(right @ right.T).max()):
        return [
            "All inner products of two examples are right, so yours is the right answer in other "
            "axes, turned or mirrored. ZCA is the one whose matrix is symmetric."
        ]
    if np.abs(z.mean(axis=0)).max() > 1e-4 * np.abs(z).max():
        return ["The columns of z should have mean 0; yours have not."]
    return []


zca = Exercise(
    name="zca",
    chapter=CHAPTER,
    question="ZCA-whiten a table: f(x, eps) -> z, with x of shape (m, D), z = (x - mean) W, "
    "W = (Sigma + eps I)^(-1/2) symmetric, and the biased covariance Sigma.",
    reference=_zca,
    inputs=_tables,
    outputs=("z",),
    hostile=lambda rng, eps: [(far_from_zero(rng, eps), 1e-5)],
    fragile="where the means are large beside the spreads, the mean of the products and the "
    "product of the means agree in all their digits, and their difference is noise. Subtract the "
    "mean from x first.",
    describe=_describe_white,
    mistakes=(
        Mistake(
            "it is not turned back",
            partial(_made_white, turn=lambda d, u, s: d @ u / s),
            "Those are the principal components, each divided by its spread: PCA whitening. "
            "Multiply by u.T, and each output stands for the feature it came from.",
        ),
        Mistake(
            "those are the principal components, largest first",
            _by_singular_values,
            "That is PCA whitening. Multiply by Vt from the right, and each output stands for the "
            "feature it came from.",
        ),
        Mistake(
            "the root is that of Cholesky, of the inverse",
            _by_cholesky,
            "It whitens, but its factor is triangular: the last output stands for its feature "
            "alone, the first for a mixture of all. The root that is symmetric is asked for.",
        ),
        Mistake(
            "the root is that of Cholesky",
            _by_inverse_of_cholesky,
            "It whitens, but its factor is triangular: the first output stands for its feature "
            "alone, the last for a mixture of all. The root that is symmetric is asked for.",
        ),
        Mistake(
            "each feature is treated by itself",
            _standardized,
            "That is standardizing: mean 0 and variance 1, and correlations as they were. "
            "Whitening removes them too.",
        ),
        Mistake(
            "the mean is not subtracted",
            partial(_made_white, whiten=lambda x: x),
            "The covariance is right, but what is multiplied by W should be x - mean.",
        ),
        Mistake(
            "the covariance is taken about 0",
            partial(_made_white, of=lambda x: x),
            "x.T @ x / m holds the mean as well, as one large direction. Subtract it first.",
        ),
        Mistake(
            "the covariance is divided by m - 1",
            partial(_made_white, count=lambda d: len(d) - 1),
            "np.cov divides by m - 1 unless it is told ddof=0 (or bias=True). As for batch norm, "
            "the biased one is asked for.",
        ),
        Mistake(
            "the covariance is not divided by m",
            partial(_made_white, count=lambda d: 1),
            "d.T @ d is a sum over examples; the covariance is their mean.",
        ),
        Mistake(
            "eps is missing",
            partial(_made_white, root=lambda values, eps: np.sqrt(values)),
            "Without it, a direction in which nothing varies divides 0 by 0.",
        ),
        Mistake(
            "eps is added outside the root",
            partial(_made_white, root=lambda values, eps: np.sqrt(values) + eps),
            "It belongs to the eigenvalues: sqrt(values + eps).",
        ),
        Mistake(
            "eps is taken for a lower bound",
            partial(_made_white, root=lambda values, eps: np.sqrt(np.maximum(values, eps))),
            "It is added to every eigenvalue, large or small: sqrt(values + eps).",
        ),
        Mistake(
            "the root is missing",
            partial(_made_white, root=lambda values, eps: values + eps),
            "With the inverse of Sigma, each direction is divided by its variance. Divide by its "
            "root.",
        ),
        Mistake(
            "it is multiplied by the root",
            partial(_made_white, root=lambda values, eps: 1 / np.sqrt(values + eps)),
            "So the covariance comes out as Sigma squared, about. W is the inverse of the root.",
        ),
        Mistake(
            "u and u.T have changed places",
            partial(_made_white, turn=lambda d, u, s: d @ (u.T / s) @ u),
            "np.linalg.eigh gives eigenvectors as columns: Sigma = u @ diag(values) @ u.T.",
        ),
        Mistake(
            "it is turned twice instead of there and back",
            partial(_made_white, turn=lambda d, u, s: d @ (u / s) @ u),
            "The last factor is u.T, which turns the axes back.",
        ),
        Mistake(
            "the mean is added back",
            partial(_made_white, add=lambda x: x.mean(axis=0)),
            "What is whitened has mean 0.",
        ),
    ),
    hints=(
        "d = x - x.mean(axis=0), and sigma = d.T @ d / len(d). np.linalg.eigh(sigma) gives the "
        "eigenvalues, and the eigenvectors as columns of u.",
        "Go to the axes of the eigenvectors, d @ u. Divide each column by sqrt(values + eps).",
        "Go back to the axes of the features: @ u.T.",
    ),
    praise="And if two features change places in x, what happens in z? For PCA, the same?",
)


def _inverse_root(sigma, steps):
    trace = np.trace(sigma)
    p = np.eye(len(sigma))
    for _ in range(steps):
        p = (3 * p - p @ p @ p @ sigma / trace) / 2
    return p / np.sqrt(trace)


def _cube(p, s):
    return p @ p @ p @ s


def _made_iteration(
    sigma,
    steps,
    size=np.trace,
    start=lambda s: np.eye(len(s)),
    product=_cube,
    half=2,
    more=0,
    back=np.sqrt,
):
    """The iteration in parts that can be replaced; right as it stands."""
    s = sigma / size(sigma)
    p = start(s)
    with np.errstate(all="ignore"):
        for _ in range(steps + more):
            p = (3 * p - product(p, s)) / half
        return p / back(size(sigma))


def _covariances(rng):
    """Whole numbers, then well-conditioned matrices in random units."""
    cases = [(np.array([[5.0, 3.0], [3.0, 5.0]]), 2)]
    for _ in range(3):
        d = rng.integers(3, 7)
        u, _ = np.linalg.qr(rng.normal(0, 1, (d, d)))
        sigma = (u * np.geomspace(1, 0.1, d)) @ u.T * units(rng) * 3
        cases.append(((sigma + sigma.T) / 2, int(rng.integers(3, 6))))
    return cases


def _describe_iteration(case, got, want):
    (sigma, _), (w,), (right,) = case, got, want
    if not np.isfinite(w).all():
        return ["Some entries are NaN or infinite."]
    ratio = np.trace(w @ right) / np.trace(right @ right)
    if np.allclose(w, ratio * right, 0, 1e-4 * np.abs(w).max()):
        return [
            f"w is {ratio:.4g} times what is wanted, where the trace of sigma is "
            f"{np.trace(sigma):.4g} and its root {np.trace(sigma) ** 0.5:.4g}."
        ]
    values, u = np.linalg.eigh(sigma)
    mixed = u.T @ w @ u
    off = np.abs(mixed - np.diag(np.diag(mixed))).max()
    if off > 1e-4 * np.abs(mixed).max():
        return [
            "w has not the eigenvectors of sigma. Sums and matrix products of sigma and the "
            "identity keep them; operations entry by entry do not."
        ]
    return []


inverse_root = Exercise(
    name="inverse_root",
    chapter=CHAPTER,
    question="Whitening without eigenvectors: S = sigma / trace(sigma), P = I, then `steps` times "
    "P <- (3 P - P^3 S) / 2; at the end, P / sqrt(trace(sigma)). f(sigma, steps) -> w, all of "
    "shape (D, D).",
    reference=_inverse_root,
    inputs=_covariances,
    outputs=("w",),
    describe=_describe_iteration,
    mistakes=(
        Mistake(
            "it is not divided by the root of the trace at the end",
            partial(_made_iteration, back=lambda t: 1),
            "P is the inverse root of sigma / trace. That of sigma is smaller, by sqrt(trace).",
        ),
        Mistake(
            "it is divided by the trace at the end",
            partial(_made_iteration, back=lambda t: t),
            "sigma was divided by the trace, so its inverse root was multiplied by sqrt(trace). "
            "Divide by the same.",
        ),
        Mistake(
            "it is multiplied by the root of the trace at the end",
            partial(_made_iteration, back=lambda t: 1 / np.sqrt(t)),
            "A smaller sigma has a larger inverse root. Divide by sqrt(trace).",
        ),
        Mistake(
            "sigma is not divided by its trace",
            partial(_made_iteration, size=lambda sigma: 1.0),
            "Then its eigenvalues may be above 3, where the iteration leaves for infinity.",
        ),
        Mistake(
            "sigma is divided by its norm",
            partial(_made_iteration, size=np.linalg.norm),
            "np.linalg.norm(sigma) is Frobenius's. It would serve as well, but the trace is "
            "asked for.",
        ),
        Mistake(
            "sigma is divided by its largest eigenvalue",
            partial(_made_iteration, size=lambda sigma: np.linalg.norm(sigma, 2)),
            "That would even be quicker, but the eigenvalue has to be found. The trace bounds it.",
        ),
        Mistake(
            "sigma is divided by the mean of its diagonal",
            partial(_made_iteration, size=lambda sigma: np.diag(sigma).mean()),
            "The trace is the sum of the diagonal. With the mean, eigenvalues may be as large as "
            "D, and above 3 the iteration leaves for infinity.",
        ),
        Mistake(
            "the half is missing",
            partial(_made_iteration, half=1),
            "(3 P - P^3 S) / 2: at the end P^2 S is I, and P must come out as P.",
        ),
        Mistake(
            "P is cubed entry by entry",
            partial(_made_iteration, product=lambda p, s: p**3 @ s),
            "p ** 3 cubes each entry. The third power of a matrix is p @ p @ p.",
        ),
        Mistake(
            "S multiplies entry by entry",
            partial(_made_iteration, product=lambda p, s: p @ p @ p * s),
            "The product with S is a matrix product, @.",
        ),
        Mistake(
            "P is squared, not cubed",
            partial(_made_iteration, product=lambda p, s: p @ p @ s),
            "P^3 S. With P^2 S, which is I at the end, P would not stay as it is.",
        ),
        Mistake(
            "S is missing",
            partial(_made_iteration, product=lambda p, s: p @ p @ p),
            "Without S, P stays the identity: nothing tells it of the data.",
        ),
        Mistake(
            "P starts at S",
            partial(_made_iteration, start=lambda s: s),
            "P_0 is the identity.",
        ),
        Mistake(
            "there is one step too few",
            partial(_made_iteration, more=-1),
            "`steps` steps, from P_0 to P_steps: range(steps).",
        ),
        Mistake(
            "there is one step too many",
            partial(_made_iteration, more=1),
            "`steps` steps, from P_0 to P_steps: range(steps).",
        ),
        Mistake(
            "that is the limit",
            lambda sigma, steps: _zca_matrix(sigma),
            "That is the exact inverse root, to which the iteration comes. After so few steps it "
            "is still on its way.",
        ),
    ),
    hints=(
        "trace = np.trace(sigma), s = sigma / trace, p = np.eye(len(sigma)).",
        "In the loop: p = (3 * p - p @ p @ p @ s) / 2, with matrix products.",
        "At the end, p / np.sqrt(trace).",
    ),
    praise="For a sigma with eigenvalues from 1 to 1e-4, try steps = 20: it is right, and yet "
    "look at what comes out.",
)


def _zca_matrix(sigma):
    values, u = np.linalg.eigh(sigma)
    return (u / np.sqrt(values)) @ u.T

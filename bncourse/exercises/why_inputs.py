"""Exercises of the chapter *Why standardize the inputs, and why is that not enough?*"""

from functools import partial

import numpy as np

from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import units
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity

CHAPTER = "why/inputs"

best_rate = Quantity(
    name="best_rate",
    chapter=CHAPTER,
    question="A loss has two modes, of curvature 1 and 9. At which learning rate does the slower "
    "of the two shrink as fast as it can?",
    answer=0.2,
    mistakes=(
        Mistake(
            "that is the limit",
            2 / 9,
            "At 2 / 9 the steep mode jumps from one side to the other and back, for ever.",
        ),
        Mistake(
            "that suits the steep mode alone",
            1 / 9,
            "The steep mode is done in one step. The flat one shrinks by 8/9, and could do better.",
        ),
        Mistake(
            "that suits the flat mode alone",
            1.0,
            "The flat mode is done in one step, and the steep one grows by the factor |1 - 9| = 8.",
        ),
        Mistake(
            "that is the factor",
            0.8,
            "By 0.8 both modes shrink, each step, at the best rate. Which rate is that?",
        ),
        Mistake(
            "the 2 is forgotten",
            0.1,
            "Set 1 - lr equal to 9 lr - 1. There are two ones to bring to one side.",
        ),
        Mistake(
            "the curvatures are subtracted",
            0.25,
            "At 0.25 the steep mode grows: |1 - 9 / 4| > 1. The two factors are equal with "
            "opposite signs, 1 - lr = -(1 - 9 lr).",
        ),
        Mistake(
            "it is turned upside down",
            5.0,
            "5 is the mean of the curvatures. The larger they are, the smaller the rate.",
        ),
        Mistake(
            "that is the geometric mean",
            1 / 3,
            "One over the root of 1 times 9 is beyond the limit, 2 / 9.",
        ),
        Mistake(
            "that is the condition number",
            9.0,
            "Yes, it is 9 / 1. The rate asks for the sum of the two.",
        ),
    ),
    hints=(
        "Each step multiplies the modes by 1 - lr and 1 - 9 lr. Draw both sizes against lr.",
        "The larger of the two is smallest where they cross: 1 - lr = 9 lr - 1.",
    ),
    working="1 - lr = 9 lr - 1 gives lr = 2 / (1 + 9) = 0.2. Both factors then have the size 0.8, "
    "which is (9 - 1) / (9 + 1).",
)

rate_for_bytes = Quantity(
    name="rate_for_bytes",
    chapter=CHAPTER,
    question="A linear model without a bias learns from pixels between 0 and 1. Now it gets the "
    "same images as bytes, 0 to 255. By which number must the largest stable rate be divided?",
    answer=255.0**2,
    mistakes=(
        Mistake(
            "the square is missing",
            255.0,
            "The second moment multiplies two pixels, each of which is 255 times as large.",
        ),
        Mistake(
            "it is multiplied, not divided",
            1 / 255**2,
            "The curvature grows with the pixels, so the rate must shrink: by which number is it "
            "divided?",
        ),
        Mistake(
            "bytes have 256 values",
            256.0**2,
            "They have, but the largest is 255, and so is the factor between the two scales.",
        ),
        Mistake(
            "the root is taken",
            255**0.5,
            "The curvature is a second moment of the pixels: square, not root.",
        ),
        Mistake(
            "the rate stays the same",
            1.0,
            "The functions stay the same: weights 255 times smaller do on bytes what the old ones "
            "did. The rate does not, for the loss is steeper in those weights.",
        ),
        Mistake(
            "the number of pixels is counted",
            255.0**2 * 784,
            "There are as many pixels as before.",
        ),
        Mistake(
            "the factor 2 of the limit is counted",
            2 * 255.0**2,
            "Both limits are 2 over the largest eigenvalue; in their ratio the 2 cancels.",
        ),
    ),
    hints=(
        "The limit is 2 / lambda_max. What happens to X.T @ X / n when X is multiplied by 255?",
        "Each of its entries is a product of two pixels.",
    ),
    working="X.T @ X / n has products of two pixels in it and grows by 255^2 = 65025, and with it "
    "the largest eigenvalue. The limit 2 / lambda_max is divided by that.",
)


def _excess_loss(curvatures, start, lr, steps):
    distance = (1 - lr * curvatures) ** steps * start
    return 0.5 * (curvatures * distance**2).sum()


def _made_excess(
    curvatures,
    start,
    lr,
    steps,
    factor=lambda lr, curvatures: 1 - lr * curvatures,
    power=lambda steps: 2 * steps,
    weight=lambda curvatures: curvatures,
    squared=lambda start: start**2,
    half=0.5,
    total=np.sum,
):
    """The excess in parts that can be replaced; right as it stands."""
    shrinking = factor(lr, curvatures) ** power(steps)
    return half * total(weight(curvatures) * shrinking * squared(start))


def _modes(rng):
    cases = [(np.array([1.0, 4.0]), np.array([4.0, 1.0]), 0.5, 2)]
    for _ in range(3):
        d = rng.integers(3, 8)
        curvatures = units(rng) * rng.uniform(0.2, 3, d)
        start = rng.choice([-1, 1], d) * rng.uniform(0.5, 2, d)
        lr = rng.uniform(0.8, 1.7) / curvatures.max()
        cases.append((curvatures, start, lr, int(rng.integers(3, 7))))
    return cases


excess_loss = Exercise(
    name="excess_loss",
    chapter=CHAPTER,
    question="How far is the loss above its minimum after `steps` steps of gradient descent? "
    "f(curvatures, start, lr, steps) -> excess, with the eigenvalues of the second moment and the "
    "distance from the minimum along each mode at the start, both of shape (d,).",
    reference=_excess_loss,
    inputs=_modes,
    outputs=("excess",),
    mistakes=(
        Mistake(
            "the loss shrinks like the distance",
            partial(_made_excess, power=lambda steps: steps),
            "The distance is multiplied by 1 - lr * curvature each step. The loss holds its "
            "square, so the power is 2 * steps.",
        ),
        Mistake(
            "only one step is taken",
            partial(_made_excess, power=lambda steps: 2),
            "Each step multiplies again: the factor is raised to the power of 2 * steps.",
        ),
        Mistake(
            "the curvature is missing in the factor",
            partial(_made_excess, factor=lambda lr, curvatures: 1 - lr),
            "The slope along a mode is curvature times distance, so the factor is "
            "1 - lr * curvature, another one for each mode.",
        ),
        Mistake(
            "the step goes uphill",
            partial(_made_excess, factor=lambda lr, curvatures: 1 + lr * curvatures),
            "Descent subtracts the gradient: 1 - lr * curvature.",
        ),
        Mistake(
            "the curvature is missing in front of the square",
            partial(_made_excess, weight=lambda curvatures: 1.0),
            "The same distance costs more along a steep mode: half the curvature times its square.",
        ),
        Mistake(
            "the half is missing",
            partial(_made_excess, half=1.0),
            "The loss is half a mean of squares; so is its excess.",
        ),
        Mistake(
            "the distance is not squared",
            partial(_made_excess, squared=lambda start: start),
            "The loss is a parabola along each mode: square the start as well.",
        ),
        Mistake(
            "the modes are averaged",
            partial(_made_excess, total=np.mean),
            "The excess is the sum over the modes.",
        ),
        Mistake(
            "only the largest term is kept",
            partial(_made_excess, total=np.max),
            "In the end one mode is left; before that, all of them count. Sum them up.",
        ),
        Mistake(
            "each mode shrinks at the pace of the slowest",
            partial(_made_excess, factor=lambda lr, curvatures: np.abs(1 - lr * curvatures).max()),
            "That is a bound. Each mode has its own factor, and most are done long before the "
            "slowest.",
        ),
        Mistake(
            "the steps are infinitely small",
            partial(_made_excess, factor=lambda lr, curvatures: np.exp(-lr * curvatures)),
            "exp(-lr * curvature) is what many tiny steps would do. One step of descent multiplies "
            "by 1 - lr * curvature, which may even be negative.",
        ),
    ),
    hints=(
        "Along a mode, what does one step make of a distance c?",
        "distance = (1 - lr * curvatures)**steps * start. What does it cost?",
        "Half the curvature times the distance squared, summed over the modes.",
    ),
    praise="Which mode is left after very many steps? And for which rate is it the steepest?",
)


def _conditioning(x):
    varied = x[:, x.std(axis=0) > 0]
    d = varied - varied.mean(axis=0)
    eigenvalues = np.linalg.eigvalsh(d.T @ d / len(d))
    return eigenvalues[-1] / eigenvalues[0]


def _ratio(matrix):
    """Largest by smallest eigenvalue; infinite where the smallest is nothing but rounding."""
    if not np.isfinite(matrix).all():
        return np.nan
    values = np.linalg.eigvalsh(matrix)
    return values[-1] / values[0] if values[0] > 1e-12 * values[-1] else np.inf


def _made_conditioning(
    x,
    keep=lambda x: x[:, x.std(axis=0) > 0],
    center=lambda x: x - x.mean(axis=0),
    scale=lambda d: d,
    of=_ratio,
    form=lambda kappa: kappa,
):
    """The condition number in parts that can be replaced; right as it stands."""
    d = scale(center(keep(x)))
    return form(of(d.T @ d / len(d)))


def _of_the_diagonal(matrix):
    return np.diag(matrix).max() / np.diag(matrix).min()


def _pictures(rng):
    """Tables with some columns constant, zero or not, and moderate condition numbers."""
    x = np.array([[4.0, 2.0, 7.0], [-2.0, 2.0, 7.0], [1.0, 3.0, 7.0], [1.0, 1.0, 7.0]])
    cases = [(x,)]
    for _ in range(2):
        n, d = rng.integers(20, 40), rng.integers(3, 6)
        z = rng.normal(0, 1, (n, d))
        q, _ = np.linalg.qr(z - z.mean(axis=0))
        turn, _ = np.linalg.qr(rng.normal(0, 1, (d, d)))
        spread = np.sqrt(n * 2.0 ** rng.uniform(0, 6, d))
        varied = q * spread @ turn + rng.choice([-1, 1], d) * rng.uniform(3, 9, d)
        table = np.concatenate([varied, np.zeros((n, 1)), np.full((n, 1), 0.5)], axis=1)
        # A power of 2 as the unit: constant columns stay exactly so.
        cases.append((2.0 ** rng.integers(-6, 7) * table[:, rng.permutation(d + 2)],))
    return cases


def _describe_conditioning(case, got, want):
    kappa = float(got[0])
    if not np.isfinite(kappa) or kappa < 0 or kappa > 1e9:
        return [
            f"A condition number of {kappa:.2g} means that the smallest eigenvalue is 0, but for "
            "rounding. Is a constant column still there?"
        ]
    return ["A condition number is at least 1."] if kappa < 1 else []


conditioning = Exercise(
    name="conditioning",
    chapter=CHAPTER,
    question="Columns of x, of shape (n, d), are pixels, and some are constant. Leave those "
    "out, center the others, and return the condition number of their second moment, which is "
    "their covariance: f(x) -> kappa.",
    reference=_conditioning,
    inputs=_pictures,
    outputs=("kappa",),
    describe=_describe_conditioning,
    mistakes=(
        Mistake(
            "that is the condition number of the table, not of its second moment",
            partial(_made_conditioning, form=np.sqrt),
            "Singular values of x are roots of eigenvalues of x.T @ x. Descent sees the "
            "eigenvalues: square the ratio.",
        ),
        Mistake(
            "the ratio is squared once too often",
            partial(_made_conditioning, form=np.square),
            "The second moment is a square already, x.T @ x / n. Its own condition number is the "
            "ratio of its eigenvalues.",
        ),
        Mistake(
            "the columns are not centered",
            partial(_made_conditioning, center=lambda x: x),
            "Then the largest eigenvalue is mostly the mean. Subtract the mean of each column.",
        ),
        Mistake(
            "one mean is subtracted from all columns",
            partial(_made_conditioning, center=lambda x: x - x.mean()),
            "x.mean() without an axis mixes the pixels. Each column has its own mean.",
        ),
        Mistake(
            "constant columns are kept",
            partial(_made_conditioning, keep=lambda x: x),
            "A constant column is zero once it is centered: an eigenvalue of 0, and a condition "
            "number that is infinite, or whatever rounding makes of it.",
        ),
        Mistake(
            "the columns are standardized",
            partial(_made_conditioning, scale=lambda d: d / d.std(axis=0)),
            "That is the condition number of the correlations. Here the columns keep their spread.",
        ),
        Mistake(
            "the correlations are left out",
            partial(_made_conditioning, of=_of_the_diagonal),
            "That is the ratio of the largest to the smallest variance, the diagonal. Eigenvalues "
            "see what lies beside it as well.",
        ),
        Mistake(
            "that is the largest eigenvalue alone",
            partial(_made_conditioning, of=lambda c: np.linalg.eigvalsh(c)[-1]),
            "Divide it by the smallest. A condition number has no units.",
        ),
        Mistake(
            "the ratio is turned upside down",
            partial(_made_conditioning, form=lambda kappa: 1 / kappa),
            "Largest by smallest: eigvalsh sorts them in ascending order.",
        ),
    ),
    hints=(
        "Which columns have a standard deviation of 0? Index with a mask: x[:, mask].",
        "d = x - x.mean(axis=0), and the covariance is d.T @ d / n.",
        "np.linalg.eigvalsh gives its eigenvalues in ascending order: last by first.",
    ),
    praise="Dividing by n - 1 would change nothing. Which other factors cancel in a ratio?",
)


def _standardized(x_train, x_test):
    mean, std = x_train.mean(axis=0), x_train.std(axis=0)
    divisor = np.where(std > 0, std, 1)
    return (x_train - mean) / divisor, (x_test - mean) / divisor


def _one_for_constant(std):
    return np.where(std > 0, std, 1)


def _made_standardized(
    x_train,
    x_test,
    source=lambda x, x_train, x_test: x_train,
    center=lambda x: x.mean(axis=0),
    spread=lambda x: x.std(axis=0),
    constant=_one_for_constant,
    tested=lambda z, x: z,
):
    """Both sets in parts that can be replaced; right as it stands."""

    def written(x):
        known = source(x, x_train, x_test)
        return (x - center(known)) / constant(spread(known))

    return written(x_train), tested(written(x_test), x_test)


def _two_sets(rng):
    """A training and a test set from different places; one pixel never varies in training."""
    x_train = np.array([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0], [2.0, 5.0]])
    cases = [(x_train * [2, 1], np.array([[8.0, 6.0], [4.0, 3.0]]))]
    for _ in range(2):
        unit, d = 2.0 ** rng.integers(-6, 7), rng.integers(3, 6)
        mean, spread = rng.normal(0, 3, d), rng.uniform(0.5, 3, d)
        x_train = mean + spread * rng.normal(0, 1, (rng.integers(8, 15), d))
        x_test = mean + 1 + 2 * spread * rng.normal(0, 1, (rng.integers(5, 8), d))
        x_train[:, rng.integers(d)] = 0.5
        cases.append((unit * x_train, unit * x_test))
    return cases


standardized = Exercise(
    name="standardized",
    chapter=CHAPTER,
    question="Standardize the pixels of a training and of a test set for the same network: "
    "f(x_train, x_test) -> (z_train, z_test), of shapes (N, D) and (M, D). A pixel that is "
    "constant in the training set is centered, and not divided.",
    reference=_standardized,
    inputs=_two_sets,
    outputs=("z_train", "z_test"),
    mistakes=(
        Mistake(
            "each set is standardized with its own statistics",
            partial(_made_standardized, source=lambda x, x_train, x_test: x),
            "Then the same image gets other numbers in the test set than in training, and a single "
            "image could not be read at all. The mean and the spread are part of the model: they "
            "come from the training set.",
        ),
        Mistake(
            "the statistics are those of both sets together",
            partial(
                _made_standardized,
                source=lambda x, x_train, x_test: np.concatenate([x_train, x_test]),
            ),
            "So the test set has had a say in the model that it is to judge. Mean and spread come "
            "from the training set alone.",
        ),
        Mistake(
            "constant pixels are divided by 0",
            partial(_made_standardized, constant=lambda std: std),
            "0 / 0 is NaN, and one NaN is enough for a whole network. Divide by 1 where the "
            "standard deviation is 0.",
        ),
        Mistake(
            "constant pixels are divided by a tiny number",
            lambda *sets: _made_standardized(*sets, constant=lambda std: std + 1e-8),
            "In the training set that makes no difference. In the test set, a pixel that has moved "
            "comes out as a hundred million. Divide by 1 where the standard deviation is 0.",
        ),
        Mistake(
            "the variance divides",
            partial(_made_standardized, spread=lambda x: x.var(axis=0)),
            "The variance has squared units. Divide by its root, x_train.std(axis=0).",
        ),
        Mistake(
            "the unbiased standard deviation divides",
            partial(_made_standardized, spread=lambda x: x.std(axis=0, ddof=1)),
            "With ddof=1 the training set comes out with a variance of (N - 1) / N. That would do "
            "no harm; asked for is a variance of 1.",
        ),
        Mistake(
            "one standard deviation serves all pixels",
            partial(_made_standardized, spread=lambda x: x.std()),
            "x.std() without an axis mixes the pixels, and leaves each its own spread.",
        ),
        Mistake(
            "one mean serves all pixels",
            partial(_made_standardized, center=lambda x: x.mean()),
            "x.mean() without an axis mixes the pixels. Each is to come out with a mean of 0.",
        ),
        Mistake(
            "it is not divided",
            partial(_made_standardized, spread=lambda x: np.ones(x.shape[1])),
            "Centered, and no more: each pixel keeps its spread.",
        ),
        Mistake(
            "it is not centered",
            partial(_made_standardized, center=lambda x: 0.0),
            "Divided, and no more: each pixel keeps its mean, and with it the largest eigenvalue.",
        ),
        Mistake(
            "the pixels are stretched to between 0 and 1",
            partial(
                _made_standardized,
                center=lambda x: x.min(axis=0),
                spread=lambda x: np.ptp(x, axis=0),
            ),
            "That gives each pixel the same range. Asked for are a mean of 0 and a variance of 1.",
        ),
        Mistake(
            "the test set is left as it is",
            partial(_made_standardized, tested=lambda z, x: x),
            "The network has learned from standardized pixels, and would not know these.",
        ),
    ),
    hints=(
        "Four statistics could be taken. Which two belong to the model?",
        "mean = x_train.mean(axis=0) and std = x_train.std(axis=0), for both sets.",
        "np.where(std > 0, std, 1) is what to divide by.",
    ),
    praise="A network with these inputs is not complete without mean and std: keep them in the "
    "same file as the weights.",
)

"""Exercises of the chapter on inference: running values, population statistics, folding."""

from functools import partial

import numpy as np

from bncourse.exercises.exercise import Exercise
from bncourse.exercises.inputs import columns, far_from_zero, scales, units
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity
from bncourse.exercises.roots import right_root, wrong_roots

CHAPTER = "transform/inference"


def _population(batches):
    m = batches.shape[1]
    means = batches.mean(axis=1)
    variances = ((batches - means[:, None]) ** 2).mean(axis=1)
    return means.mean(axis=0), m / (m - 1) * variances.mean(axis=0)


def _mean_of(values):
    return values.mean(axis=0)


def _made_population(
    batches,
    within=1,
    average=_mean_of,
    average_of_var=None,
    factor=lambda m, b: m / (m - 1),
    more=lambda means: 0,
    order=1,
):
    """Algorithm 2 in parts that can be replaced; right as it stands.

    ``within`` is the axis along which a mean and a variance are taken.
    """
    b, m, _ = batches.shape
    means, variances = batches.mean(axis=within), batches.var(axis=within)
    var = (average_of_var or average)(variances)
    return (average(means), factor(m, b) * var + more(means))[::order]


def _moving(values, start=0.0, momentum=0.1):
    for value in values:
        start = (1 - momentum) * start + momentum * value
    return start


def _pooled(factor):
    def wrong(batches):
        b, m, d = batches.shape
        x = batches.reshape(-1, d)
        return x.mean(axis=0), factor(m, b * m) * x.var(axis=0)

    return wrong


def _about_zero(batches):
    m = batches.shape[1]
    return batches.mean(axis=(0, 1)), m / (m - 1) * (batches**2).mean(axis=(0, 1))


def _mean_of_roots(variances):
    return np.sqrt(variances).mean(axis=0)


def _lists_of_batches(rng):
    """Whole numbers first; then batches whose means differ, as those of real batches do."""
    cases = [(np.array([[[0.0, 1.0], [2.0, 3.0]], [[1.0, 4.0], [5.0, 0.0]]]),)]
    for _ in range(3):
        b = rng.integers(3, 7)
        d, m = rng.integers(2, b), b + rng.integers(1, 6)  # three different numbers
        x = np.stack([columns(rng, m, d) * rng.uniform(0.5, 2, d) for _ in range(b)])
        cases.append((units(rng) * x,))
    return cases


def _describe_population(case, got, want):
    (batches,) = case
    m = batches.shape[1]
    ratio = got[1] / batches.var(axis=1).mean(axis=0)
    if np.allclose(got[1], want[1], 1e-4) or np.ptp(ratio) > 1e-4 * np.abs(ratio).max():
        return []
    return [
        f"Read off: var is {ratio[0]:.4g} times the mean of the biased variances, with m = {m}; "
        f"m / (m - 1) is {m / (m - 1):.4g}."
    ]


ONE_PASS = (
    "where the mean is large beside the spread, mean(x * x) and mean**2 agree in all their digits, "
    "and their difference is noise. Subtract the batch's mean first, and square what is left."
)

population = Exercise(
    name="population",
    chapter=CHAPTER,
    question="The population statistics of Algorithm 2: batches of shape (B, m, D) hold B batches "
    "of m examples. f(batches) -> (mean, var), each of shape (D,): the mean of the batches' means, "
    "and m / (m - 1) times the mean of their biased variances.",
    reference=_population,
    inputs=_lists_of_batches,
    outputs=("mean", "var"),
    hostile=lambda rng, eps: [(np.stack([far_from_zero(rng, eps) for _ in range(3)]),)],
    fragile=ONE_PASS,
    describe=_describe_population,
    mistakes=(
        Mistake(
            "m / (m - 1) is missing",
            partial(_made_population, factor=lambda m, b: 1),
            "A batch's biased variance is too small on average, since the deviations are taken "
            "from the batch's own mean. With m = 2, half of the variance is missing.",
        ),
        Mistake(
            "m / (m - 1) is turned upside down",
            partial(_made_population, factor=lambda m, b: (m - 1) / m),
            "The biased variances are too small on average, so the factor must be above 1.",
        ),
        Mistake(
            "m / (m - 1) is there twice",
            partial(_made_population, factor=lambda m, b: (m / (m - 1)) ** 2),
            "ddof=1 divides by m - 1 already.",
        ),
        Mistake(
            "m / (m - 1) counts the batches",
            partial(_made_population, factor=lambda m, b: b / (b - 1)),
            "m is the number of examples in a batch, batches.shape[1]; len(batches) is B.",
        ),
        Mistake(
            "m / (m - 1) counts all examples",
            partial(_made_population, factor=lambda m, b: m * b / (m * b - 1)),
            "Each variance was taken about the mean of m values, so each is too small by the "
            "factor of m values, however many batches there are.",
        ),
        Mistake(
            "m / (m - 1) counts the features",
            lambda batches: _made_population(
                batches, factor=lambda m, b: batches.shape[2] / (batches.shape[2] - 1)
            ),
            "m is the number of examples in a batch, batches.shape[1]; the last axis has the "
            "features.",
        ),
        Mistake(
            "the mean is multiplied by m / (m - 1) too",
            lambda batches: (
                batches.shape[1] / (batches.shape[1] - 1) * batches.mean(axis=(0, 1)),
                _population(batches)[1],
            ),
            "The mean of a batch is right on average as it is. Only the variance is too small.",
        ),
        Mistake(
            "a sum of squares stands for the variance",
            partial(_made_population, factor=lambda m, b: m),
            "Divide the sum of the squared deviations by m, and then multiply by m / (m - 1): "
            "together, divide by m - 1.",
        ),
        Mistake(
            "the batch's mean is not subtracted",
            _about_zero,
            "That is the mean square. A variance takes the deviations from the batch's own mean.",
        ),
        Mistake(
            "standard deviations are averaged, and not squared",
            partial(_made_population, average_of_var=_mean_of_roots),
            "var is a variance: average batches.var(axis=1), and take no root here.",
        ),
        Mistake(
            "unbiased standard deviations are averaged, and not squared",
            lambda batches: (_population(batches)[0], batches.std(axis=1, ddof=1).mean(axis=0)),
            "var is a variance: average batches.var(axis=1, ddof=1), and take no root here.",
        ),
        Mistake(
            "standard deviations are averaged, then squared",
            partial(_made_population, average_of_var=lambda v: np.sqrt(v).mean(axis=0) ** 2),
            "The square of a mean is less than the mean of the squares, so this is too small. "
            "Average the variances.",
        ),
        Mistake(
            "that is the standard deviation",
            lambda batches: (_population(batches)[0], np.sqrt(_population(batches)[1])),
            "var is a variance. The root is taken where it is used, after eps is added.",
        ),
        Mistake(
            "all examples are pooled, with n - 1",
            _pooled(lambda m, n: n / (n - 1)),
            "One variance over all B m examples also holds the distances between the batches' "
            "means. For examples drawn independently the two have the same expectation; "
            "Algorithm 2 stays within the batches.",
        ),
        Mistake(
            "all examples are pooled, with n",
            _pooled(lambda m, n: 1),
            "One variance over all B m examples also holds the distances between the batches' "
            "means, and needs no m / (m - 1). Algorithm 2 averages the variances of the batches.",
        ),
        Mistake(
            "all examples are pooled, with m / (m - 1)",
            _pooled(lambda m, n: m / (m - 1)),
            "m / (m - 1) makes up for deviations from the mean of a batch. Yours are taken from "
            "the mean of all examples. Take each batch's variance first, axis 1, and average.",
        ),
        Mistake(
            "the variance of the means is added",
            partial(_made_population, more=lambda means: means.var(axis=0)),
            "Within plus between would be right for the biased variances and the pooled examples. "
            "m / (m - 1) already makes up for what the means take away, so now it counts twice.",
        ),
        Mistake(
            "that is the variance of the means",
            partial(_made_population, factor=lambda m, b: 0, more=lambda means: means.var(axis=0)),
            "How far the batches' means lie apart is a variance m times smaller than that of the "
            "examples. Take the variance within each batch, axis 1, and average those.",
        ),
        Mistake(
            "the variance runs along the batches, axis 0",
            partial(_made_population, within=0),
            "Axis 0 counts the batches, and axis 1 the examples of each. A batch's variance runs "
            "along axis 1; the average over batches comes after it.",
        ),
        Mistake(
            "batches and examples are taken for each other",
            partial(_made_population, within=0, factor=lambda m, b: b / (b - 1)),
            "The batches are counted by axis 0, the examples of a batch by axis 1. Statistics of a "
            "batch run over axis 1, their averages over axis 0.",
        ),
        Mistake(
            "the last batch stands for all",
            partial(_made_population, average=lambda values: values[-1]),
            "Keep the statistics of each batch and average them; yours are overwritten.",
        ),
        Mistake(
            "the first batch stands for all",
            partial(_made_population, average=lambda values: values[0]),
            "Go through all batches and average what they give. Is there a return in the loop?",
        ),
        Mistake(
            "a sum stands for the mean over the examples",
            lambda batches: (batches.sum(axis=1).mean(axis=0), _population(batches)[1]),
            "The mean of a batch is its sum divided by m.",
        ),
        Mistake(
            "a sum stands for the mean over the batches",
            partial(_made_population, average=lambda values: values.sum(axis=0)),
            "Divide by the number of batches, len(batches).",
        ),
        Mistake(
            "the median stands for the mean over the batches",
            partial(_made_population, average=lambda values: np.median(values, axis=0)),
            "Expectations are means: every batch counts.",
        ),
        Mistake(
            "that is a running value",
            partial(_made_population, average=_moving, average_of_var=partial(_moving, start=1.0)),
            "It still holds some of its start, 0 and 1, and late batches count more. Here the "
            "weights stand still, so all batches count the same.",
        ),
        Mistake(
            "mean and var are swapped",
            partial(_made_population, order=-1),
            "The question asks for the mean first.",
        ),
    ),
    hints=(
        "For each batch its mean and its variance, over axis 1. Then averages over axis 0.",
        "batches.var(axis=1) has the shape (B, D), and so has batches.mean(axis=1).",
        "m = batches.shape[1], and var = m / (m - 1) * batches.var(axis=1).mean(axis=0)",
    ),
    praise="What if the last batch is smaller than the others?",
)


def _fold(w, b, gamma, beta, mean, var, eps):
    scale = gamma / np.sqrt(var + eps)
    return w * scale, (b - mean) * scale + beta


def _made_fold(
    w,
    b,
    gamma,
    beta,
    mean,
    var,
    eps,
    root=right_root,
    numerator=lambda gamma: gamma,
    weights=lambda w, scale, mean, beta: w * scale,
    old=lambda b, scale: b * scale,
    center=lambda mean, scale: mean * scale,
    shift=lambda beta, gamma, scale: beta,
):
    """Folding in parts that can be replaced; right as it stands."""
    scale = numerator(gamma) / root(var, eps)
    bias = old(b, scale) - center(mean, scale) + shift(beta, gamma, scale)
    return weights(w, scale, mean, beta), bias


def _layers_and_statistics(rng):
    """A layer whose numbers come out round, and three at random.

    As many inputs as outputs, else a scale along the wrong axis would not broadcast at all. What
    is right on these is tried on another shape too, see :func:`_not_square`.
    """
    w, ones = np.array([[1.0, 2.0], [3.0, 4.0]]), np.ones(2)
    cases = [(w, ones, np.array([4.0, -3.0]), ones, np.array([2.0, 0.0]), np.array([3, 8.0]), 1.0)]
    for large in (0.5, 0.5, 1e-5):
        n, unit = rng.integers(3, 7), units(rng)
        var = unit**2 * rng.uniform(0.6, 4, n)
        var[0] = 0.2 * unit**2  # below the large eps
        vectors = scales(rng, n), rng.normal(0, 1, n), unit * rng.normal(0, 2, n), var
        b = unit * rng.normal(0, 1, n)
        cases.append((unit * rng.normal(0, 1, (n, n)), b, *vectors, large * unit**2))
    return cases


def _not_square(rng, eps):
    w, b, *vectors, eps = _layers_and_statistics(rng)[-1]
    return [(np.concatenate([w, 2 * w[:1]]), b, *vectors, eps)]


def _describe_fold(case, got, want):
    w, b, gamma, beta, mean, var, eps = case
    if np.allclose(got[0], want[0], 1e-4):
        return []
    scale = gamma / np.sqrt(var + eps)
    ratio = got[0] / w
    for axis, kind in ((0, "column"), (1, "row")):
        if np.all(np.ptp(ratio, axis=axis) <= 1e-4 * np.abs(ratio).max(axis=axis)):
            factors, wanted = (", ".join(f"{f:.4g}" for f in v) for v in (ratio.mean(axis), scale))
            return [
                f"Read off: each {kind} of w is multiplied by a number of its own, {factors}.",
                f"gamma / sqrt(var + eps) is {wanted}: one for each column.",
            ]
    return ["w is not multiplied by one number for each column."]


fold = Exercise(
    name="fold",
    chapter=CHAPTER,
    question="A dense layer u @ w + b is followed by a batch norm in evaluation, with gamma, beta, "
    "mean, var of shape (n_out,). Fold the two into one dense layer: f(w, b, gamma, beta, mean, "
    "var, eps) -> (w, b), with w of shape (n_in, n_out).",
    reference=_fold,
    inputs=_layers_and_statistics,
    outputs=("w", "b"),
    hostile=_not_square,
    fragile="w has shape (n_in, n_out), and the two need not be equal.",
    describe=_describe_fold,
    mistakes=(
        Mistake(
            "the scale runs along the wrong axis of w",
            partial(_made_fold, weights=lambda w, scale, mean, beta: w * scale[:, None]),
            "That scales what comes in. gamma / s belongs to what goes out: w has shape (n_in, "
            "n_out), so each column has its own factor, w * scale.",
        ),
        Mistake(
            "w is transposed",
            partial(_made_fold, weights=lambda w, scale, mean, beta: (w * scale).T),
            "The shape stays (n_in, n_out).",
        ),
        Mistake(
            "w is not scaled",
            partial(_made_fold, weights=lambda w, scale, mean, beta: w),
            "gamma / s multiplies the whole of u @ w + b, so w too.",
        ),
        Mistake(
            "the mean is subtracted from w",
            partial(_made_fold, weights=lambda w, scale, mean, beta: (w - mean) * scale),
            "The mean is subtracted once from u @ w + b, and does not grow with u: it belongs into "
            "the new b alone.",
        ),
        Mistake(
            "w is normalized as if it were an input",
            partial(_made_fold, weights=lambda w, scale, mean, beta: (w - mean) * scale + beta),
            "The batch norm is applied to u @ w + b, not to w. Multiply out gamma * (u @ w + b - "
            "mean) / s + beta, and see what stands beside u.",
        ),
        Mistake(
            "w is divided by the scale",
            partial(_made_fold, weights=lambda w, scale, mean, beta: w / scale),
            "The batch norm multiplies by gamma / s, and so must its stand-in.",
        ),
        Mistake(
            "gamma is missing",
            partial(_made_fold, numerator=np.ones_like),
            "The scale is gamma / sqrt(var + eps), in w and in b.",
        ),
        Mistake(
            "gamma loses its sign",
            partial(_made_fold, numerator=np.abs),
            "Nothing keeps gamma positive. Where it is negative, the column of w turns over.",
        ),
        Mistake(
            "the scale is gamma alone",
            partial(_made_fold, root=lambda var, eps: np.ones_like(var)),
            "The batch norm also divides by sqrt(var + eps).",
        ),
        Mistake(
            "eps is missing",
            partial(_made_fold, root=lambda var, eps: np.sqrt(var)),
            "The layer that you replace divides by sqrt(var + eps). Without eps a channel that is "
            "nearly constant is blown up.",
        ),
        Mistake(
            "the root is missing",
            partial(_made_fold, root=lambda var, eps: var + eps),
            "var is a variance. The scale is gamma / sqrt(var + eps).",
        ),
        Mistake(
            "var is taken for a standard deviation",
            partial(_made_fold, root=lambda var, eps: np.sqrt(var**2 + eps)),
            "var is a variance already: sqrt(var + eps).",
        ),
        Mistake(
            "it is multiplied by s",
            partial(_made_fold, root=lambda var, eps: 1 / np.sqrt(var + eps)),
            "The batch norm divides by s = sqrt(var + eps).",
        ),
        *wrong_roots(lambda root: partial(_made_fold, root=root)),
        Mistake(
            "b is as it was",
            partial(
                _made_fold, old=lambda b, scale: b, center=lambda m, s: 0, shift=lambda b, g, s: 0
            ),
            "The batch norm shifts: u = 0 goes to gamma * (b - mean) / s + beta.",
        ),
        Mistake(
            "the old b is forgotten",
            partial(_made_fold, old=lambda b, scale: 0),
            "The batch norm subtracts its mean from u @ w + b, so b goes with w: (b - mean) * "
            "scale + beta. It may be forgotten only if it is 0.",
        ),
        Mistake(
            "the old b is not scaled",
            partial(_made_fold, old=lambda b, scale: b),
            "b comes in before the batch norm and is scaled with the rest: (b - mean) * scale.",
        ),
        Mistake(
            "the mean is not scaled",
            partial(_made_fold, center=lambda mean, scale: mean),
            "The mean is subtracted first, and then all is scaled: (b - mean) * scale.",
        ),
        Mistake(
            "neither b nor the mean is scaled",
            partial(_made_fold, old=lambda b, scale: b, center=lambda mean, scale: mean),
            "gamma / s multiplies the difference: (b - mean) * scale + beta.",
        ),
        Mistake(
            "the mean has the wrong sign",
            partial(_made_fold, center=lambda mean, scale: -mean * scale),
            "The batch norm subtracts its mean.",
        ),
        Mistake(
            "the mean is missing",
            partial(_made_fold, center=lambda mean, scale: 0),
            "The batch norm subtracts its mean from u @ w + b: (b - mean) * scale + beta.",
        ),
        Mistake(
            "beta is missing",
            partial(_made_fold, shift=lambda beta, gamma, scale: 0),
            "beta is added last.",
        ),
        Mistake(
            "beta is scaled",
            partial(_made_fold, shift=lambda beta, gamma, scale: beta * scale),
            "beta is added after gamma has multiplied: (b - mean) * scale + beta.",
        ),
        Mistake(
            "beta is multiplied by gamma",
            partial(_made_fold, shift=lambda beta, gamma, scale: beta * gamma),
            "gamma multiplies what was normalized; beta is added after that.",
        ),
        Mistake(
            "b and the mean are subtracted the wrong way round",
            partial(_made_fold, old=lambda b, s: -b * s, center=lambda mean, s: -mean * s),
            "The batch norm subtracts its mean from u @ w + b: (b - mean) * scale + beta.",
        ),
        Mistake(
            "beta is subtracted",
            partial(_made_fold, shift=lambda beta, gamma, scale: -beta),
            "The mean is subtracted; beta is added.",
        ),
        Mistake(
            "gamma and beta are swapped",
            lambda w, b, gamma, beta, *rest: _fold(w, b, beta, gamma, *rest),
            "gamma multiplies, beta is added.",
        ),
        Mistake(
            "mean and var are swapped",
            lambda w, b, gamma, beta, mean, var, eps: _fold(w, b, gamma, beta, var, mean, eps),
            "The mean is subtracted, and var is what the root is taken of.",
        ),
    ),
    hints=(
        "Write down gamma * (u @ w + b - mean) / s + beta and collect what multiplies u.",
        "scale = gamma / np.sqrt(var + eps) has shape (n_out,), one number for a column of w.",
        "What is left when u is 0 is the new b: (b - mean) * scale + beta.",
    ),
    praise="Now the batch norm costs nothing. Could it be folded into the layer after it as well?",
)


def _without_start(running_mean, running_var, momentum, n):
    left = (1 - momentum) ** n
    return running_mean / (1 - left), (running_var - left) / (1 - left)


def _made_without_start(
    running_mean,
    running_var,
    momentum,
    n,
    left=lambda a, n: (1 - a) ** n,
    start_of_mean=0,
    start_of_var=1,
    of_mean=lambda value, left: value / (1 - left),
    of_var=None,
    order=1,
):
    """The start taken out, in parts that can be replaced; right as it stands."""
    share = left(momentum, n)
    mean = of_mean(running_mean - share * start_of_mean, share)
    return (mean, (of_var or of_mean)(running_var - share * start_of_var, share))[::order]


def _early_statistics(rng):
    """Two batches with momentum 0.5 first, then averages that still hold much of their start."""
    cases = [(np.array([3.0, -6.0]), np.array([1.75, 4.0]), 0.5, 2)]
    for _ in range(3):
        d, n, momentum = rng.integers(2, 6), int(rng.integers(3, 9)), rng.uniform(0.05, 0.2)
        left = (1 - momentum) ** n
        mean, var = rng.normal(0, 3, d), rng.uniform(0.2, 6, d)
        cases.append(((1 - left) * mean, left + (1 - left) * var, momentum, n))
    return cases


def _describe_without_start(case, got, want):
    _, _, momentum, n = case
    left = (1 - momentum) ** n
    return [f"After {n} batches with momentum {momentum:.4g}, {left:.4g} of the start is left."]


without_start = Exercise(
    name="without_start",
    chapter=CHAPTER,
    question="After n batches with the given momentum, running_mean and running_var, of shape "
    "(D,), still hold some of their start, which was 0 and 1. Take it out: f(running_mean, "
    "running_var, momentum, n) -> (mean, var), the weighted means of what the batches brought, "
    "with weights that add up to 1.",
    reference=_without_start,
    inputs=_early_statistics,
    outputs=("mean", "var"),
    describe=_describe_without_start,
    mistakes=(
        Mistake(
            "the momentum is turned round",
            partial(_made_without_start, left=lambda a, n: a**n),
            "momentum is the weight of the new batch. What was there is multiplied by "
            "1 - momentum, n times.",
        ),
        Mistake(
            "n is missing",
            partial(_made_without_start, left=lambda a, n: 1 - a),
            "1 - momentum is what one batch leaves of the start. After n of them it is "
            "(1 - momentum)**n.",
        ),
        Mistake(
            "n multiplies 1 - momentum",
            partial(_made_without_start, left=lambda a, n: n * (1 - a)),
            "Each batch multiplies what is left of the start by 1 - momentum once more: that is a "
            "power, (1 - momentum)**n.",
        ),
        Mistake(
            "each batch takes the same share of the start",
            partial(_made_without_start, left=lambda a, n: 1 - n * a),
            "Each batch takes the share momentum of what is still left, so what is left is "
            "(1 - momentum)**n. 1 - n * momentum is near it only while both are near 1.",
        ),
        Mistake(
            "the power is taken for an exponential",
            partial(_made_without_start, left=lambda a, n: np.exp(-a * n)),
            "exp(-momentum * n) is a good estimate for a small momentum. The start's share is "
            "(1 - momentum)**n exactly.",
        ),
        Mistake(
            "one batch too many",
            partial(_made_without_start, left=lambda a, n: (1 - a) ** (n + 1)),
            "n batches were seen, and each multiplied the start by 1 - momentum once.",
        ),
        Mistake(
            "one batch too few",
            partial(_made_without_start, left=lambda a, n: (1 - a) ** (n - 1)),
            "The first batch multiplies the start by 1 - momentum too.",
        ),
        Mistake(
            "the variance is taken to start at 0",
            partial(_made_without_start, start_of_var=0),
            "That is right for the mean. running_var starts at 1, so it holds (1 - momentum)**n "
            "more than the batches brought: subtract that first.",
        ),
        Mistake(
            "the mean is taken to start at 1",
            partial(_made_without_start, start_of_mean=1),
            "running_mean starts at 0, so there is nothing to subtract from it, only the weights "
            "to be made to add up to 1.",
        ),
        Mistake(
            "the start is added",
            partial(_made_without_start, start_of_var=-1),
            "The start is in running_var already. Subtract its share, (1 - momentum)**n.",
        ),
        Mistake(
            "the whole start is subtracted",
            lambda mean, var, a, n: (mean / (1 - (1 - a) ** n), (var - 1) / (1 - (1 - a) ** n)),
            "Only the share (1 - momentum)**n of the start is left in it.",
        ),
        Mistake(
            "the weights do not add up to 1",
            partial(_made_without_start, of_mean=lambda value, left: value),
            "Without the start, the batches' weights add up to 1 - (1 - momentum)**n. Divide by "
            "that.",
        ),
        Mistake(
            "the variance is not divided",
            partial(_made_without_start, of_var=lambda value, left: value),
            "The batches' weights add up to 1 - (1 - momentum)**n in the variance too. Divide by "
            "that.",
        ),
        Mistake(
            "it is multiplied by the weight of the batches",
            partial(_made_without_start, of_mean=lambda value, left: value * (1 - left)),
            "Weights that add up to less than 1 make the average too small: divide by their sum.",
        ),
        Mistake(
            "it is divided by the share of the start",
            partial(_made_without_start, of_mean=lambda value, left: value / left),
            "What remains are the batches, and their weights add up to 1 - (1 - momentum)**n.",
        ),
        Mistake(
            "the variance is as it was",
            partial(_made_without_start, start_of_var=0, of_var=lambda value, left: value),
            "running_var has a start too, and it is 1.",
        ),
        Mistake(
            "the mean is as it was",
            partial(
                _made_without_start,
                of_mean=lambda value, left: value,
                of_var=lambda value, left: value / (1 - left),
            ),
            "Its start was 0, which adds nothing; but the batches' weights add up to "
            "1 - (1 - momentum)**n only. Divide by that.",
        ),
        Mistake(
            "mean and var are swapped",
            partial(_made_without_start, order=-1),
            "The question asks for the mean first.",
        ),
    ),
    hints=(
        "Which share of running_var is its start, after n batches?",
        "left = (1 - momentum) ** n. Subtract left times the start: 0 for the mean, 1 for the "
        "variance.",
        "The batches' weights add up to 1 - left: divide by it.",
    ),
    praise="The optimizer Adam does this with its averages. What would it change after 1000 "
    "batches?",
)


start_left = Quantity(
    name="start_left",
    chapter=CHAPTER,
    question="running_var starts at 1, and moves with momentum 0.1: running <- 0.9 * running + "
    "0.1 * batch. Which share of the start is left in it after 10 batches?",
    answer=0.9**10,
    mistakes=(
        Mistake(
            "nothing is left",
            0.0,
            "Ten times a tenth, but each time a tenth of what is left. And 0.1 multiplied ten "
            "times would be the share with the momentum turned round.",
        ),
        Mistake(
            "that is what is gone", 1 - 0.9**10, "The batches' share. The start's is the rest."
        ),
        Mistake("that is one batch too many", 0.9**11, "Each of the 10 batches multiplies by 0.9."),
        Mistake("that is one batch too few", 0.9**9, "The first batch multiplies by 0.9 too."),
        Mistake("that is after one batch", 0.9, "It is multiplied by 0.9 again with each batch."),
        Mistake("that is the weight of the last batch", 0.1, "The start was multiplied by 0.9s."),
        Mistake(
            "that is the weight of a batch seen ten steps ago",
            0.1 * 0.9**10,
            "A batch came in with the weight 0.1. The start was there, with the weight 1.",
        ),
        Mistake(
            "that is 1/e",
            np.exp(-1),
            "A good estimate: 0.9 is about exp(-0.1). Work it out without the estimate.",
        ),
    ),
    hints=(
        "What is left of the start after one batch? And after two?",
        "Each batch multiplies it by 0.9.",
    ),
    working="Each batch leaves 0.9 of what was there, and 0.9**10 = 0.349: more than a third. A "
    "layer evaluated this early answers with a variance that nobody measured.",
)


averaged_batches = Quantity(
    name="averaged_batches",
    chapter=CHAPTER,
    question="A running mean with momentum 0.01 has seen very many batches, of independent "
    "examples and with weights that stand still. It scatters about the mean of the population. A "
    "plain average scatters as much if it is taken over how many batches?",
    answer=199.0,
    tolerance=1e-3,
    mistakes=(
        Mistake(
            "that is 1 / momentum",
            100.0,
            "The newest batches weigh 0.01 each, but older ones still add something. Sum the "
            "squares of all weights.",
        ),
        Mistake(
            "that is the mean age",
            99.0,
            "(1 - a) / a is how far back the average looks. How much it scatters follows from the "
            "squares of the weights.",
        ),
        Mistake(
            "that is 2 / momentum",
            200.0,
            "Nearly: the geometric series gives a / (2 - a) for the sum of the squares, exactly.",
        ),
        Mistake(
            "that is for momentum 0.1",
            19.0,
            "(2 - a) / a it is. Here a is 0.01.",
        ),
        Mistake(
            "that is for the momentum turned round",
            1.01 / 0.99,
            "The new batch weighs 0.01 here, the old value 0.99.",
        ),
        Mistake(
            "that is the sum of the squares",
            0.01 / 1.99,
            "That is the variance beside that of one batch. A plain average over k batches has "
            "1 / k.",
        ),
        Mistake(
            "that compares standard deviations",
            199.0**0.5,
            "A plain average over k batches has the variance 1 / k, and the standard deviation "
            "1 / sqrt(k). Compare like with like.",
        ),
    ),
    hints=(
        "The variance of a weighted mean of independent values is the sum of the squared weights "
        "times the variance of one.",
        "The weights are a, a (1 - a), a (1 - a)**2, ... Their squares are a geometric series.",
        "The sum is a**2 / (1 - (1 - a)**2) = a / (2 - a); a plain average over k has 1 / k.",
    ),
    working="The squares of the weights a (1 - a)**k add up to a**2 / (1 - (1 - a)**2) = "
    "a / (2 - a), and the squares of k equal weights to 1 / k: so k = (2 - a) / a = 199.",
)

"""Exercises of the chapter on inference: population statistics, moving averages, folding."""

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


def _pooled(ddof):
    def wrong(batches):
        x = batches.reshape(-1, batches.shape[2])
        return x.mean(axis=0), x.var(axis=0, ddof=ddof)

    return wrong


def _lists_of_batches(rng):
    """Whole numbers first; then batches whose means differ, as those of real batches do."""
    cases = [(np.array([[[0.0, 1.0], [2.0, 3.0]], [[1.0, 4.0], [5.0, 0.0]]]),)]
    for _ in range(3):
        b, d = rng.integers(3, 7), rng.integers(2, 6)
        m = b + rng.integers(1, 6)  # never as many batches as examples in one
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
            _pooled(1),
            "One variance over all B m examples also holds the distances between the batches' "
            "means. For examples drawn independently the two have the same expectation; "
            "Algorithm 2 stays within the batches.",
        ),
        Mistake(
            "all examples are pooled, with n",
            _pooled(0),
            "One variance over all B m examples also holds the distances between the batches' "
            "means, and needs no m / (m - 1). Algorithm 2 averages the variances of the batches.",
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
            "that is a moving average",
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


def _bias(b, mean, scale, beta):
    return (b - mean) * scale + beta


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
    weights=lambda w, scale: w * scale,
    bias=_bias,
):
    """Folding in parts that can be replaced; right as it stands."""
    scale = numerator(gamma) / root(var, eps)
    return weights(w, scale), bias(b, mean, scale, beta)


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
            partial(_made_fold, weights=lambda w, scale: w * scale[:, None]),
            "That scales what comes in. gamma / s belongs to what goes out: w has shape (n_in, "
            "n_out), so each column has its own factor, w * scale.",
        ),
        Mistake(
            "w is transposed",
            partial(_made_fold, weights=lambda w, scale: (w * scale).T),
            "The shape stays (n_in, n_out).",
        ),
        Mistake(
            "w is not scaled",
            partial(_made_fold, weights=lambda w, scale: w),
            "gamma / s multiplies the whole of u @ w + b, so w too.",
        ),
        Mistake(
            "w is divided by the scale",
            partial(_made_fold, weights=lambda w, scale: w / scale),
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
            partial(_made_fold, bias=lambda b, mean, scale, beta: b),
            "The batch norm shifts: u = 0 goes to gamma * (b - mean) / s + beta.",
        ),
        Mistake(
            "the old b is forgotten",
            partial(_made_fold, bias=lambda b, mean, scale, beta: beta - mean * scale),
            "The batch norm subtracts its mean from u @ w + b, so b goes with w: (b - mean) * "
            "scale + beta. It may be forgotten only if it is 0.",
        ),
        Mistake(
            "the old b is not scaled",
            partial(_made_fold, bias=lambda b, mean, scale, beta: b - mean * scale + beta),
            "b comes in before the batch norm and is scaled with the rest: (b - mean) * scale.",
        ),
        Mistake(
            "the mean is not scaled",
            partial(_made_fold, bias=lambda b, mean, scale, beta: b * scale - mean + beta),
            "The mean is subtracted first, and then all is scaled: (b - mean) * scale.",
        ),
        Mistake(
            "neither b nor the mean is scaled",
            partial(_made_fold, bias=lambda b, mean, scale, beta: b - mean + beta),
            "gamma / s multiplies the difference: (b - mean) * scale + beta.",
        ),
        Mistake(
            "the mean has the wrong sign",
            partial(_made_fold, bias=lambda b, mean, scale, beta: (b + mean) * scale + beta),
            "The batch norm subtracts its mean.",
        ),
        Mistake(
            "the mean is missing",
            partial(_made_fold, bias=lambda b, mean, scale, beta: b * scale + beta),
            "The batch norm subtracts its mean from u @ w + b: (b - mean) * scale + beta.",
        ),
        Mistake(
            "beta is missing",
            partial(_made_fold, bias=lambda b, mean, scale, beta: (b - mean) * scale),
            "beta is added last.",
        ),
        Mistake(
            "beta is scaled",
            partial(_made_fold, bias=lambda b, mean, scale, beta: (b - mean + beta) * scale),
            "beta is added after gamma has multiplied: (b - mean) * scale + beta.",
        ),
        Mistake(
            "beta is subtracted",
            partial(_made_fold, bias=lambda b, mean, scale, beta: (b - mean) * scale - beta),
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

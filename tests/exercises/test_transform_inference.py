"""The exercises on inference: right answers in many styles, and wrong ones as they are written."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn
from bncourse.exercises.transform_inference import (
    averaged_batches,
    fold,
    population,
    start_left,
    without_start,
)
from bncourse.moments import Moments

SEEDS = range(20)


def loops(batches):
    mean = var = 0.0
    for x in batches:
        m = len(x)
        center = sum(x) / m
        mean = mean + center / len(batches)
        var = var + sum((row - center) ** 2 for row in x) / m / len(batches)
    return mean, m / (m - 1) * var


def unbiased_at_once(batches):
    return batches.mean(axis=(0, 1)), batches.var(axis=1, ddof=1).mean(axis=0)


def with_einsum(batches):
    b, m, _ = batches.shape
    means = np.einsum("bmd->bd", batches) / m
    d = batches - means[:, None, :]
    return np.einsum("bd->d", means) / b, np.einsum("bmd,bmd->d", d, d) / (b * (m - 1))


def all_but_what_lies_between(batches):
    """All examples' variance is that within the batches plus that between them."""
    b, m, d = batches.shape
    x = batches.reshape(b * m, d)
    within = x.var(axis=0) - batches.mean(axis=1).var(axis=0)
    return x.mean(axis=0), within * m / (m - 1)


def in_float32(batches):
    x = batches.astype("float32")
    mean, var = unbiased_at_once(x)
    return mean.astype("float32"), var.astype("float32")


def by_moments(batches):
    each = [Moments.of(x, 0) for x in batches]
    return [np.mean([o.mean for o in each], axis=0), np.mean([o.var_unbiased for o in each], 0)]


def by_a_layer(batches):
    norm = nn.BatchNorm(batches.shape[2], momentum=None, dtype="float64")
    for x in batches:
        norm.forward(x)
    return norm.running_mean, norm.running_var


@pytest.mark.parametrize(
    "answer",
    [
        loops,
        unbiased_at_once,
        with_einsum,
        all_but_what_lies_between,
        in_float32,
        by_moments,
        by_a_layer,
    ],
)
def test_population_takes_any_style(answer):
    for seed in SEEDS:
        report = population.check(answer, seed)
        assert report.outcome == "right", report


def test_population_in_one_pass_is_right_and_fragile():
    def one_pass(batches):
        m, means = batches.shape[1], batches.mean(axis=1)
        variances = (batches**2).mean(axis=1) - means**2
        return means.mean(axis=0), variances.mean(axis=0) * m / (m - 1)

    report = population.check(one_pass)
    assert report.passed and report.outcome == "fragile"


def by_a_layer_with_momentum(batches):
    norm = nn.BatchNorm(batches.shape[2], variance="biased", dtype="float64")
    for x in batches:
        norm.forward(x)
    m = batches.shape[1]
    return norm.running_mean, norm.running_var * m / (m - 1)


def overwritten(batches):
    for x in batches:
        mean, var = x.mean(0), x.var(0, ddof=1)
    return mean, var


def by_precise(batches):
    """What bncourse calls precise statistics pools all examples."""
    norm = nn.BatchNorm(batches.shape[2], dtype="float64")
    nn.precise(nn.Sequential(norm), list(batches))
    return norm.running_mean, norm.running_var


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (lambda b: (b.mean((0, 1)), b.var(1).mean(0)), {"m / (m - 1) is missing"}),
        (
            lambda b: (b.mean((0, 1)), b.std(1, ddof=1).mean(0) ** 2),
            {"standard deviations are averaged, then squared"},
        ),
        (
            lambda b: (b.mean((0, 1)), b.std(1).mean(0) ** 2),
            {"standard deviations are averaged, then squared", "m / (m - 1) is missing"},
        ),
        (by_precise, {"all examples are pooled, with n - 1"}),
        (lambda b: (b.mean((0, 1)), b.var((0, 1))), {"all examples are pooled, with n"}),
        (
            lambda b: (b.mean((0, 1)), len(b) / (len(b) - 1) * b.var(1).mean(0)),
            {"m / (m - 1) counts the batches"},
        ),
        (by_a_layer_with_momentum, {"that is a running value"}),
        (overwritten, {"the last batch stands for all"}),
        (lambda b: [*unbiased_at_once(b)][::-1], {"mean and var are swapped"}),
        (
            lambda b: (b.var(1).mean(0), b.mean((0, 1))),
            {"mean and var are swapped", "m / (m - 1) is missing"},
        ),
        (
            lambda b: (np.median(b.mean(1), 0), unbiased_at_once(b)[1]),
            {"the median stands for the mean over the batches"},
        ),
        (
            lambda b: (b.sum(1).mean(0), unbiased_at_once(b)[1]),
            {"a sum stands for the mean over the examples"},
        ),
        (
            lambda b: (b.mean(0).mean(0), b.shape[1] / (b.shape[1] - 1) * b.var(0).mean(0)),
            {"the variance runs along the batches, axis 0"},
        ),
        (
            lambda b: (b.mean((0, 1)), b.var(0).mean(0)),
            {"the variance runs along the batches, axis 0", "m / (m - 1) is missing"},
        ),
        (
            lambda b: (b.mean((0, 1)), b.var(0, ddof=1).mean(0)),
            {"batches and examples are taken for each other"},
        ),
        (
            lambda b: (b.mean((0, 1)), b.shape[2] / (b.shape[2] - 1) * b.var(1).mean(0)),
            {"m / (m - 1) counts the features"},
        ),
        (
            lambda b: (b.mean((0, 1)), b.var((0, 1)) * b.shape[1] / (b.shape[1] - 1)),
            {"all examples are pooled, with m / (m - 1)"},
        ),
        (
            lambda b: (b.mean((0, 1)), b.std(1).mean(0)),
            {"standard deviations are averaged, and not squared", "m / (m - 1) is missing"},
        ),
        (
            lambda b: (b.mean((0, 1)), b.std(1, ddof=1).mean(0)),
            {"unbiased standard deviations are averaged, and not squared"},
        ),
        (
            lambda b: (b.mean((0, 1)), ((b - b.mean(1, keepdims=True)) ** 2).sum(1).mean(0)),
            {"a sum of squares stands for the variance"},
        ),
    ],
)
def test_population_names_a_formula_gone_wrong(answer, names):
    for seed in SEEDS:
        report = population.check(answer, seed)
        assert report.outcome == "known mistake", report
        assert set(report.mistakes) == names, report


def test_population_reads_off_an_unknown_factor():
    report = population.check(lambda b: (b.mean((0, 1)), 3 * b.var(1).mean(0)))
    assert report.outcome == "unknown mistake"
    assert "var is 3 times the mean of the biased variances" in report.message
    report = population.check(lambda b: (b.mean((0, 1)), np.ptp(b, axis=1).mean(0) ** 2))
    assert report.outcome == "unknown mistake"
    assert "Read off" not in report.message


def entries(w, b, gamma, beta, mean, var, eps):
    new_w, new_b = np.empty_like(w), np.empty_like(b)
    for j in range(w.shape[1]):
        s = (var[j] + eps) ** 0.5
        for i in range(w.shape[0]):
            new_w[i, j] = gamma[j] / s * w[i, j]
        new_b[j] = gamma[j] * (b[j] - mean[j]) / s + beta[j]
    return new_w, new_b


def by_what_it_does(w, b, gamma, beta, mean, var, eps):
    """An affine map is known from what it does to 0 and to the unit vectors."""

    def pair(u):
        return gamma * (u @ w + b - mean) / np.sqrt(var + eps) + beta

    start = pair(np.zeros(len(w)))
    return pair(np.eye(len(w))) - start, start


def with_a_diagonal(w, b, gamma, beta, mean, var, eps):
    d = np.diag(gamma * (var + eps) ** -0.5)
    return w @ d, d @ (b - mean) + beta


def transposed(w, b, gamma, beta, mean, var, eps):
    s = np.sqrt(var + eps)
    return [(gamma[:, None] * w.T / s[:, None]).T, gamma * b / s + (beta - gamma * mean / s)]


def folded_in_float32(*case):
    *arrays, eps = case
    w, b, gamma, beta, mean, var = (a.astype("float32") for a in arrays)
    scale = gamma / np.sqrt(var + np.float32(eps))
    return np.einsum("ij,j->ij", w, scale), (b - mean) * scale + beta


def by_function(w, b, gamma, beta, mean, var, eps):
    return F.fold_dense(w, b, gamma, beta, mean, var, eps)


def by_network(w, b, gamma, beta, mean, var, eps):
    dense = nn.Dense(*w.shape, dtype="float64")
    norm = nn.BatchNorm(len(b), eps=eps, dtype="float64")
    dense.w, dense.b = w, b
    norm.gamma, norm.beta, norm.running_mean, norm.running_var = gamma, beta, mean, var
    folded = nn.fold(nn.Sequential(dense, norm)).layers[0]
    return folded.w, folded.b


@pytest.mark.parametrize(
    "answer",
    [
        entries,
        by_what_it_does,
        with_a_diagonal,
        transposed,
        folded_in_float32,
        by_function,
        by_network,
    ],
)
def test_fold_takes_any_style(answer):
    for seed in SEEDS:
        report = fold.check(answer, seed)
        assert report.outcome == "right", report


def changed(**new):
    """The right formula on arguments that were changed first."""

    def answer(w, b, gamma, beta, mean, var, eps):
        given = dict(w=w, b=b, gamma=gamma, beta=beta, mean=mean, var=var, eps=eps)
        return fold.reference(**given | {name: f(given[name]) for name, f in new.items()})

    return answer


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (changed(eps=lambda eps: 0.0), {"eps is missing"}),
        (changed(eps=np.square), {"eps is squared"}),
        (changed(mean=np.negative), {"the mean has the wrong sign"}),
        (changed(beta=np.zeros_like), {"beta is missing"}),
        (changed(gamma=np.ones_like), {"gamma is missing"}),
        (changed(b=np.zeros_like), {"the old b is forgotten"}),
        (changed(var=np.square), {"var is taken for a standard deviation"}),
        (
            changed(mean=np.zeros_like, eps=lambda eps: 0.0),
            {"the mean is missing", "eps is missing"},
        ),
        (
            lambda w, b, g, beta, mean, var, eps: (
                g[:, None] / np.sqrt(var + eps)[:, None] * w,
                fold.reference(w, b, g, beta, mean, var, eps)[1],
            ),
            {"the scale runs along the wrong axis of w"},
        ),
        (
            lambda w, b, g, beta, mean, var, eps: (
                w * g / np.sqrt(var + eps),
                b - mean * g / np.sqrt(var + eps) + beta,
            ),
            {"the old b is not scaled"},
        ),
        (
            lambda w, b, g, beta, mean, var, eps: (w * g / np.sqrt(var + eps), b),
            {"b is as it was"},
        ),
        (
            lambda w, b, g, beta, mean, var, eps: (w * g / np.sqrt(var + eps), beta),
            {"the old b is forgotten", "the mean is missing"},
        ),
        (
            lambda w, b, g, beta, mean, var, eps: (w * g / np.sqrt(var + eps), b - mean),
            {"neither b nor the mean is scaled", "beta is missing"},
        ),
        (
            lambda w, b, g, beta, mean, var, eps: (
                w * g / np.sqrt(var + eps),
                g * ((b - mean) / np.sqrt(var + eps) + beta),
            ),
            {"beta is multiplied by gamma"},
        ),
        (
            lambda w, b, g, beta, mean, var, eps: (
                g * (w - mean) / np.sqrt(var + eps) + beta,
                g * (b - mean) / np.sqrt(var + eps) + beta,
            ),
            {"w is normalized as if it were an input"},
        ),
        (
            lambda w, b, g, beta, mean, var, eps: (
                w * g / (np.sqrt(var) + eps),
                (b - mean) * g / (np.sqrt(var) + eps),
            ),
            {"eps is added outside the root", "beta is missing"},
        ),
        (
            lambda w, b, g, beta, mean, var, eps: (
                w * g / (np.sqrt(var) + eps),
                (b - mean) * g / (np.sqrt(var) + eps) + beta,
            ),
            {"eps is added outside the root"},
        ),
    ],
)
def test_fold_names_a_formula_gone_wrong(answer, names):
    for seed in SEEDS:
        report = fold.check(answer, seed)
        assert report.outcome == "known mistake", report
        assert set(report.mistakes) == names, report


def test_fold_reads_off_what_multiplies_w():
    def squared(w, b, gamma, beta, mean, var, eps):
        scale = gamma / np.sqrt(var + eps)
        return w * scale**2, (b - mean) * scale + beta

    def by_rows(w, b, gamma, beta, mean, var, eps):
        return w * np.abs(w).max(axis=1, keepdims=True), squared(w, b, gamma, beta, mean, var, eps)[
            1
        ]

    def shifted(w, b, gamma, beta, mean, var, eps):
        new_w, new_b = fold.reference(w, b, gamma, beta, mean, var, eps)
        return new_w + 0.1 * np.abs(w).max(), new_b

    for answer, words in (
        (squared, "each column of w is multiplied by a number of its own"),
        (by_rows, "each row of w is multiplied by a number of its own"),
        (shifted, "w is not multiplied by one number for each column"),
    ):
        report = fold.check(answer)
        assert report.outcome == "unknown mistake"
        assert words in report.message, report
    report = fold.check(lambda *a: (fold.reference(*a)[0], 2 * fold.reference(*a)[1]))
    assert report.outcome == "unknown mistake"
    assert "each column" not in report.message


def test_fold_must_not_rely_on_a_square_w():
    def square_only(w, b, gamma, beta, mean, var, eps):
        scale = np.diag(gamma / np.sqrt(var + eps))
        return np.einsum("ij,jk->ik", w[: len(b)], scale), scale @ (b - mean) + beta

    report = fold.check(square_only)
    assert report.outcome == "wrong form" and "w has shape" in report.message


def test_start_left_in_words():
    assert start_left.check(0.35).passed
    assert start_left.check(0.3487).passed
    assert start_left.check(0.1**10).mistakes == ("nothing is left",)
    of_a_batch = ("that is the weight of a batch seen ten steps ago",)
    assert start_left.check(0.1 * 0.9**10).mistakes == of_a_batch


def test_averaged_batches_in_words():
    assert averaged_batches.check(199).passed
    assert averaged_batches.check((2 - 0.01) / 0.01).passed
    assert averaged_batches.check(200).mistakes == ("that is 2 / momentum",)
    assert averaged_batches.check(100).mistakes == ("that is 1 / momentum",)


def by_weights_that_add_up(running_mean, running_var, momentum, n):
    weights = momentum * (1 - momentum) ** np.arange(n)
    total = weights.sum()
    return running_mean / total, (running_var - 1) / total + 1


def one_batch_at_a_time(running_mean, running_var, momentum, n):
    left = 1.0
    for _ in range(n):
        left -= momentum * left
    mean = np.array([value / (1 - left) for value in running_mean])
    return mean, np.array([(value - left) / (1 - left) for value in running_var])


def solved_as_an_equation(running_mean, running_var, momentum, n):
    """What would have to come in n times for this to come out?"""
    a = 1 - (1 - momentum) ** n
    matrix = np.diag(np.full(len(running_mean), a))
    solve = np.linalg.solve
    return solve(matrix, running_mean), solve(matrix, running_var - (1 - a))


def with_logarithms(running_mean, running_var, momentum, n):
    kept = -np.expm1(n * np.log1p(-momentum))
    return running_mean / kept, 1 - (1 - running_var) / kept


def without_start_in_float32(running_mean, running_var, momentum, n):
    left = np.float32((1 - momentum) ** n)
    mean, var = running_mean.astype("float32"), running_var.astype("float32")
    return mean / (1 - left), (var - left) / (1 - left)


def by_two_layers(running_mean, running_var, momentum, n):
    """A layer that sees zeros has the same share of its start, and nothing else."""
    norm = nn.BatchNorm(1, momentum=momentum, dtype="float64")
    for _ in range(n):
        norm.forward(np.zeros((2, 1)))
    (left,) = norm.running_var
    return [running_mean / (1 - left), (running_var - left) / (1 - left)]


@pytest.mark.parametrize(
    "answer",
    [
        by_weights_that_add_up,
        one_batch_at_a_time,
        solved_as_an_equation,
        with_logarithms,
        without_start_in_float32,
        by_two_layers,
    ],
)
def test_without_start_takes_any_style(answer):
    for seed in SEEDS:
        report = without_start.check(answer, seed)
        assert report.outcome == "right", report


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (
            lambda mean, var, a, n: (mean / (1 - (1 - a) ** n), var / (1 - (1 - a) ** n)),
            {"the variance is taken to start at 0"},
        ),
        (
            lambda mean, var, a, n: (mean / (1 - a**n), (var - a**n) / (1 - a**n)),
            {"the momentum is turned round"},
        ),
        (
            lambda mean, var, a, n: (mean / (1 - a**n), var / (1 - a**n)),
            {"the momentum is turned round", "the variance is taken to start at 0"},
        ),
        (
            lambda mean, var, a, n: (mean, (var - (1 - a) ** n) / (1 - (1 - a) ** n)),
            {"the mean is as it was"},
        ),
        (
            lambda mean, var, a, n: (mean / (1 - (1 - a) ** n), var),
            {"the variance is as it was"},
        ),
        (
            lambda mean, var, a, n: (mean / (n * a), (var - 1 + n * a) / (n * a)),
            {"each batch takes the same share of the start"},
        ),
    ],
)
def test_without_start_names_a_formula_gone_wrong(answer, names):
    for seed in SEEDS:
        report = without_start.check(answer, seed)
        assert report.outcome == "known mistake", report
        assert set(report.mistakes) == names, report


def test_without_start_tells_the_share_of_the_start():
    report = without_start.check(lambda mean, var, a, n: (2 * mean, 3 * var))
    assert report.outcome == "unknown mistake"
    assert "of the start is left" in report.message

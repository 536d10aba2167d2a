"""Right answers in many styles to the exercises of the chapter on the transform."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.exercises import forward, forward_images, identity


def loops(x, gamma, beta, eps):
    y = np.empty_like(x)
    m, features = x.shape
    for k in range(features):
        mean = sum(x[:, k]) / m
        var = sum((v - mean) ** 2 for v in x[:, k]) / m
        for i in range(m):
            y[i, k] = gamma[k] * (x[i, k] - mean) / (var + eps) ** 0.5 + beta[k]
    return y


def with_einsum(x, gamma, beta, eps):
    d = x - np.einsum("ij->j", x) / len(x)
    var = np.einsum("ij,ij->j", d, d) / len(x)
    return np.einsum("j,ij->ij", gamma / np.sqrt(var + eps), d) + beta


def folded(x, gamma, beta, eps):
    scale = gamma / np.sqrt(x.var(axis=0) + eps)
    return x * scale + (beta - x.mean(axis=0) * scale)


def in_float32(x, gamma, beta, eps):
    x = x.astype("float32")
    d = x - x.mean(axis=0)
    return (gamma * d / np.sqrt((d**2).mean(axis=0) + eps) + beta).astype("float32")


def transposed(x, gamma, beta, eps):
    rows = x.T
    mean, var = rows.mean(1, keepdims=True), rows.var(1, keepdims=True)
    return (gamma[:, None] * (rows - mean) * (var + eps) ** -0.5 + beta[:, None]).T


@pytest.mark.parametrize("answer", [loops, with_einsum, folded, in_float32, transposed])
def test_forward_takes_any_style(answer):
    for seed in range(10):
        assert forward.check(answer, seed).passed


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, g, b, eps: F.batch_norm_forward(x, g, b, eps)[0],
        lambda x, g, b, eps: np.moveaxis(
            loops(np.moveaxis(x, 1, -1).reshape(-1, x.shape[1]), g, b, eps).reshape(
                x.shape[0], *x.shape[2:], x.shape[1]
            ),
            -1,
            1,
        ),
        lambda x, g, b, eps: np.stack(
            [
                g[c] * (x[:, c] - x[:, c].mean()) / np.sqrt(x[:, c].var() + eps) + b[c]
                for c in range(x.shape[1])
            ],
            axis=1,
        ),
        lambda x, g, b, eps: F.batch_norm_forward(x.astype("float32"), g, b, eps)[0],
        lambda x, g, b, eps: (
            np.einsum(
                "nchw,c->nchw",
                x - np.einsum("nchw->c", x)[:, None, None] * (x.shape[1] / x.size),
                g / np.sqrt(x.transpose(1, 0, 2, 3).reshape(len(g), -1).var(axis=1) + eps),
            )
            + b.reshape(1, -1, 1, 1)
        ),
    ],
    ids=["bncourse", "reshaped", "channel by channel", "float32", "einsum"],
)
def test_forward_images_takes_any_style(answer):
    for seed in range(10):
        assert forward_images.check(answer, seed).passed


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, eps: ((x.var(0) + eps) ** 0.5, x.mean(0)),
        lambda x, eps: (1 / F.batch_norm_forward(x, eps=eps)[1].inv_std[0], x.sum(0) / len(x)),
        lambda x, eps: (np.array([np.sqrt(c.var() + eps) for c in x.T]), np.average(x, axis=0)),
        lambda x, eps: [np.sqrt(x.var(0) + eps), x.mean(0)],
        lambda x, eps: tuple(a.astype("float32") for a in (np.sqrt(x.var(0) + eps), x.mean(0))),
    ],
    ids=["power", "from the cache", "column by column", "as a list", "float32"],
)
def test_identity_takes_any_style(answer):
    for seed in range(10):
        assert identity.check(answer, seed).passed


LOWER_BOUND, OUTSIDE, SQUARED = (
    "eps is taken for a lower bound",
    "eps is added outside the root",
    "eps is squared",
)


@pytest.mark.parametrize(
    ("s", "name"),
    [
        (lambda x, e: np.sqrt(np.maximum(x.var(0), e)), LOWER_BOUND),
        (lambda x, e: np.maximum(x.std(0), e**0.5), LOWER_BOUND),
        (lambda x, e: x.std(0) + e, OUTSIDE),
        (lambda x, e: np.sqrt(x.var(0) + e**2), SQUARED),
        (lambda x, e: np.hypot(x.std(0), e), SQUARED),
    ],
)
def test_a_misplaced_eps_is_named_wherever_it_is_asked_for(s, name):
    def rows(x):
        return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])

    def images(x, g, b, e):
        mean, root = rows(x).mean(0), s(rows(x), e)
        return (g * (np.moveaxis(x, 1, -1) - mean) / root + b).transpose(0, 3, 1, 2)

    for seed in range(5):
        for report in (
            forward.check(lambda x, g, b, e: g * (x - x.mean(0)) / s(x, e) + b, seed),
            identity.check(lambda x, e: (s(x, e), x.mean(0)), seed),
            forward_images.check(images, seed),
        ):
            assert report.mistakes == (name,)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (
            lambda x, g, b, e: (
                g * (x - x.mean(0)) / np.sqrt(np.sum((x - x.mean(0)) ** 2, axis=0) + e) + b
            ),
            "the sum of the squares stands for their mean",
        ),
        (
            lambda x, g, b, e: g * x - x.mean(0) / np.sqrt(x.var(0) + e) + b,
            "gamma multiplies x alone, and the mean alone is divided",
        ),
        (
            lambda x, g, b, e: g * (x - x.mean(0) / np.sqrt(x.var(0) + e)) + b,
            "the mean alone is divided",
        ),
        (
            lambda x, g, b, e: np.sqrt(g**2 / (x.var(0) + e)) * (x - x.mean(0)) + b,
            "gamma loses its sign",
        ),
    ],
)
def test_forward_names_a_formula_gone_wrong(answer, name):
    for seed in range(5):
        assert forward.check(answer, seed).mistakes == (name,)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (
            lambda x, g, b, e: F.batch_norm_forward(x.reshape(-1, x.shape[1]), g, b, e)[0].reshape(
                x.shape
            ),
            "the last axis is taken for the channels",
        ),
        (
            lambda x, g, b, e: (
                g * (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + e) + b  # channels last
            ),
            "the last axis is taken for the channels",
        ),
        (
            lambda x, g, b, e: F.batch_norm_forward(x, np.ones_like(g), b, e)[0],
            "gamma is missing",
        ),
        (
            lambda x, g, b, e: F.batch_norm_forward(x, g, np.zeros_like(b), e)[0],
            "beta is missing",
        ),
        (
            lambda x, g, b, e: F.batch_norm_forward(x, np.sqrt(g * g), b, e)[0],
            "gamma loses its sign",
        ),
    ],
)
def test_forward_images_names_a_formula_gone_wrong(answer, name):
    for seed in range(5):
        assert forward_images.check(answer, seed).mistakes == (name,)


def test_identity_takes_both_in_one_array_and_names_the_wrong_order():
    def stacked(x, eps):
        return np.stack([np.sqrt(x.var(0) + eps), x.mean(0)])

    assert identity.check(stacked).passed
    report = identity.check(lambda x, eps: stacked(x, eps)[::-1])
    assert report.mistakes == ("gamma and beta are swapped",)
    assert "gamma, beta: gamma and beta are swapped." in report.message


def test_praise_does_not_speak_of_a_name_that_the_question_does_not_have():
    assert " d " not in forward.check(forward.reference).message


def one_pass(x, gamma, beta, eps):
    mean = x.mean(axis=0)
    var = (x * x).mean(axis=0) - mean**2
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@pytest.mark.parametrize("answer", [one_pass, folded])
def test_what_loses_its_digits_far_from_zero_passes_and_is_told(answer):
    for seed in range(20):
        report = forward.check(answer, seed)
        assert report.passed and report.outcome == ("fragile" if answer is one_pass else "right")


def test_images_in_one_pass_are_fragile_too():
    def images(x, gamma, beta, eps):
        rows = np.moveaxis(x, 1, -1)
        y = one_pass(rows.reshape(-1, x.shape[1]), gamma, beta, eps)
        return np.moveaxis(y.reshape(rows.shape), -1, 1)

    for seed in range(20):
        assert forward_images.check(images, seed).outcome == "fragile"


@pytest.mark.parametrize("answer", [loops, with_einsum, in_float32, transposed])
def test_what_centers_first_is_not_fragile(answer):
    for seed in range(20):
        assert forward.check(answer, seed).outcome == "right"

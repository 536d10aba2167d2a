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
    ],
    ids=["bncourse", "reshaped", "channel by channel", "float32"],
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
    ],
    ids=["power", "from the cache", "column by column", "as a list"],
)
def test_identity_takes_any_style(answer):
    for seed in range(10):
        assert identity.check(answer, seed).passed

"""Right answers in many styles to the exercises of the chapter on deep nets."""

import math

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn
from bncourse.exercises.why_depth import (
    fifty_layers,
    layer_sizes,
    leaky_weights,
    norm_threshold,
    thirty_layers,
)
from bncourse.experiments.depth import profile


def by_masks(x, weights, dy):
    masks, up = [], [x]
    for w in weights:
        a = up[-1] @ w
        masks.append(a > 0)
        up.append(a * masks[-1])
    down = [dy]
    for w, mask in zip(reversed(weights), reversed(masks), strict=True):
        down.insert(0, np.where(mask, down[0], 0) @ w.T)
    return [np.sqrt((a * a).mean()) for a in up], [np.sqrt((a * a).mean()) for a in down]


def one_example_at_a_time(x, weights, dy):
    depth = len(weights)
    up, down = np.zeros(depth + 1), np.zeros(depth + 1)
    for h, u in zip(x, dy, strict=True):
        jacobians = []
        up[0] += h @ h
        for k, w in enumerate(weights):
            h = np.maximum(w.T @ h, 0)
            jacobians.append(np.diag((h > 0).astype(float)) @ w.T)
            up[k + 1] += h @ h
        down[depth] += u @ u
        for k in range(depth - 1, -1, -1):
            u = jacobians[k].T @ u
            down[k] += u @ u
    return np.sqrt(up / x.size), np.sqrt(down / dy.size)


def by_functions(x, weights, dy):
    caches, up = [], [np.linalg.norm(x) / math.sqrt(x.size)]
    for w in weights:
        x, dense = F.dense_forward(x, w)
        x, relu = F.relu_forward(x)
        caches.append((dense, relu))
        up.append(np.linalg.norm(x) / math.sqrt(x.size))
    down = [np.linalg.norm(dy) / math.sqrt(dy.size)]
    for dense, relu in caches[::-1]:
        dy = F.dense_backward(F.relu_backward(dy, relu), dense)[0]
        down.append(np.linalg.norm(dy) / math.sqrt(dy.size))
    return np.array(up), np.array(down)[::-1]


def by_einsum(x, weights, dy):
    h = [x]
    for w in weights:
        h.append(np.einsum("mi,ij->mj", h[-1], w).clip(0))
    u = [dy]
    for k in range(len(weights))[::-1]:
        u.append(np.einsum("mj,ij->mi", u[-1] * np.sign(h[k + 1]), weights[k]))
    return tuple(
        np.einsum("lmi,lmi->l", a, a) ** 0.5 / x.size**0.5 for a in map(np.stack, (h, u[::-1]))
    )


def in_float32(x, weights, dy):
    return by_masks(*(a.astype("float32") for a in (x, weights, dy)))


def from_the_package(x, weights, dy):
    made = []
    for w in weights:
        dense = nn.Dense(*w.shape, bias=False, dtype="float64")
        dense.w = w
        made.append([dense, nn.ReLU()])
    found = profile(made, x, dy)
    return found.size, found.gradient


@pytest.mark.parametrize(
    "answer",
    [by_masks, one_example_at_a_time, by_functions, by_einsum, in_float32, from_the_package],
)
def test_layer_sizes_take_any_style(answer):
    for seed in range(20):
        report = layer_sizes.check(answer, seed)
        assert report.outcome == "right", report


def test_a_gradient_alone_is_told_apart():
    def no_mask(x, weights, dy):
        up, _ = by_functions(x, weights, dy)
        down = [dy]
        for w in weights[::-1]:
            down.append(down[-1] @ w.T)
        return up, [np.sqrt((u * u).mean()) for u in down[::-1]]

    for seed in range(20):
        report = layer_sizes.check(no_mask, seed)
        assert report.mistakes == ("the rectifier is forgotten on the way back",)
        assert "Right: up." in report.message


def entry_by_entry(z, slope):
    n_in, n_out = z.shape
    tau = math.sqrt(2 / ((1 + slope * slope) * n_in))
    return [[tau * z[i, j] for j in range(n_out)] for i in range(n_in)]


def from_the_mean_square(z, slope):
    variance = 1 / np.mean([1.0, slope**2]) / z.shape[0]
    return z * variance**0.5


def with_a_gain(z, slope):
    gain = (2 / (1 + slope**2)) ** 0.5
    return gain * len(z) ** -0.5 * z


def by_quadrature(z, slope):
    a, weight = np.polynomial.hermite_e.hermegauss(40)
    passed = weight @ np.where(a > 0, a, slope * a) ** 2 / weight.sum()
    return z / np.sqrt(passed * len(z))


def weights_in_float32(z, slope):
    tau = np.float32(2 / (1 + slope**2) / len(z)) ** np.float32(0.5)
    return tau * z.astype("float32")


def mixed_from_two_halves(z, slope):
    up, down = 0.5, 0.5 * slope**2
    return np.multiply(z, np.reciprocal(np.sqrt(np.full(z.shape, len(z)) * (up + down))))


@pytest.mark.parametrize(
    "answer",
    [
        entry_by_entry,
        from_the_mean_square,
        with_a_gain,
        by_quadrature,
        weights_in_float32,
        mixed_from_two_halves,
    ],
)
def test_leaky_weights_take_any_style(answer):
    for seed in range(20):
        report = leaky_weights.check(answer, seed)
        assert report.outcome == "right", report


def test_leaky_weights_of_another_kind_are_described():
    report = leaky_weights.check(lambda z, slope: 7 * z / np.sqrt(len(z)))
    assert report.outcome == "unknown mistake"
    assert "times z, with n_in = " in report.message
    report = leaky_weights.check(lambda z, slope: np.sign(z))
    assert "w is not z times a number." in report.message


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_leaky_weights_keep_the_mean_square(slope):
    """What the exercise promises, ten layers deep."""
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, (100, 500))
    for _ in range(10):
        h = np.where(a > 0, a, slope * a)
        a = h @ leaky_weights.reference(rng.normal(0, 1, (500, 500)), slope)
    assert 0.5 < np.mean(a**2) < 2


@pytest.mark.parametrize("quantity", [thirty_layers, fifty_layers, norm_threshold])
def test_numbers_are_taken_as_one_writes_them(quantity):
    assert quantity.check(float(f"{quantity.answer:.3g}")).passed
    assert quantity.check(np.float32(quantity.answer)).passed
    assert not quantity.check(1.1 * quantity.answer).passed


def test_the_rounded_factor_of_a_layer_is_good_enough():
    assert fifty_layers.check(1.211**50).passed
    assert fifty_layers.check(14_500).passed
    assert not fifty_layers.check(1.22**50).passed


def test_the_threshold_is_where_a_net_dies():
    def top(gain):
        rng = np.random.default_rng(0)
        h = rng.normal(0, 1, (400, 300))
        for _ in range(150):
            a = h @ rng.normal(0, np.sqrt(gain / h.shape[1]), (300, 300))
            h = np.maximum(F.batch_norm_forward(a)[0], 0)
        return h.std()

    assert top(0.8 * norm_threshold.answer) < 1e-3 < 0.05 < top(2 * norm_threshold.answer)

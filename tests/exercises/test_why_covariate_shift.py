"""Right answers in many styles to the exercises of the chapter on internal covariate shift."""

import copy

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn
from bncourse.exercises.why_covariate_shift import (
    distribution_shift,
    noise_floor,
    probe_inputs,
    shift_by_hand,
    stretched,
)
from bncourse.experiments.covariate_shift import activation_inputs, shift


def loops(before, after):
    d = []
    for j in range(before.shape[1]):
        a, b = sorted(before[:, j]), sorted(after[:, j])
        distance = sum(abs(u - v) for u, v in zip(a, b, strict=True)) / len(a)
        variance = [sum((u - sum(c) / len(c)) ** 2 for u in c) / len(c) for c in (a, b)]
        d.append(distance / (sum(variance) / 2) ** 0.5)
    return d


def area_between_the_distribution_functions(before, after):
    d = np.empty(before.shape[1])
    for j, (a, b) in enumerate(zip(before.T, after.T, strict=True)):
        grid = np.sort(np.concatenate([a, b]))
        share_a, share_b = (np.searchsorted(np.sort(v), grid[:-1], "right") for v in (a, b))
        area = (np.abs(share_a - share_b) * np.diff(grid)).sum() / len(a)
        d[j] = area / np.sqrt((np.var(a) + np.var(b)) / 2)
    return d


def by_quantiles(before, after):
    n = len(before)
    levels = np.arange(n) / (n - 1)
    a, b = (np.quantile(x, levels, axis=0) for x in (before, after))
    return np.einsum("ij->j", np.abs(a - b)) / n / np.sqrt(0.5 * a.var(0) + 0.5 * b.var(0))


def standardized_first(before, after):
    s = np.sqrt((before.var(axis=0) + after.var(axis=0)) / 2)
    return np.abs(np.sort(before / s, axis=0) - np.sort(after / s, axis=0)).mean(axis=0)


def from_the_columns(before, after):
    a, b = np.sort(before.T), np.sort(after.T)
    return np.abs(a - b).mean(1) * np.sqrt(2 / (a.var(1) + b.var(1)))


def in_float32(before, after):
    return distribution_shift.reference(before.astype("float32"), after.astype("float32"))


@pytest.mark.parametrize(
    "answer",
    [
        loops,
        area_between_the_distribution_functions,
        by_quantiles,
        standardized_first,
        from_the_columns,
        in_float32,
        shift,
    ],
)
def test_distribution_shift_takes_any_style(answer):
    for seed in range(20):
        report = distribution_shift.check(answer, seed, mine=False)
        assert report.passed, report


def test_a_constant_factor_is_told():
    report = distribution_shift.check(lambda a, b: 3 * shift(a, b), mine=False)
    assert "Each unit's shift is 3 times the right one." in report.message


def with_a_copy(net, x):
    net = copy.deepcopy(net).train()
    inputs = []
    for layer in net.layers:
        if isinstance(layer, nn.Sigmoid):
            inputs.append(x)
        x, _ = layer.forward(x)
    return inputs


def statistics_put_back(net, x):
    before = [(norm.running_mean, norm.running_var) for norm in (net[1], net[4])]
    first, _ = nn.Sequential(*net.layers[:2]).forward(x)
    second, _ = nn.Sequential(*net.layers[2:5]).forward(first)
    for norm, (mean, var) in zip((net[1], net[4]), before, strict=True):
        norm.running_mean, norm.running_var = mean, var
    return first, second


def by_hand(net, x):
    inputs, layers = [], net.layers
    for dense, norm in ((layers[0], layers[1]), (layers[3], layers[4])):
        a = x @ dense.w
        y = norm.gamma * (a - a.mean(0)) / np.sqrt(a.var(0) + norm.eps) + norm.beta
        inputs.append(y)
        x = 1 / (1 + np.exp(-y))
    return inputs


def without_momentum(net, x):
    net = copy.deepcopy(net)
    for norm in (net[1], net[4]):
        norm.momentum = 0.0
    net.train()
    first, _ = nn.Sequential(*net.layers[:2]).forward(x)
    return [first, nn.Sequential(*net.layers[2:5]).forward(first)[0]]


def in_float32_too(net, x):
    return [np.float32(a) for a in by_hand(net, x)]


def as_one_array(net, x):
    return np.stack(by_hand(net, x))


@pytest.mark.parametrize(
    "answer",
    [
        with_a_copy,
        statistics_put_back,
        by_hand,
        without_momentum,
        in_float32_too,
        as_one_array,
        activation_inputs,
    ],
)
def test_probe_inputs_takes_any_style(answer):
    for seed in range(20):
        report = probe_inputs.check(answer, seed, mine=False)
        assert report.passed, report


def test_probing_in_evaluation_mode_is_named():
    def evaluated(net, x):
        net.eval()
        first, _ = nn.Sequential(*net.layers[:2]).forward(x)
        second, _ = nn.Sequential(*net.layers[2:5]).forward(first)
        net.train()
        return [first, second]

    report = probe_inputs.check(evaluated, mine=False)
    assert report.mistakes == ("the net is in evaluation mode",)


def test_running_statistics_that_move_are_named():
    def in_training(net, x):
        first, _ = nn.Sequential(*net.layers[:2]).forward(x)
        return [first, nn.Sequential(*net.layers[2:5]).forward(first)[0]]

    report = probe_inputs.check(in_training, mine=False)
    assert report.mistakes == ("the running statistics move on",)
    assert "Right: first, second" in report.message


def test_a_noisy_probe_is_refused():
    def noisy(net, x):
        return [a + 0.01 for a in activation_inputs(net, x)]

    assert probe_inputs.check(noisy, mine=False).outcome == "unknown mistake"


def test_too_many_inputs_are_told():
    report = probe_inputs.check(lambda net, x: [*activation_inputs(net, x), x], mine=False)
    assert report.outcome == "raised" and "two sigmoids, but 3 arrays" in report.message


def test_numbers_worked_out_by_hand_are_those_of_the_code():
    before, after = np.array([2.0, 4, 6, 8]), np.array([12.0, 3, 5, 0])
    assert shift_by_hand.check(shift(before, after), mine=False).passed
    x_hat = np.random.default_rng(0).standard_normal(200_000)
    assert stretched.check(shift(x_hat, 1.2 * x_hat), mine=False).passed
    assert noise_floor.check(60 * (0.14 / 0.014) ** 2, mine=False).passed


def test_the_noise_of_a_frozen_batch_falls_as_its_root():
    rng = np.random.default_rng(0)

    def floor(m):
        return np.mean([shift(*rng.normal(0, 1, (2, m, 50))).mean() for _ in range(20)])

    assert floor(60) / floor(6000) == pytest.approx(10, rel=0.1)


def test_normalization_is_that_of_the_package():
    net, x = probe_inputs.inputs(np.random.default_rng(0))[0]
    a = x @ net[0].w
    y, _ = F.batch_norm_forward(a, net[1].gamma, net[1].beta, net[1].eps)
    np.testing.assert_allclose(probe_inputs.reference(net, x)[0], y)

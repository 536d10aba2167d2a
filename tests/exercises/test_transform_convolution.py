"""The exercises on convolution: right answers in many styles, wrong ones as they are written."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn
from bncourse.exercises.transform_convolution import parameter_gradients, values_per_map

SEEDS = range(20)


def loops(dy, x_hat):
    n, c, h, w = dy.shape
    dgamma, dbeta = [0.0] * c, [0.0] * c
    for i in range(n):
        for k in range(c):
            for p in range(h):
                for q in range(w):
                    dgamma[k] += dy[i, k, p, q] * x_hat[i, k, p, q]
                    dbeta[k] += dy[i, k, p, q]
    return dgamma, dbeta


def with_einsum(dy, x_hat):
    return np.einsum("nchw,nchw->c", dy, x_hat), np.einsum("nchw->c", dy)


def as_rows(dy, x_hat):
    """Each position is a sample: the gradients for a table."""
    g, z = (np.moveaxis(a, 1, -1).reshape(-1, a.shape[1]) for a in (dy, x_hat))
    return (g * z).sum(axis=0), g.sum(axis=0)


def channel_by_channel(dy, x_hat):
    pairs = [(dy[:, k].ravel(), x_hat[:, k].ravel()) for k in range(dy.shape[1])]
    return np.array([[g @ z for g, z in pairs], [g.sum() for g, _ in pairs]])


def means_times_count(dy, x_hat):
    count = dy.size / dy.shape[1]
    axes = (0, 2, 3)
    return [count * (dy * x_hat).mean(axis=axes), count * dy.mean(axis=axes)]


def in_float32(dy, x_hat):
    dy, x_hat = dy.astype("float32"), x_hat.astype("float32")
    return (dy * x_hat).sum((0, 2, 3)), dy.sum((0, 2, 3))


def by_function(dy, x_hat):
    c = dy.shape[1]
    zeros, ones = np.zeros(c), np.ones(c)
    _, cache = F.batch_norm_inference_forward(x_hat, ones, zeros, zeros, ones - 1e-5, 1e-5)
    _, dgamma, dbeta, *_ = F.batch_norm_inference_backward(dy, cache)
    return dgamma, dbeta


def by_a_layer(dy, x_hat):
    norm = nn.BatchNorm(dy.shape[1], dtype="float64").eval()
    norm.running_var = norm.running_var - norm.eps
    _, cache = norm.forward(x_hat)
    norm.backward(dy, cache)
    return norm.grads["gamma"], norm.grads["beta"]


@pytest.mark.parametrize(
    "answer",
    [
        loops,
        with_einsum,
        as_rows,
        channel_by_channel,
        means_times_count,
        in_float32,
        by_function,
        by_a_layer,
    ],
)
def test_parameter_gradients_take_any_style(answer):
    for seed in SEEDS:
        report = parameter_gradients.check(answer, seed)
        assert report.outcome == "right", report


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (
            lambda dy, z: ((dy * z).sum((0, 1, 2)), dy.sum((0, 1, 2))),
            {"the last axis is taken for the channels"},
        ),
        (  # rows of mixed channels, except with channels last
            lambda dy, z: ((dy * z).reshape(-1, dy.shape[1]).sum(0), dy.sum((0, 2, 3))),
            {"the last axis is taken for the channels"},
        ),
        (
            lambda dy, z: ((dy * z).sum(0).mean((1, 2)), dy.sum(0).mean((1, 2))),
            {"the positions are averaged"},
        ),
        (
            lambda dy, z: ((dy * z).sum((2, 3)).mean(0), dy.sum((2, 3)).mean(0)),
            {"the batch is averaged"},
        ),
        (
            lambda dy, z: ((dy * z).mean((0, 2, 3)), dy.mean((0, 2, 3))),
            {"a mean is returned where a sum is needed"},
        ),
        (
            lambda dy, z: ((dy * z).sum((0, 2, 3)), dy.mean((0, 2, 3))),
            {"a mean is returned where a sum is needed"},
        ),
        (lambda dy, z: with_einsum(dy, z)[::-1], {"dgamma and dbeta are swapped"}),
        (
            lambda dy, z: (dy.sum((0, 2, 3)) * z.sum((0, 2, 3)), dy.sum((0, 2, 3))),
            {"sums are multiplied, where products are summed up"},
        ),
        (
            lambda dy, z: (dy.mean((0, 2, 3)) * z.mean((0, 2, 3)), dy.mean((0, 2, 3))),
            {
                "sums are multiplied, where products are summed up",
                "a mean is returned where a sum is needed",
            },
        ),
        (
            lambda dy, z: (dy.mean((0, 2, 3)), (dy * z).mean((0, 2, 3))),
            {"dgamma and dbeta are swapped", "a mean is returned where a sum is needed"},
        ),
        (lambda dy, z: with_einsum(-dy, z), {"the sign is turned round"}),
        (lambda dy, z: with_einsum(dy[:1], z[:1]), {"only the first image counts"}),
    ],
)
def test_parameter_gradients_name_a_formula_gone_wrong(answer, names):
    for seed in SEEDS:
        report = parameter_gradients.check(answer, seed)
        assert report.outcome == "known mistake", report
        assert set(report.mistakes) == names, report


def test_a_gradient_for_each_position_has_too_many_entries():
    report = parameter_gradients.check(lambda dy, z: ((dy * z).sum(0), dy.sum(0)))
    assert report.outcome == "wrong form"
    assert "dgamma has shape (2, 1, 2); (2,) is needed" in report.message


def test_an_unknown_factor_is_read_off():
    report = parameter_gradients.check(lambda dy, z: with_einsum(3 * dy, z))
    assert report.outcome == "unknown mistake"
    assert "dgamma is 3 times the right one in every channel" in report.message
    report = parameter_gradients.check(lambda dy, z: with_einsum(dy + 1, z))
    assert report.outcome == "unknown mistake"
    assert "Read off" not in report.message


def test_maps_need_not_be_as_wide_as_there_are_channels():
    def square_only(dy, x_hat):
        return with_einsum(dy, x_hat[..., : dy.shape[1]])

    assert parameter_gradients.check(square_only).outcome == "raised"


@pytest.mark.parametrize("value", [25088, 25088.0, np.int64(25088), 32 * 28**2])
def test_values_per_map_as_one_writes_them(value):
    assert values_per_map.check(value).passed


def test_a_count_is_exact():
    assert values_per_map.check(25088).passed
    assert not values_per_map.check(25000).passed

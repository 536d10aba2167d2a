"""The exercises on convolution: right answers in many styles, wrong ones as they are written."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn
from bncourse.exercises.transform_convolution import (
    effective_values,
    fold_before,
    kernel_gradient,
    parameter_gradients,
    values_per_map,
)

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


def test_the_count_of_independent_values_is_that_of_the_covariances():
    within = 0.2 + 0.8 * np.eye(16)  # of one image
    batch = np.kron(np.eye(32), within)
    weights = np.full(512, 1 / 512)
    np.testing.assert_allclose(1 / (weights @ batch @ weights), effective_values.answer)


def kernel_by_loops(x, dy):
    (_, c, height, _), (n, o, p, q) = x.shape, dy.shape
    k = height - p + 1
    dw = np.zeros((o, c, k, k))
    for image in range(n):
        for row in range(p):
            for column in range(q):
                window = x[image, :, row : row + k, column : column + k]
                for out in range(o):
                    dw[out] += dy[image, out, row, column] * window
    return dw


def kernel_by_shifts(x, dy):
    p, q = dy.shape[2:]
    k = x.shape[2] - p + 1
    dw = np.empty((dy.shape[1], x.shape[1], k, k))
    for i in range(k):
        for j in range(k):
            dw[:, :, i, j] = np.einsum("nopq,ncpq->oc", dy, x[:, :, i : i + p, j : j + q])
    return dw


def kernel_by_einsum(x, dy):
    k = x.shape[2] - dy.shape[2] + 1
    views = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))
    return np.einsum("ncpqij,nopq->ocij", views, dy)


def kernel_by_sliding_dy(x, dy):
    """dy for weights, images for channels."""
    dw, _ = F.conv_forward(np.moveaxis(x, 0, 1), np.moveaxis(dy, 0, 1))
    return np.moveaxis(dw, 0, 1)


def kernel_by_the_package(x, dy):
    k = x.shape[2] - dy.shape[2] + 1
    w = np.zeros((dy.shape[1], x.shape[1], k, k), x.dtype)
    return F.conv_backward(dy, F.conv_forward(x, w)[1])[1]


def kernel_in_float32(x, dy):
    return kernel_by_einsum(x.astype("float32"), dy.astype("float32"))


def kernel_with_tensordot(x, dy):
    k = x.shape[2] - dy.shape[2] + 1
    views = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))
    return np.tensordot(dy, views, axes=((0, 2, 3), (0, 2, 3)))


@pytest.mark.parametrize(
    "answer",
    [
        kernel_by_loops,
        kernel_by_shifts,
        kernel_by_einsum,
        kernel_by_sliding_dy,
        kernel_by_the_package,
        kernel_in_float32,
        kernel_with_tensordot,
    ],
)
def test_the_gradient_of_a_kernel_takes_any_style(answer):
    for seed in SEEDS:
        report = kernel_gradient.check(answer, seed)
        assert report.outcome == "right", report


def test_an_assignment_in_the_loop_keeps_the_last_window():
    def assigned(x, dy):
        p, q = dy.shape[2:]
        k = x.shape[2] - p + 1
        for image, image_dy in zip(x, dy, strict=True):
            for row in range(p):
                for column in range(q):
                    window = image[:, row : row + k, column : column + k]
                    dw = image_dy[:, row, column][:, None, None, None] * window
        return dw

    for seed in SEEDS:
        report = kernel_gradient.check(assigned, seed)
        assert report.mistakes == ("the last window stands for all",), report


def test_a_factor_of_the_kernels_gradient_is_read_off():
    report = kernel_gradient.check(lambda x, dy: 3 * kernel_by_einsum(x, dy))
    assert report.outcome == "unknown mistake"
    assert "dw is 3 times the right one" in report.message
    report = kernel_gradient.check(lambda x, dy: kernel_by_einsum(x, dy + 1))
    assert report.outcome == "unknown mistake"
    assert "Read off" not in report.message


def fold_by_loops(w, b, gamma, beta, mean, var, eps):
    new_w, new_b, pad = np.zeros(w.shape), [], []
    for o in range(w.shape[0]):
        total = b[o]
        for c in range(w.shape[1]):
            s = (var[c] + eps) ** 0.5
            new_w[o, c] = w[o, c] * gamma[c] / s
            total += w[o, c].sum() * (beta[c] - gamma[c] * mean[c] / s)
        new_b.append(total)
    for c in range(w.shape[1]):
        pad.append(mean[c] - beta[c] * (var[c] + eps) ** 0.5 / gamma[c])
    return new_w, new_b, pad


def fold_by_einsum(w, b, gamma, beta, mean, var, eps):
    scale = gamma * (var + eps) ** -0.5
    shift = beta - scale * mean
    return (
        np.einsum("ocij,c->ocij", w, scale),
        b + np.einsum("ocij,c->o", w, shift),
        mean - beta / scale,
    )


def fold_in_float32(*arguments):
    *arrays, eps = arguments
    return fold_by_einsum(*(a.astype("float32") for a in arrays), np.float32(eps))


def fold_by_matrices(w, b, gamma, beta, mean, var, eps):
    scale = gamma / np.sqrt(var + eps)
    rows = np.repeat(scale, w[0, 0].size)
    flat = w.reshape(len(w), -1)
    new = (flat * rows).reshape(w.shape)
    # What a window full of the mean gives: beta in each place of it.
    window = np.repeat(beta, w[0, 0].size)
    at_mean = b + flat @ window
    return (
        new,
        at_mean - new.reshape(len(w), -1) @ np.repeat(mean, w[0, 0].size),
        mean - beta / scale,
    )


def fold_by_trying(w, b, gamma, beta, mean, var, eps):
    """Send zeros and unit vectors through both layers, and read off what comes out."""

    def both(window):
        y, _ = F.batch_norm_inference_forward(window, gamma, beta, mean, var, eps)
        return F.conv_forward(y, w, b)[0][0, :, 0, 0]

    zero = np.zeros((1, *w.shape[1:]))
    new_b, new_w = both(zero), np.empty(w.shape)
    for place in np.ndindex(w.shape[1:]):
        unit = zero.copy()
        unit[(0, *place)] = 1
        new_w[(slice(None), *place)] = both(unit) - new_b
    return new_w, new_b, mean - beta * np.sqrt(var + eps) / gamma


@pytest.mark.parametrize(
    "answer",
    [fold_by_loops, fold_by_einsum, fold_in_float32, fold_by_matrices, fold_by_trying],
)
def test_fold_before_takes_any_style(answer):
    for seed in SEEDS:
        report = fold_before.check(answer, seed)
        assert report.outcome == "right", report


def test_a_framed_convolution_does_the_work_of_both():
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(2, 1, (2, 3, 5, 5)), rng.normal(0, 1, (4, 3, 3, 3)), rng.normal(0, 1, 4)
    of_norm = rng.normal(1, 1, 3), rng.normal(0, 1, 3), rng.normal(2, 1, 3), rng.uniform(1, 2, 3)
    normal, _ = F.batch_norm_inference_forward(x, *of_norm, 1e-5)
    wanted, _ = F.conv_forward(normal, w, b, padding=1)
    new_w, new_b, pad = fold_before.reference(w, b, *of_norm, 1e-5)
    framed = np.broadcast_to(pad[:, None, None], (2, 3, 7, 7)).copy()
    framed[:, :, 1:-1, 1:-1] = x
    np.testing.assert_allclose(F.conv_forward(framed, new_w, new_b)[0], wanted, rtol=1e-9)


def test_folding_ahead_as_one_folds_behind_is_named():
    def behind(w, b, gamma, beta, mean, var, eps):
        scale = gamma / np.sqrt(var + eps)
        return w * scale[:, None, None, None], (b - mean) * scale + beta, np.zeros_like(mean)

    report = fold_before.check(behind)
    assert not report.passed


@pytest.mark.parametrize(
    ("b_and_pad", "name"),
    [
        (
            lambda b, new_b, gamma_s, beta, mean: ((b - mean) * gamma_s + beta, None),
            "b is that of a batch norm after the convolution",
        ),
        (
            lambda b, new_b, gamma_s, beta, mean: (new_b, mean - beta),
            "beta is not divided by the scale in pad",
        ),
        (
            lambda b, new_b, gamma_s, beta, mean: (new_b, mean + beta / gamma_s),
            "beta has the wrong sign in pad",
        ),
    ],
)
def test_folding_ahead_names_one_slip_in_b_or_in_pad(b_and_pad, name):
    def answer(w, b, gamma, beta, mean, var, eps):
        scale = gamma / np.sqrt(var + eps)
        if len(b) != len(scale):  # hostile inputs: more maps out than in
            return w * scale[:, None, None], np.zeros_like(b), mean
        new_b = b + np.einsum("ocij,c->o", w, beta - mean * scale)
        new_b, pad = b_and_pad(b, new_b, scale, beta, mean)
        return w * scale[:, None, None], new_b, mean - beta / scale if pad is None else pad

    for seed in SEEDS:
        assert fold_before.check(answer, seed).mistakes == (name,)

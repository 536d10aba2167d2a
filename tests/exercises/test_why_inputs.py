"""Right answers in many styles to the exercises of the chapter on inputs, and wrong ones."""

import math

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from bncourse import functional as F
from bncourse.exercises.why_inputs import (
    best_rate,
    conditioning,
    excess_loss,
    rate_for_bytes,
    standardized,
)
from bncourse.moments import Moments

SEEDS = range(20)


def mode_by_mode(curvatures, start, lr, steps):
    total = 0.0
    for curvature, c in zip(curvatures, start, strict=True):
        for _ in range(steps):
            c -= lr * curvature * c
        total += curvature * c * c / 2
    return total


def by_descent(curvatures, start, lr, steps):
    hessian, w = np.diag(curvatures), start.copy()
    for _ in range(steps):
        w = w - lr * hessian @ w
    return 0.5 * w @ hessian @ w


def by_matrix_power(curvatures, start, lr, steps):
    step = np.linalg.matrix_power(np.eye(len(start)) - lr * np.diag(curvatures), steps)
    return np.einsum("i,ij,j,jk,k->", start, step, curvatures, step, start) / 2


def by_logarithms(curvatures, start, lr, steps):
    shrinking = 2 * steps * np.log(np.abs(1 - lr * curvatures))
    return np.exp(shrinking + np.log(curvatures) + 2 * np.log(np.abs(start))).sum() / 2


def in_float32(curvatures, start, lr, steps):
    curvatures, start = curvatures.astype("float32"), start.astype("float32")
    c = (1 - np.float32(lr) * curvatures) ** steps * start
    return np.float32(0.5) * (curvatures * c * c).sum()


def turned(curvatures, start, lr, steps):
    """In coordinates that are not the modes, as in a real model."""
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(len(start),) * 2))
    hessian, w = turn @ np.diag(curvatures) @ turn.T, turn @ start
    for _ in range(steps):
        w = w - lr * (hessian @ w)
    return w @ hessian @ w / 2


@pytest.mark.parametrize(
    "answer", [mode_by_mode, by_descent, by_matrix_power, by_logarithms, in_float32, turned]
)
def test_excess_loss_takes_any_style(answer):
    for seed in SEEDS:
        report = excess_loss.check(answer, seed)
        assert report.outcome == "right", report


def from_singular_values(x):
    x = x[:, np.ptp(x, axis=0) > 0]
    singular = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    return (singular[0] / singular[-1]) ** 2


def by_cond(x):
    return np.linalg.cond(np.cov(x[:, x.var(axis=0) != 0], rowvar=False))


def with_loops(x):
    kept = [k for k in range(x.shape[1]) if len(set(x[:, k])) > 1]
    means = [sum(x[:, k]) / len(x) for k in kept]
    c = [
        [sum((x[:, k] - a) * (x[:, j] - b)) / len(x) for j, b in zip(kept, means, strict=True)]
        for k, a in zip(kept, means, strict=True)
    ]
    values = sorted(np.linalg.eigvals(np.array(c)).real)
    return float(values[-1] / values[0])


def by_second_moments(x):
    x = x[:, (x != x[0]).any(axis=0)]
    mean = x.mean(axis=0)
    values = np.linalg.eigvalsh(x.T @ x / len(x) - np.outer(mean, mean))
    return values.max() / values.min()


def table_in_float32(x):
    x = x.astype("float32")
    x = x[:, x.std(axis=0) > 0]
    d = x - x.mean(axis=0)
    values = np.linalg.eigvalsh(np.einsum("ni,nj->ij", d, d))
    return values[-1] / values[0]


def dividing_by_n_minus_1(x):
    x = x[:, x.std(axis=0) > 0]
    d = x - x.mean(axis=0)
    values = np.linalg.eigvalsh(d.T @ d / (len(d) - 1))
    return values[-1] / values[0]


@pytest.mark.parametrize(
    "answer",
    [
        from_singular_values,
        by_cond,
        with_loops,
        by_second_moments,
        table_in_float32,
        dividing_by_n_minus_1,
    ],
)
def test_conditioning_takes_any_style(answer):
    for seed in SEEDS:
        report = conditioning.check(answer, seed)
        assert report.outcome == "right", report


def test_a_condition_number_that_is_rounding_is_said_to_be_so():
    """What comes out where constant columns are kept need not be infinite."""

    def kept(x):
        return np.float64(3.7e16)

    report = conditioning.check(kept)
    assert report.outcome == "unknown mistake"
    assert "Is a constant column still there?" in report.message


def test_cond_of_the_table_is_named():
    def of_the_table(x):
        x = x[:, x.std(axis=0) > 0]
        return np.linalg.cond(x - x.mean(axis=0))

    for seed in SEEDS:
        report = conditioning.check(of_the_table, seed)
        assert report.mistakes == (
            "that is the condition number of the table, not of its second moment",
        )


def pixel_by_pixel(x_train, x_test):
    z_train, z_test = np.empty(x_train.shape), np.empty(x_test.shape)
    for k in range(x_train.shape[1]):
        mean = sum(x_train[:, k]) / len(x_train)
        std = math.sqrt(sum((v - mean) ** 2 for v in x_train[:, k]) / len(x_train)) or 1.0
        z_train[:, k] = (x_train[:, k] - mean) / std
        z_test[:, k] = (x_test[:, k] - mean) / std
    return z_train, z_test


def with_scikit_learn(x_train, x_test):
    scaler = StandardScaler().fit(x_train)
    return scaler.transform(x_train), scaler.transform(x_test)


def with_the_moments_of_the_package(x_train, x_test):
    moments = Moments.of(x_train)
    std = np.sqrt(moments.m2 / len(x_train))
    std[std == 0] = 1
    return tuple((x - moments.mean) / std for x in (x_train, x_test))


def as_batch_norm_at_inference(x_train, x_test):
    mean, var = x_train.mean(axis=0), x_train.var(axis=0)
    var[var == 0] = 1
    one, zero = np.ones(len(var)), np.zeros(len(var))
    return tuple(F.batch_norm_inference(x, one, zero, mean, var, 1e-300) for x in (x_train, x_test))


def sets_in_float32(x_train, x_test):
    x_train, x_test = x_train.astype("float32"), x_test.astype("float32")
    mean, std = x_train.mean(axis=0), x_train.std(axis=0)
    std[std == 0] = 1
    return (x_train - mean) / std, (x_test - mean) / std


def folded_into_one_product(x_train, x_test):
    mean, std = x_train.mean(axis=0), x_train.std(axis=0)
    w = np.diag(1 / np.where(std == 0, 1, std))
    return x_train @ w - mean @ w, x_test @ w - mean @ w


@pytest.mark.parametrize(
    "answer",
    [
        pixel_by_pixel,
        with_scikit_learn,
        with_the_moments_of_the_package,
        as_batch_norm_at_inference,
        sets_in_float32,
        folded_into_one_product,
    ],
)
def test_standardized_takes_any_style(answer):
    for seed in SEEDS:
        report = standardized.check(answer, seed)
        assert report.outcome == "right", report


def test_a_scaler_fitted_twice_is_named():
    def twice(x_train, x_test):
        scaler = StandardScaler()
        return scaler.fit_transform(x_train), scaler.fit_transform(x_test)

    for seed in SEEDS:
        report = standardized.check(twice, seed)
        assert report.mistakes == ("each set is standardized with its own statistics",)


@pytest.mark.parametrize("quantity", [best_rate, rate_for_bytes])
def test_numbers_are_taken_as_one_writes_them(quantity):
    assert quantity.check(np.float32(quantity.answer)).passed
    assert quantity.check(float(f"{quantity.answer:.3g}")).passed
    assert not quantity.check(1.3 * quantity.answer).passed

"""Right answers in many styles to the exercises of the chapter on whitening, and wrong ones."""

import numpy as np
import pytest

from bncourse.exercises import why_whitening as chapter
from bncourse.experiments import whitening_matrices as matrices

zca, inverse_root = chapter.zca, chapter.inverse_root


def by_eigenvectors(x, eps):
    d = x - x.mean(axis=0)
    values, u = np.linalg.eigh(np.cov(x, rowvar=False, ddof=0) + eps * np.eye(x.shape[1]))
    return d @ u @ np.diag(values**-0.5) @ u.T


def by_singular_values(x, eps):
    d = x - x.mean(axis=0)
    u, s, vt = np.linalg.svd(d, full_matrices=False)
    return (u * (s / np.sqrt(s**2 / len(d) + eps))) @ vt


def by_einsum(x, eps):
    d = x - np.einsum("ij->j", x) / len(x)
    values, u = np.linalg.eigh(np.einsum("ij,ik->jk", d, d) / len(x))
    return np.einsum("ij,jk,k,lk->il", d, u, 1 / np.sqrt(values + eps), u)


def by_examples(x, eps):
    m, features = x.shape
    mean = sum(x) / m
    sigma = sum(np.outer(row - mean, row - mean) for row in x) / m
    values, u = np.linalg.eigh(sigma)
    axes = [(u[:, k], (values[k] + eps) ** 0.5) for k in range(features)]
    return np.array([sum(a * ((row - mean) @ a) / s for a, s in axes) for row in x])


def in_float32(x, eps):
    x = x.astype("float32")
    d = x - x.mean(axis=0)
    values, u = np.linalg.eigh(d.T @ d / np.float32(len(d)))
    return (d @ (u / np.sqrt(np.maximum(values, 0) + np.float32(eps))) @ u.T).astype("float32")


def by_the_package(x, eps):
    d = x - x.mean(axis=0)
    return d @ matrices.zca_matrix(d.T @ d / len(d), eps)


def by_iteration(x, eps):
    d = x - x.mean(axis=0)
    sigma = d.T @ d / len(d) + eps * np.eye(x.shape[1])
    return d @ matrices.coupled_newton_schulz(sigma, 60)


ZCA = [
    by_eigenvectors,
    by_singular_values,
    by_einsum,
    by_examples,
    in_float32,
    by_the_package,
    by_iteration,
]


@pytest.mark.parametrize("answer", ZCA)
def test_zca_takes_any_style(answer):
    for seed in range(20):
        report = zca.check(answer, seed)
        assert report.passed, report


@pytest.mark.parametrize("answer", [by_eigenvectors, by_einsum, by_the_package])
def test_what_centers_first_is_not_fragile(answer):
    for seed in range(20):
        assert zca.check(answer, seed).outcome == "right"


def test_a_covariance_in_one_pass_is_fragile():
    def one_pass(x, eps):
        mean = x.mean(axis=0)
        values, u = np.linalg.eigh(x.T @ x / len(x) - np.outer(mean, mean))
        return (x - mean) @ (u / np.sqrt(np.maximum(values, 0) + eps)) @ u.T

    for seed in range(20):
        assert zca.check(one_pass, seed).outcome == "fragile"


def deviations(x):
    return x - x.mean(axis=0)


def with_root(x, root):
    d = deviations(x)
    values, u = np.linalg.eigh(d.T @ d / len(d))
    return d @ u @ np.diag(root(values)) @ u.T


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (
            lambda x, e: with_root(x, lambda v: 1 / (v + e)),
            "the root is missing",
        ),
        (
            lambda x, e: (
                deviations(x) @ np.linalg.inv(np.cov(x.T, ddof=0) + e * np.eye(x.shape[1]))
            ),
            "the root is missing",
        ),
        (lambda x, e: with_root(x, lambda v: np.sqrt(v + e)), "it is multiplied by the root"),
        (
            lambda x, e: with_root(x, lambda v: 1 / (np.sqrt(v) + e)),
            "eps is added outside the root",
        ),
        (lambda x, e: deviations(x) / np.sqrt(x.var(0) + e), "each feature is treated by itself"),
        (
            lambda x, e: deviations(x) @ matrices.zca_matrix(np.cov(x.T), e),
            "the covariance is divided by m - 1",
        ),
        (
            lambda x, e: x @ matrices.zca_matrix(np.cov(x.T, ddof=0), e),
            "the mean is not subtracted",
        ),
        (
            lambda x, e: by_the_package(x, e) + x.mean(axis=0),
            "the mean is added back",
        ),
    ],
)
def test_zca_names_a_formula_gone_wrong(answer, name):
    for seed in range(10):
        assert zca.check(answer, seed).mistakes == (name,)


def test_any_other_rotation_is_told():
    def turned(x, eps):
        z = by_eigenvectors(x, eps)
        return z @ np.linalg.qr(np.random.default_rng(1).normal(size=2 * z.shape[1:]))[0]

    for wrong in (
        turned,
        lambda x, e: deviations(x) @ matrices.pca_matrix(np.cov(x.T, ddof=0), e).T,
    ):
        report = zca.check(wrong)
        assert not report.passed
        assert "in other axes" in report.message


def entry_by_entry(sigma, steps):
    n = len(sigma)

    def times(a, b):
        return [[sum(a[i][k] * b[k][j] for k in range(n)) for j in range(n)] for i in range(n)]

    trace = sum(sigma[i][i] for i in range(n))
    s = [[value / trace for value in row] for row in sigma]
    p = [[float(i == j) for j in range(n)] for i in range(n)]
    for _ in range(steps):
        q = times(times(times(p, p), p), s)
        p = [
            [1.5 * a - 0.5 * b for a, b in zip(x, y, strict=True)]
            for x, y in zip(p, q, strict=True)
        ]
    return np.array(p) / trace**0.5


def in_the_axes_of_the_eigenvectors(sigma, steps):
    values, u = np.linalg.eigh(sigma)
    p = np.ones(len(sigma))
    for _ in range(steps):
        p = 1.5 * p - 0.5 * p**3 * values / values.sum()
    return u @ np.diag(p / np.sqrt(values.sum())) @ u.T


def with_a_power(sigma, steps):
    p = np.identity(len(sigma))
    for _ in range(steps):
        p = 0.5 * (3 * p - np.linalg.matrix_power(p, 3) @ (sigma / np.trace(sigma)))
    return p * np.trace(sigma) ** -0.5


def by_einsum_too(sigma, steps):
    trace = np.einsum("ii", sigma)
    p = np.eye(len(sigma))
    for _ in range(steps):
        p = 1.5 * p - np.einsum("ij,jk,kl,lm->im", p, p, p, sigma) / (2 * trace)
    return p / np.sqrt(trace)


def steps_in_float32(sigma, steps):
    sigma = sigma.astype("float32")
    return matrices.newton_schulz(sigma, steps).astype("float32")


@pytest.mark.parametrize(
    "answer",
    [
        entry_by_entry,
        in_the_axes_of_the_eigenvectors,
        with_a_power,
        by_einsum_too,
        steps_in_float32,
        matrices.newton_schulz,
        matrices.coupled_newton_schulz,
    ],
)
def test_inverse_root_takes_any_style(answer):
    for seed in range(20):
        report = inverse_root.check(answer, seed)
        assert report.passed, report


def written(sigma, steps, step, end=lambda trace: trace**0.5, size=np.trace):
    p, s = np.eye(len(sigma)), sigma / size(sigma)
    for _ in range(steps):
        p = step(p, s)
    return p / end(np.trace(sigma))


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (lambda p, s: (3 * p - p**3 @ s) / 2, "P is cubed entry by entry"),
        (lambda p, s: 3 * p - p @ p @ p @ s, "the half is missing"),
        (lambda p, s: (3 * p - p @ p @ s) / 2, "P is squared, not cubed"),
        (lambda p, s: (3 * p - p @ p @ p * s) / 2, "S multiplies entry by entry"),
        (lambda p, s: (3 * p - np.linalg.matrix_power(p, 3)) / 2, "S is missing"),
    ],
)
def test_inverse_root_names_a_step_gone_wrong(step, name):
    for seed in range(10):
        report = inverse_root.check(lambda sigma, steps: written(sigma, steps, step), seed)
        assert report.mistakes == (name,)


def test_inverse_root_says_what_it_sees():
    def doubled(sigma, steps):
        return 2 * matrices.newton_schulz(sigma, steps)

    def touched(sigma, steps):
        return matrices.newton_schulz(sigma, steps) * (1 + 0.1 * np.triu(np.ones_like(sigma)))

    assert "w is 2 times what is wanted" in inverse_root.check(doubled).message
    assert "eigenvectors of sigma" in inverse_root.check(touched).message


def test_numbers_are_what_the_cells_of_the_chapter_give():
    b, t = 10.0, np.array([0.0, 4.0, 2.0])
    u = np.array([4.0, 5.0, 6.0])
    for _ in range(100):
        x_hat = u + b - (u + b).mean()
        b -= 0.1 * (x_hat - t).mean()
    assert chapter.marching_bias.check(b).passed

    x = np.random.default_rng(0).normal(size=(32, 64))
    zeros = 64 - np.linalg.matrix_rank(x - x.mean(axis=0))
    assert chapter.flat_directions.check(zeros).passed

    sigma = np.diag([0.001, 0.999])
    w = matrices.newton_schulz(sigma, 5)
    assert chapter.partly_whitened.check((w @ sigma @ w.T)[0, 0]).passed


@pytest.mark.parametrize(
    "quantity", [chapter.marching_bias, chapter.flat_directions, chapter.partly_whitened]
)
def test_numbers_are_taken_as_one_writes_them(quantity):
    assert quantity.check(float(f"{quantity.answer:.3g}")).passed
    assert quantity.check(np.float32(quantity.answer)).passed

"""Right answers in many styles to the exercises of the chapter on geometry."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.exercises import double_backward, jacobian
from bncourse.gradcheck import central_difference, complex_step


def batch_norm(x, gamma, eps):
    d = x - x.mean(axis=0)
    return gamma * d / np.sqrt((d * d).mean(axis=0) + eps)


def by_loops(x, gamma, eps):
    m = len(x)
    mean = sum(x) / m
    s = (sum((v - mean) ** 2 for v in x) / m + eps) ** 0.5
    z = [(v - mean) / s for v in x]
    return np.array(
        [[gamma / s * ((i == j) - 1 / m - z[i] * z[j] / m) for j in range(m)] for i in range(m)]
    )


def by_einsum(x, gamma, eps):
    d = x - np.mean(x)
    var = np.einsum("i,i", d, d) / len(d)
    table = np.eye(len(x)) - 1 / len(x) - np.einsum("i,j->ij", d, d) / len(x) / (var + eps)
    return gamma * table * (var + eps) ** -0.5


def jacobian_in_float32(x, gamma, eps):
    return by_loops(x.astype("float32"), np.float32(gamma), np.float32(eps)).astype("float32")


def row_by_row_with_bncourse(x, gamma, eps):
    table, e = np.tile(x[:, None], len(x)), np.eye(len(x))
    _, cache = F.batch_norm_forward(table, np.full(len(x), gamma), eps=eps)
    return F.batch_norm_backward(e, cache)[0].T


def by_the_complex_step(x, gamma, eps):
    rows = np.eye(len(x))
    return np.stack([complex_step(lambda v: batch_norm(v, gamma, eps), x, row) for row in rows])


def centered_twice(x, gamma, eps):
    m = len(x)
    center = np.eye(m) - np.ones((m, m)) / m
    d = center @ x
    s2 = d @ d / m + eps
    return gamma / s2**0.5 * (center - np.outer(d, d) / (m * s2))


@pytest.mark.parametrize(
    "answer",
    [
        by_loops,
        by_einsum,
        jacobian_in_float32,
        row_by_row_with_bncourse,
        by_the_complex_step,
        centered_twice,
    ],
)
def test_jacobian_takes_any_style(answer):
    for seed in range(20):
        report = jacobian.check(answer, seed)
        assert report.passed, report


def with_bncourse(u, dy, x, gamma, eps):
    return F.batch_norm_double_backward(u, dy, F.batch_norm_forward(x, gamma, eps=eps)[1])


def first_gradient(dy, x, gamma, eps):
    d = x - x.mean(axis=0)
    s = np.sqrt((d * d).mean(axis=0) + eps)
    z = d / s
    return gamma / s * (dy - dy.mean(axis=0) - z * (dy * z).mean(axis=0))


def twice_by_the_complex_step(u, dy, x, gamma, eps):
    return (
        complex_step(lambda v: first_gradient(v, x, gamma, eps), dy, u),
        complex_step(lambda v: first_gradient(dy, v, gamma, eps), x, u),
        complex_step(lambda v: first_gradient(dy, x, v, eps), gamma, u),
    )


def by_differences(u, dy, x, gamma, eps):
    spread = x.std()  # in which the step is small
    return (
        central_difference(lambda v: first_gradient(v, x, gamma, eps), dy, u),
        central_difference(lambda v: first_gradient(dy, v * spread, gamma, eps), x / spread, u)
        / spread,
        central_difference(lambda v: first_gradient(dy, x, v, eps), gamma, u),
    )


def term_by_term(u, dy, x, gamma, eps):
    """Back through the six steps of dx, each with its own gradient."""
    m = len(x)
    d = x - x.mean(0)
    s = ((d * d).sum(0) / m + eps) ** 0.5
    z = d / s
    b = (dy * z).sum(0) / m
    centered = dy - dy.sum(0) / m
    bracket = centered - z * b
    d_bracket = gamma / s * u
    ds = -(gamma / s**2 * u * bracket).sum(0)
    db = -(d_bracket * z).sum(0)
    dz = -d_bracket * b + db * dy / m
    ds = ds - (dz * d).sum(0) / s**2
    dd = dz / s + ds * d / (m * s)
    d_dy = d_bracket - d_bracket.sum(0) / m + db * z / m
    return d_dy, dd - dd.sum(0) / m, (u * bracket / s).sum(0)


def with_matrices(u, dy, x, gamma, eps):
    m, features = x.shape
    d_dy, d_x, d_gamma = np.empty_like(x), np.empty_like(x), np.empty_like(gamma)
    for k in range(features):
        d = x[:, k] - x[:, k].mean()
        s = np.sqrt(d @ d / m + eps)
        z = d / s
        p = np.eye(m) - 1 / m - np.outer(z, z) / m
        d_dy[:, k] = gamma[k] / s * p @ u[:, k]
        along = z * (u[:, k] @ p @ dy[:, k]) / m
        d_x[:, k] = (
            -gamma[k]
            / s**2
            * (along + p @ u[:, k] * (z @ dy[:, k]) / m + p @ dy[:, k] * (z @ u[:, k]) / m)
        )
        d_gamma[k] = u[:, k] @ p @ dy[:, k] / s
    return d_dy, d_x, d_gamma


def double_in_float32(u, dy, x, gamma, eps):
    return term_by_term(*(a.astype("float32") for a in (u, dy, x, gamma)), np.float32(eps))


@pytest.mark.parametrize(
    "answer",
    [
        with_bncourse,
        twice_by_the_complex_step,
        by_differences,
        term_by_term,
        with_matrices,
        double_in_float32,
    ],
)
def test_double_backward_takes_any_style(answer):
    for seed in range(20):
        report = double_backward.check(answer, seed)
        assert report.passed, report


def a_one_for_the_identity(x_hat, m):
    return 1 - 1 / m - np.outer(x_hat, x_hat) / m


def the_inner_product(x_hat, m):
    return np.eye(m) - 1 / m - x_hat @ x_hat.T / m


@pytest.mark.parametrize(
    ("bracket", "name"),
    [
        (a_one_for_the_identity, "a 1 stands for the identity"),
        (the_inner_product, "a number is taken for the table of products"),
    ],
)
def test_jacobian_names_what_broadcasting_hides(bracket, name):
    def answer(x, gamma, eps):
        s = np.sqrt(x.var() + eps)
        return gamma / s * bracket((x - x.mean()) / s, len(x))

    for seed in range(20):
        assert jacobian.check(answer, seed).mistakes == (name,)


def test_double_backward_tells_what_is_wrong_in_one_output():
    def d_dy_bare(u, dy, x, gamma, eps):
        _, d_x, d_gamma = with_matrices(u, dy, x, gamma, eps)
        return gamma / np.sqrt(x.var(axis=0) + eps) * u, d_x, d_gamma

    report = double_backward.check(d_dy_bare)
    assert "Right: d_x, d_gamma" in report.message
    assert report.mistakes == ("P is left out in front",)


@pytest.mark.parametrize(
    ("factor", "bare", "name"),
    [
        (1, True, "x_hat is differentiated by d alone"),
        (None, False, "the overlap is a sum"),
    ],
)
def test_double_backward_names_a_slope_gone_wrong(factor, bare, name):
    def answer(u, dy, x, gamma, eps):
        d_dy, _, d_gamma = with_matrices(u, dy, x, gamma, eps)
        s = np.sqrt(x.var(axis=0) + eps)
        z = (x - x.mean(axis=0)) / s

        def p(v):
            return v - v.mean(axis=0) - z * (v * z).mean(axis=0)

        of_u, of_dy = (u, dy) if bare else (p(u), p(dy))
        overlap = (u * p(dy)).mean(axis=0) * (factor or len(x))
        products = of_u * (dy * z).mean(axis=0) + of_dy * (u * z).mean(axis=0)
        return d_dy, -gamma / s**2 * (z * overlap + products), d_gamma

    for seed in range(20):
        assert double_backward.check(answer, seed).mistakes == (name,)

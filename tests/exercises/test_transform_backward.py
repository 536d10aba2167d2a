"""Right answers in many styles to the exercises of the chapter on the gradients, and wrong ones."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.exercises import backward, backward_inference, centering
from bncourse.gradcheck import central_difference


def by_the_graph(dy, x, gamma, beta, eps):
    m = len(x)
    d = x - x.mean(axis=0)
    s = np.sqrt((d * d).mean(axis=0) + eps)
    dx_hat = dy * gamma
    dvar = -(dx_hat * d).sum(axis=0) / s**2 / (2 * s)
    dd = dx_hat / s + dvar * 2 * d / m
    dx = dd - dd.sum(axis=0) / m
    return dx, (dy * d / s).sum(axis=0), dy.sum(axis=0)


def by_the_paper(dy, x, gamma, beta, eps):
    m, mean, var = len(x), x.mean(0), x.var(0)
    dx_hat = dy * gamma
    dvar = np.sum(dx_hat * (x - mean) * -0.5 * (var + eps) ** -1.5, axis=0)
    dmean = np.sum(-dx_hat / np.sqrt(var + eps), axis=0) + dvar * np.mean(-2 * (x - mean), axis=0)
    dx = dx_hat / np.sqrt(var + eps) + dvar * 2 * (x - mean) / m + dmean / m
    return dx, np.sum(dy * (x - mean) / np.sqrt(var + eps), axis=0), np.sum(dy, axis=0)


def loops(dy, x, gamma, beta, eps):
    dx, dgamma, dbeta = np.zeros_like(x), np.zeros_like(gamma), np.zeros_like(gamma)
    m, features = x.shape
    for k in range(features):
        mean = sum(x[:, k]) / m
        s = (sum((v - mean) ** 2 for v in x[:, k]) / m + eps) ** 0.5
        x_hat = [(v - mean) / s for v in x[:, k]]
        for i in range(m):
            dbeta[k] += dy[i, k]
            dgamma[k] += dy[i, k] * x_hat[i]
        for i in range(m):
            dx[i, k] = gamma[k] / s * (dy[i, k] - dbeta[k] / m - x_hat[i] * dgamma[k] / m)
    return dx, dgamma, dbeta


def with_the_jacobian(dy, x, gamma, beta, eps):
    m = len(x)
    d = x - x.mean(0)
    s = np.sqrt(np.einsum("ik,ik->k", d, d) / m + eps)
    x_hat = d / s
    jacobian = np.eye(m) - 1 / m - np.einsum("ik,jk->kij", x_hat, x_hat) / m
    dx = np.einsum("k,kij,jk->ik", gamma / s, jacobian, dy)
    return dx, np.einsum("ik,ik->k", dy, x_hat), np.einsum("ik->k", dy)


def in_float32(dy, x, gamma, beta, eps):
    dy, x, gamma, beta = (a.astype("float32") for a in (dy, x, gamma, beta))
    return by_the_graph(dy, x, gamma, beta, np.float32(eps))


def with_bncourse(dy, x, gamma, beta, eps):
    return F.batch_norm_backward(dy, F.batch_norm_forward(x, gamma, beta, eps)[1])


def by_differences(dy, x, gamma, beta, eps):
    def y(x=x, gamma=gamma, beta=beta):
        return F.batch_norm_forward(x, gamma, beta, eps)[0]

    return (
        central_difference(lambda x: y(x=x), x, dy),
        central_difference(lambda g: y(gamma=g), gamma, dy),
        central_difference(lambda b: y(beta=b), beta, dy),
    )


STYLES = (
    by_the_graph,
    by_the_paper,
    loops,
    with_the_jacobian,
    in_float32,
    with_bncourse,
    by_differences,
)


@pytest.mark.parametrize("answer", STYLES)
def test_backward_takes_any_style(answer):
    for seed in range(20):
        report = backward.check(answer, seed)
        assert report.passed, report


@pytest.mark.parametrize(
    "answer",
    [
        lambda dy: dy - dy.sum(0) / len(dy),
        lambda dy: (np.eye(len(dy)) - 1 / len(dy)) @ dy,
        lambda dy: np.stack([c - c.mean() for c in dy.T], axis=1),
        lambda dy: dy.astype("float32") - np.einsum("ik->k", dy) / len(dy),
        lambda dy: np.array([[v - sum(c) / len(c) for c, v in zip(dy.T, r)] for r in dy]),  # noqa: B905
    ],
    ids=["sum", "matrix", "column by column", "float32", "loops"],
)
def test_centering_takes_any_style(answer):
    for seed in range(20):
        assert centering.check(answer, seed).passed


@pytest.mark.parametrize(
    "answer",
    [
        lambda dy, x, g, mean, var, eps: (
            g * dy / (var + eps) ** 0.5,
            np.einsum("ik,ik,k->k", dy, x - mean, (var + eps) ** -0.5),
            np.einsum("ik->k", dy),
        ),
        lambda dy, x, g, mean, var, eps: [
            central_difference(
                lambda x: F.batch_norm_inference(x, g, 0 * g, mean, var, eps), x, dy
            ),
            central_difference(
                lambda g: F.batch_norm_inference(x, g, 0 * g, mean, var, eps), g, dy
            ),
            dy.sum(axis=0),
        ],
        lambda dy, x, g, mean, var, eps: (
            np.stack([r * g / np.sqrt(var + eps) for r in dy]),
            sum(r * (v - mean) / np.sqrt(var + eps) for r, v in zip(dy, x, strict=True)),
            sum(dy),
        ),
        lambda dy, x, g, mean, var, eps: tuple(
            a.astype("float32")
            for a in (
                dy * (g / np.sqrt(var + eps)),
                (dy * x).sum(0) / np.sqrt(var + eps) - mean * dy.sum(0) / np.sqrt(var + eps),
                dy.sum(0),
            )
        ),
        lambda dy, x, g, mean, var, eps: F.batch_norm_inference_backward(
            dy, F.batch_norm_inference_forward(x, g, 0 * g, mean, var, eps)[1]
        )[:3],
    ],
    ids=["einsum", "differences", "row by row", "float32", "bncourse"],
)
def test_inference_takes_any_style(answer):
    for seed in range(20):
        assert backward_inference.check(answer, seed).passed


def test_two_mistakes_in_two_outputs_are_both_named():
    def constants_and_means(dy, x, gamma, beta, eps):
        _, dgamma, dbeta = by_the_graph(dy, x, gamma, beta, eps)
        return gamma / np.sqrt(x.var(0) + eps) * dy, dgamma / len(x), dbeta / len(x)

    report = backward.check(constants_and_means)
    assert report.mistakes == (
        "the statistics are treated as constants",
        "a mean is returned where a sum is needed",
    )


def test_what_is_right_is_said_beside_a_mistake():
    report = backward.check(backward.mistakes[1].wrong)
    assert "Right: dgamma, dbeta." in report.message


def test_changed_inputs_are_named():
    def in_place(dy, x, gamma, beta, eps):
        x -= x.mean(axis=0)
        return by_the_graph(dy, x, gamma, beta, eps)

    report = backward.check(in_place)
    assert report.outcome == "changed its inputs" and "x" in report.message


def test_an_exception_is_shown():
    def broken(dy, x, gamma, beta, eps):
        return gamma @ dy

    report = backward.check(broken)
    assert report.outcome == "raised" and "return gamma @ dy" in report.message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda dy, x, g, b, eps: dy, "one value comes back; return three: dx, dgamma, dbeta."),
        (lambda dy, x, g, b, eps: (dy.T, g, b), "dx has shape"),
        (lambda dy, x, g, b, eps: (dy, dy * x, dy), "dgamma has shape"),
        (lambda dy, x, g, b, eps: (dy, dy.sum(1), dy.sum(1)), "dgamma has shape"),
    ],
)
def test_a_wrong_shape_is_described(answer, words):
    report = backward.check(answer)
    assert report.outcome == "wrong form" and words in report.message


def test_a_stub_is_not_attempted():
    def stub(dy, x, gamma, beta, eps):
        raise NotImplementedError

    assert backward.check(stub).outcome == "not attempted"


def by_the_equations(dy, x, gamma, beta, eps, exponent):
    m, mean, var = len(x), x.mean(0), x.var(0)
    s = np.sqrt(var + eps)
    dvar = -0.5 * gamma * (dy * (x - mean)).sum(0) * (var + eps) ** exponent
    dmean = -(gamma * dy / s).sum(0)
    dx = gamma * dy / s + dvar * 2 * (x - mean) / m + dmean / m
    return dx, (dy * (x - mean) / s).sum(0), dy.sum(0)


@pytest.mark.parametrize(
    ("exponent", "name", "words"),
    [
        (-0.5, "x - mean stands for x_hat", "exponent -1/2 instead of -3/2"),
        (-1.0, "x - mean stands once for x_hat", "exponent -1 instead of -3/2"),
    ],
)
def test_a_wrong_exponent_is_named_beside_what_gives_the_same(exponent, name, words):
    for seed in range(5):
        report = backward.check(lambda *a: by_the_equations(*a, exponent), seed)
        assert report.mistakes == (name,)
        assert words in report.message and "Right: dgamma, dbeta." in report.message


def one_line(dy, x, gamma, beta, eps, s=None, a=0, b=0):
    """Right without options: another ``s``, and the powers of gamma that the terms lack."""
    s = np.sqrt(x.var(0) + eps) if s is None else s(x, eps)
    x_hat = (x - x.mean(0)) / s
    mean, slope = dy.mean(0) * gamma ** (1 - a), (dy * x_hat).mean(0) * gamma ** (1 - b)
    dx = (gamma * dy - mean - x_hat * slope) / s
    return dx, (dy * x_hat).sum(0), dy.sum(0)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"b": 1}, "gamma is missing in the path through the variance"),
        ({"a": 1}, "gamma is missing in the path through the mean"),
        ({"a": 1, "b": 1}, "gamma is missing in the paths through the mean and the variance"),
        ({"s": lambda x, e: x.std(0) + e}, "eps is added outside the root"),
        ({"s": lambda x, e: np.sqrt(np.maximum(x.var(0), e))}, "eps is taken for a lower bound"),
        ({"s": lambda x, e: np.sqrt(x.var(0) + e**2)}, "eps is squared"),
    ],
)
def test_backward_names_a_formula_gone_wrong(options, name):
    for seed in range(5):
        assert backward.check(one_line, seed).passed
        assert backward.check(lambda *a: one_line(*a, **options), seed).mistakes == (name,)


def test_a_gamma_without_its_sign_does_not_pass():
    def wrong(dy, x, gamma, beta, eps):
        dx, dgamma, dbeta = one_line(dy, x, gamma, beta, eps)
        return dx * np.sqrt(gamma**2) / gamma, dgamma, dbeta

    for seed in range(5):
        assert backward.check(wrong, seed).mistakes == ("gamma loses its sign",)


def inference(dy, x, gamma, mean, var, eps, s=None):
    s = np.sqrt(var + eps) if s is None else s
    return gamma / s * dy, (dy * (x - mean) / s).sum(0), dy.sum(0)


@pytest.mark.parametrize(
    ("answer", "name", "outputs"),
    [
        (
            lambda dy, x, g, mean, var, e: inference(dy, x, g, mean, x.var(0), e),
            "the variance of the batch stands for the given one",
            "dx, dgamma",
        ),
        (
            lambda dy, x, g, mean, var, e: inference(dy, x, g, x.mean(0), x.var(0), e),
            "mean and variance of the batch stand for the given ones",
            "dx, dgamma",
        ),
        (
            lambda dy, x, g, mean, var, e: inference(dy, x, g, x.mean(0), var, e),
            "the mean of the batch stands for the given one",
            "dgamma",
        ),
        (
            lambda dy, x, *a: [inference(dy, x, *a)[k] for k in (0, 2, 1)],
            "dgamma and dbeta are swapped",
            "dgamma, dbeta",
        ),
        (
            lambda dy, x, g, *a: (g * dy, *inference(dy, x, g, *a)[1:]),
            "it is not divided by s",
            "dx",
        ),
        (
            lambda dy, *a: (inference(dy - dy.mean(0), *a)[0], *inference(dy, *a)[1:]),
            "there is a path through the mean",
            "dx",
        ),
        (
            lambda dy, *a: (dy - dy.mean(0), *inference(dy, *a)[1:]),
            "that is the gradient of centering",
            "dx",
        ),
        (
            lambda dy, x, g, mean, var, e: inference(dy, x, g, mean, var, e, var**0.5 + e),
            "eps is added outside the root",
            "dx, dgamma",
        ),
        (
            lambda dy, x, g, mean, var, e: inference(
                dy, x, g, mean, var, e, np.sqrt(np.maximum(var, e))
            ),
            "eps is taken for a lower bound",
            "dx, dgamma",
        ),
        (
            lambda dy, x, g, *a: inference(dy, x, np.abs(g), *a),
            "gamma loses its sign",
            "dx",
        ),
    ],
)
def test_inference_names_one_mistake_and_all_that_it_spoils(answer, name, outputs):
    for seed in range(5):
        report = backward_inference.check(answer, seed)
        assert report.mistakes == (name,)
        assert f"\n{outputs}: {name}. " in report.message


def one_pass(dy, x, gamma, beta, eps):
    return one_line(
        dy, x, gamma, beta, eps, s=lambda x, e: ((x * x).mean(0) - x.mean(0) ** 2 + e) ** 0.5
    )


def test_a_variance_in_one_pass_is_fragile_and_centering_first_is_not():
    for seed in range(20):
        assert backward.check(one_pass, seed).outcome == "fragile"
        for answer in STYLES[:5]:
            assert backward.check(answer, seed).outcome == "right", answer

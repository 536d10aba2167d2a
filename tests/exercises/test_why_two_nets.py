"""Right answers in many styles to the exercises of the chapter on two nets."""

import math

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.exercises import (
    initial_weights,
    logit_gradient,
    neutral_spread,
    probabilities,
    untrained_loss,
)


def softmax(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loops(scores, labels):
    out = np.empty(scores.shape)
    m, classes = scores.shape
    for i in range(m):
        e = [math.exp(z - max(scores[i])) for z in scores[i]]
        for j in range(classes):
            out[i, j] = (e[j] / sum(e) - (j == labels[i])) / m
    return out


def with_einsum(scores, labels):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = np.einsum("ij,i->ij", e, 1 / np.einsum("ij->i", e))
    p[np.arange(len(p)), labels] -= 1
    return p / len(p)


def by_differences_of_scores(scores, labels):
    p = 1 / np.exp(np.minimum(scores[:, None, :] - scores[:, :, None], 700)).sum(axis=2)
    return (p - (np.arange(scores.shape[1]) == labels[:, None])) / len(scores)


def in_float32(scores, labels):
    return (
        softmax(scores.astype("float32")) - np.eye(scores.shape[1], dtype="float32")[labels]
    ) / (np.float32(len(scores)))


def by_logarithms(scores, labels):
    p = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
    return (p - np.eye(scores.shape[1])[labels]) / len(scores)


def from_the_package(scores, labels):
    return F.softmax_cross_entropy_backward(F.softmax_cross_entropy_forward(scores, labels)[1])


@pytest.mark.parametrize(
    "answer",
    [loops, with_einsum, by_differences_of_scores, in_float32, by_logarithms, from_the_package],
)
def test_logit_gradient_takes_any_style(answer):
    for seed in range(20):
        report = logit_gradient.check(answer, seed)
        assert report.passed, report


def test_labels_that_index_every_row_are_named():
    def every_row(scores, labels):
        p = softmax(scores)
        p[:, labels] -= 1
        return p / len(p)

    for seed in range(20):
        report = logit_gradient.check(every_row, seed)
        assert report.mistakes == ("the labels of all images are subtracted from every row",)


def by_modes(net, x):
    net.eval()
    return softmax(net.forward(x)[0])


def one_by_one(net, x):
    net.train(False)
    return np.concatenate([softmax(net.forward(row[None, :])[0]) for row in x])


def by_hand(net, x):
    first, norm, _, last = net.layers
    a = F.batch_norm_inference(
        x @ first.w, norm.gamma, norm.beta, norm.running_mean, norm.running_var, norm.eps
    )
    return softmax(F.sigmoid_forward(a)[0] @ last.w + last.b)


def folded(net, x):
    first, norm, _, last = net.layers
    scale = norm.gamma / np.sqrt(norm.running_var + norm.eps)
    a = x @ (first.w * scale) + (norm.beta - norm.running_mean * scale)
    return softmax(1 / (1 + np.exp(-a)) @ last.w + last.b)


def from_float32(net, x):
    return by_modes(net, x.astype("float32")).astype("float32")


@pytest.mark.parametrize("answer", [by_modes, one_by_one, by_hand, folded, from_float32])
def test_probabilities_take_any_style(answer):
    for seed in range(20):
        report = probabilities.check(answer, seed)
        assert report.passed, report


def test_a_pass_in_training_mode_does_not_leak_into_the_reference():
    def warmed_up(net, x):
        net.forward(x)  # moves the running statistics of the learner's net
        return by_modes(net, x)

    assert probabilities.check(warmed_up).outcome == "unknown mistake"


def test_one_image_at_a_time_in_training_mode_raises_in_words():
    report = probabilities.check(lambda net, x: np.stack([net.forward(r[None])[0] for r in x]))
    assert report.outcome == "raised"
    assert "one value per channel" in report.message


def test_an_unknown_mistake_shows_the_net_as_a_net():
    report = probabilities.check(lambda net, x: softmax(by_hand(net, x)))
    assert "net = a Sequential" in report.message


def test_changed_inputs_and_wrong_forms_are_told():
    def changes(scores, labels):
        scores -= scores.max(axis=1, keepdims=True)
        return loops(scores, labels)

    assert logit_gradient.check(changes).outcome == "changed its inputs"
    report = logit_gradient.check(lambda scores, labels: loops(scores, labels)[:, 0])
    assert report.outcome == "wrong form"
    assert "(2, 3) is needed" in report.message
    report = logit_gradient.check(lambda scores, labels: scores[labels, 99])
    assert report.outcome == "raised"
    assert "IndexError" in report.message


@pytest.mark.parametrize("quantity", [untrained_loss, neutral_spread])
def test_numbers_are_taken_as_one_writes_them(quantity):
    assert quantity.check(round(quantity.answer, 2)).passed
    assert quantity.check(np.float32(quantity.answer)).passed
    assert quantity.check(np.array(quantity.answer)).passed


def entry_by_entry(z):
    n_in, n_out = z.shape
    return [[4 * z[i, j] / math.sqrt(n_in) for j in range(n_out)] for i in range(n_in)]


def from_the_variance(z):
    return np.sqrt(16 / z.shape[0]) * z


def solved_for(z):
    slope = np.exp(0) / (1 + np.exp(0)) ** 2
    return z / (slope * len(z) ** 0.5)


def scaled_by_einsum(z):
    return np.einsum("ij,i->ij", z, np.full(len(z), 4.0)) / np.sqrt(z[:, 0].size)


def weights_in_float32(z):
    return (np.float32(4 / np.sqrt(len(z))) * z).astype("float32")


def with_a_measured_slope(z):
    h = 1e-4
    slope = float(F.sigmoid_forward(np.array(h))[0] - F.sigmoid_forward(np.array(-h))[0]) / (2 * h)
    return z / slope / np.sqrt(len(z))


@pytest.mark.parametrize(
    "answer",
    [
        entry_by_entry,
        from_the_variance,
        solved_for,
        scaled_by_einsum,
        weights_in_float32,
        with_a_measured_slope,
    ],
)
def test_initial_weights_take_any_style(answer):
    for seed in range(20):
        report = initial_weights.check(answer, seed)
        assert report.outcome == "right", report


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (lambda z: z * 4 / z.shape[1] ** 0.5, {"n is the number of outputs"}),
        (lambda z: z / len(z) ** 0.5, {"the slope of the sigmoid is forgotten"}),
        (lambda z: z * np.sqrt(2 / len(z)), {"that is the spread for ReLU"}),
        (lambda z: z * 16 / len(z), {"the variance stands for the standard deviation"}),
        (lambda z: z * 4 / len(z), {"the root of n is missing"}),
        (lambda z: z * 4 * np.sqrt(2 / sum(z.shape)), {"n is the mean of inputs and outputs"}),
        (lambda z: z * 4 / np.sqrt(z.size), {"n is the number of weights"}),
        (lambda z: 0.4 * z, {"tau is 0.4, whatever the number of units"}),
        (
            lambda z: z * np.sqrt(2 / sum(z.shape)),  # the rule of Glorot and Bengio
            {"n is the mean of inputs and outputs", "the slope of the sigmoid is forgotten"},
        ),
        (
            lambda z: z / z.std() / np.sqrt(len(z)),
            {"z is divided by its own spread", "the slope of the sigmoid is forgotten"},
        ),
        (
            lambda z: 4 * z / np.linalg.norm(z, axis=0),
            {"each column is given the same length"},
        ),
    ],
)
def test_initial_weights_name_a_rule_gone_wrong(answer, names):
    for seed in range(20):
        report = initial_weights.check(answer, seed)
        assert report.outcome == "known mistake", report
        assert set(report.mistakes) == names, report


def test_initial_weights_of_another_kind_are_refused():
    uniform = np.random.default_rng(0).uniform
    report = initial_weights.check(lambda z: uniform(-1, 1, z.shape) * 4 * np.sqrt(3 / len(z)))
    assert report.outcome == "unknown mistake"
    assert "w is not z times a number." in report.message
    report = initial_weights.check(lambda z: 7 * z / np.sqrt(len(z)))
    assert report.outcome == "unknown mistake"
    assert "times z, with n_in = " in report.message


def test_initial_weights_keep_a_small_spread():
    """What the exercise promises: through ten layers, small differences stay as they are."""
    rng = np.random.default_rng(0)
    a = rng.normal(0, 0.01, (200, 400))
    for _ in range(10):
        h = F.sigmoid_forward(a)[0] - 0.5
        new = h @ initial_weights.reference(rng.normal(0, 1, (400, 400)))
        assert 0.9 < new.std() / a.std() < 1.1
        a = new

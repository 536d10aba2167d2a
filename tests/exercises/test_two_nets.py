"""Right answers in many styles to the exercises of the chapter on two nets."""

import math

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.exercises import logit_gradient, neutral_spread, probabilities, untrained_loss


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

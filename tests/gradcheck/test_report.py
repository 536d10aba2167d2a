"""The report in words: readable, no wider than a page, and the same on every machine."""

import numpy as np

from bncourse.gradcheck import gradcheck
from bncourse.gradcheck.report import below, place, power, short

X = np.array([[1.0, 2.0], [3.0, 4.0]])


def test_a_right_gradient_in_four_lines():
    report = gradcheck(np.sin, X, backward=lambda dy: dy * np.cos(X))
    lines = repr(report).splitlines()
    assert lines[0] == "right           dx agrees with the measured gradient in 4 entries."
    assert lines[1] == "relative error  below 1e-9, allowed 1e-6"
    assert lines[2] == "measured by     centered differences, step 1.5e-5"
    assert lines[3:] == ["looked at       4 of 4 entries"]


def test_a_wrong_gradient_shows_its_worst_entry():
    dx = np.cos(X)
    dx[1, 0] = 7
    text = repr(gradcheck(lambda x: np.sum(np.sin(x)), X, dx))
    assert text.startswith("wrong           dx is right but for 1 entry: [1, 0].\n")
    assert "worst entry     [1, 0]: 7 claimed, -0.989992 measured, give or take 1e-" in text
    assert "relative error  1.1, allowed 1e-6" in text


def test_lines_fit_a_page_and_go_on_below_their_words():
    report = gradcheck(lambda x: x - x.mean(axis=0), X, 0 * X, np.ones((2, 2)))
    lines = repr(report).splitlines()
    assert max(map(len, lines)) <= 80
    labels = {"", "right", "relative error", "measured by", "looked at", "beware"}
    assert {line[:16].strip() for line in lines} == labels
    assert sum(line.startswith("beware") for line in lines) == 2


def test_kinks_and_the_scalar_are_named():
    text = repr(gradcheck(np.abs, np.array([0.0, 1.0]), backward=lambda dy: dy))
    assert "2 of 2 entries, 1 left out at a kink" in text
    assert "the only entry: 2 claimed" in repr(gradcheck(np.sin, 0.0, 2.0))


def test_what_was_not_measured_is_not_shown():
    text = repr(gradcheck(np.sin, X, np.nan * X, X))
    assert text.splitlines()[1:] == ["worst entry     [0, 0]: nan claimed, nan measured"]


def test_small_numbers_are_bounds_that_they_do_not_exceed():
    numbers = (0.0, 3e-17, 3e-12, 1e-12, 2.5e-4, 1e-3, 0.0123, 12.3, np.inf, np.nan)
    texts = ["1e-15", "1e-15", "1e-9", "1e-12", "1e-3", "0.001", "0.012", "12", "inf", "nan"]
    assert [power(v) for v in numbers] == texts
    assert [below(v) for v in (3e-12, 0.5)] == ["below 1e-9", "0.5"]
    assert [short(v) for v in (1.5e-5, 2e5, 1e-12)] == ["1.5e-5", "2e5", "1e-12"]
    assert [place(i) for i in ((), (3,), (np.int64(3), 1))] == ["the only entry", "[3]", "[3, 1]"]

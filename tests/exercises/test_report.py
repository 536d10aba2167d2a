"""A report in a terminal and in a notebook."""

import re

import pytest

from bncourse.exercises import Report
from bncourse.exercises.report import BARS, NOT_YET

WRONG = Report(
    False,
    "known mistake",
    "Not yet. Right: a.\nb: swapped, if x < y & z > 0.\nFor example:\n  x = 1\n  y = 2\nThe end.",
)


def test_a_terminal_shows_lines_that_fit_a_page():
    long = Report(False, "known mistake", "Not yet. " + "word " * 40 + "\n  x = " + "1, " * 40)
    words, array = repr(long).rsplit("\n", 1)
    assert max(map(len, words.splitlines())) <= 80
    assert array == "  x = " + "1, " * 39 + "1,"
    assert " ".join(words.split()) == "Not yet. " + ("word " * 40).strip()


def test_a_notebook_shows_paragraphs_and_blocks():
    html = WRONG._repr_html_()
    assert "<strong>Not yet</strong>. Right: a." in html
    assert "<p>b: swapped, if x &lt; y &amp; z &gt; 0.</p>" in html
    assert 'pre-wrap">x = 1\ny = 2</pre>' in html
    assert html.index("</pre>") < html.index("<p>The end.</p>")
    tags = re.findall(r"<(/?)(\w+)", html)
    assert sum(not close for close, _ in tags) == sum(bool(close) for close, _ in tags)


@pytest.mark.parametrize("outcome", ["right", "fragile", "not attempted", "raised"])
def test_the_bar_says_at_a_glance_what_the_words_say(outcome):
    assert BARS.get(outcome, NOT_YET) in Report(False, outcome, "Words.")._repr_html_()


def test_a_solution_is_folded_in_a_notebook_and_indented_in_a_terminal():
    report = Report(True, "right", "Right.", solution="def f(x):\n    return x < 1\n")
    assert repr(report).endswith("A solution to compare with:\n    def f(x):\n        return x < 1")
    html = report._repr_html_()
    assert "<summary>A solution to compare with</summary>" in html
    assert "return x &lt; 1</pre></details>" in html
    assert "details" not in Report(True, "right", "Right.")._repr_html_()


def test_what_the_learner_wrote_is_no_html():
    report = Report(False, "raised", "Not yet: f raises <b>E</b>\n<i>why</i>\n  <u>[1 < 2]</u>")
    html = report._repr_html_()
    assert "<strong>Not yet</strong>: f raises &lt;b&gt;E&lt;/b&gt;</p>" in html
    assert "<p>&lt;i&gt;why&lt;/i&gt;</p>" in html
    assert ">&lt;u&gt;[1 &lt; 2]&lt;/u&gt;</pre>" in html


def test_a_hyphen_is_no_place_to_break_a_line():
    """It may be a minus."""
    text = repr(Report(False, "unknown mistake", "x" * 76 + " ab-cd"))
    assert text == "x" * 76 + "\nab-cd"

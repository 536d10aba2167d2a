"""How a difference is shown: so that it can be seen, and so that it can be read."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.exercises import forward, forward_images, identity
from bncourse.exercises.showing import difference


def shown(yours, wanted, **arguments):
    lines = difference("y", np.asarray(yours), np.asarray(wanted), arguments)
    values = [line.split(" = ")[1] for line in lines[-2:]]
    return "\n".join(lines), *values


def test_scalars_keep_all_their_digits():
    text, _, _ = shown([1.0], [2.0], eps=1e-5, step=np.float64(0.1), n=3)
    assert "  eps = 1e-05\n  step = 0.1\n  n = 3\n" in text


def test_small_arrays_stand_side_by_side():
    text, yours, wanted = shown([[1.0, 2.0]], [[1.0, 3.0]], x=np.ones((1, 2)))
    assert "  x = [[1, 1]]\n" in text and "differ most" not in text
    assert (yours, wanted) == ("[[1, 2]]", "[[1, 3]]")


@pytest.mark.parametrize("gap", [3e-4, 3e-5, 1e-8, -1e-12])
def test_what_four_decimals_hide_is_shown_where_it_is_largest(gap):
    wanted = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    yours = wanted + np.array([[gap / 9, 0, 0], [0, 0, gap]])
    text, a, b = shown(yours, wanted)
    assert "y[1, 2]" in text
    assert a != b and float(a) - float(b) == pytest.approx(gap, rel=0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_entry_that_is_not_finite_is_the_worst(value):
    wanted = np.arange(40.0).reshape(8, 5)
    yours = wanted + 1
    yours[3, 1] = value
    text, a, b = shown(yours, wanted)
    assert "y[3, 1]" in text and (a, b) == (str(value), "16")


def test_entries_that_are_not_finite_in_both_are_no_difference():
    text, a, b = shown([np.inf, np.nan, 1.00001], [np.inf, np.nan, 1.00002])
    assert "y[2]" in text and a != b


def test_a_number_has_no_index():
    text, a, b = shown(np.float64(0.5), np.float64(0.25))
    assert "[" not in text and (a, b) == ("0.5", "0.25")


def test_an_image_is_shown_by_the_channel_that_is_wrong():
    wanted = np.arange(24.0).reshape(3, 2, 2, 2)
    yours = wanted.copy()
    yours[1, 1, 0, 1] += 1
    text, _, _ = shown(yours, wanted, x=wanted, big=np.ones((9, 2, 3, 3)))
    assert "  x[:, 1] = [[[4, 5], [6, 7]], [[12, 13], [14, 15]], [[20, 21], [22, 23]]]\n" in text
    assert "  big = an array of shape (9, 2, 3, 3); feature 1 has mean 1 and spread 0\n" in text
    assert "y[1, 1, 0, 1] = 14" in text and "y[1, 1, 0, 1] = 13" in text
    assert "  small = [[[1, 1]]]\n" in shown([1.0], [2.0], small=np.ones((1, 1, 2)))[0]


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (forward, lambda x, g, b, e: F.batch_norm_forward(x, g, b, 2 * e)[0]),
        (identity, lambda x, e: (x.std(0) + 2 * e, x.mean(0))),
        (forward_images, lambda x, g, b, e: F.batch_norm_forward(x, g, b, 2 * e)[0]),
        (
            forward_images,
            lambda x, g, b, e: F.batch_norm_forward(x, g, b, 2 * e if e > 0.1 else e)[0],
        ),
    ],
    ids=["table", "identity", "small images", "larger images"],
)
def test_a_difference_in_eps_can_be_seen_in_a_few_lines(exercise, answer):
    for seed in range(5):
        message = exercise.check(answer, seed).message
        assert "  eps = " in message
        yours, wanted = (line.split(" = ")[1] for line in message.splitlines()[-2:])
        assert yours != wanted
        assert max(len(line) for line in message.splitlines() if line[0] == " ") < 140


@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (30, 3)])
def test_a_result_may_have_more_columns_than_an_argument(shape):
    wanted = np.zeros((4, 9))
    yours = wanted + (np.arange(9) == 8)
    lines = difference("columns", yours, wanted, {"x": np.ones(shape)})
    assert any("x = an array of shape" in line for line in lines)


def test_numbers_are_short_but_keep_four_decimals():
    text, yours, wanted = shown([0.5, -0.00001, 2.0, np.nan], [1 / 3, 0.0, 1e-4, np.inf])
    assert (yours, wanted) == ("[0.5, 0, 2, nan]", "[0.3333, 0, 0.0001, inf]")
    text, _, _ = shown([1.0], [2.0], labels=np.array([2, 0]), flags=np.array([True, False]))
    assert "  labels = [2, 0]\n  flags = [True, False]\n" in text

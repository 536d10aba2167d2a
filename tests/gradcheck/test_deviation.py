import numpy as np
import pytest

from bncourse.gradcheck import relative_error


def test_relative_error_is_measured_against_the_largest_entry():
    assert relative_error([0, 4], [1, 2]) == 0.5
    assert relative_error([1, 2], [0, 4]) == 0.5
    assert relative_error(np.zeros(3), np.zeros(3)) == 0
    assert relative_error([], []) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("other", [0.0, 1.0, np.nan, np.inf])
def test_what_is_not_finite_never_agrees(bad, other):
    assert np.isnan(relative_error([bad, 0], [other, 0]))
    assert np.isnan(relative_error([other, 0], [bad, 0]))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"a has shape \(3,\), b has \(3, 1\)"):
        relative_error(np.ones(3), np.ones((3, 1)))

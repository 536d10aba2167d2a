"""What counts as a gradient of zero."""

import numpy as np
import pytest

from bncourse.gradcheck.function import Function
from bncourse.gradcheck.judgment import vanishes
from bncourse.gradcheck.measured import Measured


@pytest.mark.parametrize(
    ("value", "size", "outputs", "zero"),
    [
        (0.5, 0.5, 1, True),
        (2.0, 2.0, 1, False),
        (0.5, 8.0, 100, True),  # so much is the scatter of a hundred outputs
        (0.5, 12.0, 100, False),  # more than that cancels: not zero term by term
        (2.0, 8.0, 100, False),
    ],
)
def test_the_sum_and_its_terms_must_be_within_the_noise(value, size, outputs, zero):
    function = Function(lambda x: np.ones(outputs), np.ones(2))
    found = Measured(
        np.array([0.0, value]),
        np.array([1.0, 1.0]),
        np.array([0.0, size]),
        np.ones(2),
        np.zeros(2, bool),
    )
    assert vanishes(function, found) == zero
    found.kink[1] = True
    assert vanishes(function, found)

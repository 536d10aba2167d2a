"""Where channels lie, as one of two shapes."""

import pytest

from bncourse.kernels.layout import view


@pytest.mark.parametrize(
    "shape, axes, expected",
    [
        ((6, 5), (0,), (6, 5)),
        ((6, 5, 3, 2), (0, 2, 3), (6, 5, 6)),
        ((6, 5, 3, 2), (0, 1, 2), (90, 2)),
        ((6, 5, 3, 2), (0, 3), (6, 15, 2)),
        ((6, 5, 3, 2), (1, 2, 3), (1, 6, 30)),
        ((6, 5, 1, 1), (0, 2, 3), (6, 5)),
        ((6, 5, 3, 2), (1, 3), None),
        ((6, 5), (0, 1), None),
    ],
)
def test_a_view_has_the_channels_on_one_axis(shape, axes, expected):
    assert view(shape, axes) == expected

"""Where channels lie, as one of two shapes."""

import pytest

from bncourse.kernels import layout


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
def test_a_kernel_sees_the_channels_on_one_axis(shape, axes, expected):
    found = layout.of(shape, axes)
    assert (found and found.shape) == expected


def test_what_others_see_of_the_statistics():
    _, broadcast, kept, count = layout.of((6, 5, 3, 2), (0, 3))
    assert (broadcast, kept, count) == ((1, 5, 3, 1), (5, 3), 12)

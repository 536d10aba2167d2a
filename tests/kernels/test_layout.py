"""Where channels lie, as one of two shapes."""

import pytest

from bncourse.kernels import layout


@pytest.mark.parametrize(
    "shape, axes, channels, expected",
    [
        ((6, 5), (0,), (1,), (6, 5)),
        ((6, 5, 3, 2), (0, 2, 3), (1,), (6, 5, 6)),
        ((6, 5, 3, 2), (0, 1, 2), (3,), (90, 2)),
        ((6, 5, 3, 2), (0, 3), (1, 2), (6, 15, 2)),
        ((6, 5, 3, 2), (1, 2, 3), (0,), (1, 6, 30)),
        ((6, 5, 1, 1), (0, 2, 3), (1,), (6, 5)),
        ((6, 5, 3, 2), (1, 3), (0, 2), None),
        ((6, 5), (0, 1), (), None),
        ((6, 5, 3), (2,), (2,), None),
        ((6, 5, 3), (1, 2), (1,), None),
    ],
)
def test_a_kernel_sees_the_channels_on_one_axis(shape, axes, channels, expected):
    found = layout.of(shape, axes, channels)
    assert (found and found.shape) == expected


def test_what_others_see_of_the_statistics():
    _, broadcast, kept, count = layout.of((6, 5, 3, 2), (0, 3), (1, 2))
    assert (broadcast, kept, count) == ((1, 5, 3, 1), (5, 3), 12)

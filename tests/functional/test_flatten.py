import numpy as np
import pytest

from bncourse import functional as F


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (4, 3), (5,), (0, 3, 2), (2, 0)], ids=str)
def test_rows_are_read_in_order_and_go_back(home, rng, shape):
    place, dtype = home
    x = rng.standard_normal(shape).astype(dtype)
    y, cache = F.flatten_forward(place.put(x))
    assert np.array_equal(place.get(y), x.reshape(shape[0], int(np.prod(shape[1:]))))
    assert np.array_equal(place.get(F.flatten_backward(y, cache)), x)


def test_memory_layout_does_not_matter(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    assert np.array_equal(F.flatten_forward(last)[0], x.reshape(2, -1))


def test_bad_input():
    for x, kind, message in (
        (None, TypeError, "x must be an array"),
        (np.ones((2, 3), int), TypeError, "x has dtype int64"),
        (np.array(1.0), ValueError, "x must have at least one axis"),
    ):
        with pytest.raises(kind, match=message):
            F.flatten_forward(x)
    with pytest.raises(ValueError, match=r"dy has shape \(2, 3, 4\), but .* \(2, 12\)"):
        F.flatten_backward(np.ones((2, 3, 4)), np.ones((2, 3, 4)))
    with pytest.raises(TypeError, match="cache must be an array"):
        F.flatten_backward(np.ones((2, 3)), None)

import numpy as np
import pytest

from bncourse import checks


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.float64(1), np.int64(1)])
def test_a_number_becomes_a_python_float(value):
    for found in (checks.number("lr", value), checks.positive("lr", value)):
        assert type(found) is float and found == 1


@pytest.mark.parametrize("value", [None, "1", True, np.True_, 1j, [1], np.array(1.0)])
def test_what_is_no_number_is_told(value):
    with pytest.raises(TypeError, match="lr must be a number, not"):
        checks.number("lr", value)


@pytest.mark.parametrize(
    "value, low, high, message",
    [
        (float("nan"), 0, 1, r"lr must lie in \[0, 1\], not nan"),
        (1.5, 0, 1, r"lr must lie in \[0, 1\], not 1.5"),
        (-1, 0, float("inf"), "lr must be finite and at least 0, not -1"),
        (float("inf"), 0, float("inf"), "lr must be finite and at least 0, not inf"),
        (float("-inf"), -float("inf"), float("inf"), "lr must be finite, not -inf"),
    ],
)
def test_a_number_out_of_range_is_told(value, low, high, message):
    with pytest.raises(ValueError, match=message):
        checks.number("lr", value, low, high)


@pytest.mark.parametrize("value", [0, -1, 0.0])
def test_positive_means_more_than_zero(value):
    with pytest.raises(ValueError, match="eps must be positive, not"):
        checks.positive("eps", value)


def test_an_integer_becomes_a_python_int():
    assert type(checks.integer("n", np.int64(3))) is int
    with pytest.raises(ValueError, match="n must be at least 1, not 0"):
        checks.integer("n", 0, 1)


@pytest.mark.parametrize("value", [None, "1", True, 1.0, np.array(1)])
def test_what_is_no_integer_is_told(value):
    with pytest.raises(TypeError, match="n must be a whole number, not"):
        checks.integer("n", value)


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), "f4"])
def test_floating_dtypes_pass(dtype):
    assert checks.floating("dtype", dtype) == np.float32


@pytest.mark.parametrize("dtype", ["int32", "complex64", bool, "nonsense", None, 3, object])
def test_other_dtypes_are_told(dtype):
    with pytest.raises(TypeError, match="dtype must be a floating dtype such as 'float32', not"):
        checks.floating("dtype", dtype)

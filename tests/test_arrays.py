import array_api_strict as strict
import numpy as np
import pytest

from bncourse import arrays


def test_the_namespace_is_that_of_all_arrays(place):
    a, b = place.put([1.0, 2.0], "float32"), place.put([3], "int32")
    xp = arrays.namespace(a=a, b=b, c=None, d=[1, 2])
    assert xp is arrays.compat.array_namespace(a)
    assert arrays.library(a) == ("numpy" if place.name == "numpy" else "array_api_strict")


def test_sums_are_carried_in_the_widest_type_of_the_device(home):
    place, dtype = home
    wide = "float64" if "float64" in place.dtypes else "float32"
    assert arrays.accumulator(place.put([1], dtype)) == getattr(place.xp, wide)


def test_longdouble_is_not_narrowed():
    assert arrays.accumulator(np.ones(3, np.longdouble)) == np.longdouble


def test_subclasses_that_are_arrays_pass(tmp_path):
    x = np.memmap(tmp_path / "x", "float64", "w+", shape=(3,))
    assert arrays.namespace(x=x).__name__ == "array_api_compat.numpy"


class WithoutHash:
    """A device like CuPy's: equal to itself, and no key of any dictionary."""

    __hash__ = None

    def __eq__(self, other):
        return isinstance(other, WithoutHash)


def test_a_device_without_hash_is_no_obstacle(monkeypatch):
    """CuPy's devices have none, so nothing may be cached by device."""
    x = strict.ones(3)
    monkeypatch.setattr(arrays.compat, "device", lambda _: WithoutHash())
    monkeypatch.setattr(
        type(strict.__array_namespace_info__()),
        "dtypes",
        lambda self, device, kind: {"float64": strict.float64},
    )
    assert arrays.accumulator(x) == strict.float64
    assert arrays.namespace(x=x, y=x) is not None


BAD_ARRAYS = [
    ({"x": None}, "x must be an array, not NoneType: .*np.asarray"),
    ({"x": [1.0], "gamma": None}, "x must be an array, not list"),
    ({"x": np.ones(3), "gamma": 2}, "gamma must be an array, not int"),
    ({"x": np.ones((1, 1)).view(np.matrix)}, "x is a matrix, but a plain array"),
    ({"x": np.ma.masked_array([1.0])}, "x is a MaskedArray, but a plain array"),
    ({"x": np.ones(3), "w": strict.ones(3)}, r'x lives in numpy but w in .*to\(w, "numpy"\)'),
    ({"w": strict.ones(3), "x": np.ones(3)}, "w lives in array_api_strict.* but x in numpy: move"),
]


@pytest.mark.parametrize("given, message", BAD_ARRAYS, ids=[m for _, m in BAD_ARRAYS])
def test_what_is_no_array_or_lives_elsewhere_is_told(given, message):
    with pytest.raises(TypeError, match=message):
        arrays.namespace(**given)


def test_no_advice_is_given_that_cannot_be_followed():
    with pytest.raises(TypeError) as error:
        arrays.namespace(x=strict.ones(3), w=np.ones(3))
    assert "arrays.to" not in str(error.value)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_real_numbers_pass(dtype):
    arrays.check_real("x", np.ones(3, dtype))


def test_numpy_arrays_stay_where_they_are():
    x = np.ones(3)
    assert arrays.to(x, "numpy") is x


def test_moving_leaves_values_and_dtype():
    x = strict.asarray([1.0, 2.0], dtype=strict.float32)
    moved = arrays.to(x, "numpy")
    assert type(moved) is np.ndarray and moved.dtype == "float32" and moved.tolist() == [1, 2]


@pytest.mark.parametrize("library", ["torch", "", None, "Cupy"])
def test_an_unknown_library_is_told(library):
    with pytest.raises(ValueError, match="library must be 'numpy' or 'cupy', not"):
        arrays.to(np.ones(3), library)


@pytest.mark.parametrize("x", [None, [1.0], 1.0, "x"])
@pytest.mark.parametrize("library", ["numpy", "cupy"])
def test_only_arrays_can_be_moved(x, library):
    with pytest.raises(TypeError, match="x must be an array"):
        arrays.to(x, library)

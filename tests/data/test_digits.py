import numpy as np
import pytest

from bncourse.data import digits


def test_shapes_ranges_and_types():
    data = digits()
    assert data.x_train.shape == (1300, 64) and data.x_test.shape == (497, 64)
    assert data.y_train.shape == (1300,) and data.y_test.shape == (497,)
    assert data.x_train.dtype == data.x_test.dtype == "float32"
    assert np.issubdtype(data.y_train.dtype, np.integer)
    assert data.x_train.min() == 0 and data.x_train.max() == 1
    assert set(data.y_train.tolist()) == set(data.y_test.tolist()) == set(range(10))


def test_both_parts_together_are_all_the_digits_once():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    data = digits(dtype="float64")
    rows = np.column_stack([np.concatenate(data[::2]) * 16, np.concatenate(data[1::2])])
    everything = np.column_stack([images, labels])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, everything))


def test_the_split_is_that_of_the_seed():
    first, same, other = digits(seed=0), digits(seed=0), digits(seed=1)
    assert all(map(np.array_equal, first, same))
    assert not np.array_equal(first.y_test, other.y_test)


def test_binary_pixels_are_thresholded_at_half_of_full_ink():
    grey, binary = digits(), digits(binary=True)
    assert np.array_equal(binary.x_train, grey.x_train >= 0.5)
    assert np.array_equal(binary.y_train, grey.y_train)
    assert set(np.unique(binary.x_test)) == {0, 1}


def test_the_caller_may_change_what_it_gets():
    digits().x_train[:] = -1
    assert digits().x_train.min() == 0


@pytest.mark.parametrize("n_test", [1, 1796])
def test_the_split_may_lie_anywhere(n_test):
    assert len(digits(n_test=n_test).x_test) == n_test


@pytest.mark.parametrize(
    "options, kind, message",
    [
        ({"n_test": 0}, ValueError, "n_test must lie in 1 to 1796, not 0"),
        ({"n_test": 1797}, ValueError, "n_test must lie in 1 to 1796, not 1797"),
        ({"n_test": 0.3}, TypeError, "n_test must be a whole number, not 0.3"),
        ({"dtype": "int8"}, TypeError, "dtype must be a floating dtype"),
    ],
)
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        digits(**options)

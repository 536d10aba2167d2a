import numpy as np

from bncourse.functional.masking import keep


def test_what_is_masked_is_zero_even_if_it_was_nan(home, rng):
    place, dtype = home
    x = rng.standard_normal((5, 6)).astype(dtype)
    x[0], x[1] = np.nan, -np.inf
    mask = rng.random(x.shape) < 0.5
    found = place.get(keep(place.put(x), place.put(mask)))
    assert str(found.dtype) == dtype
    assert np.array_equal(found, np.where(mask, x, 0), equal_nan=True)
    assert not np.signbit(found[~mask]).any()
    room = place.put(np.ones((10, 6)), dtype)
    keep(place.put(x), place.put(mask), out=room[::2, ...])
    assert np.array_equal(place.get(room)[::2], found, equal_nan=True)
    assert (place.get(room)[1::2] == 1).all()


def test_any_layout_and_width_of_a_float(rng):
    mask = rng.random((5, 6)) < 0.5
    for dtype in ("longdouble", ">f4", "float32"):
        x = rng.standard_normal((6, 10)).astype(dtype)[:, ::2].T
        assert np.array_equal(keep(x, mask), np.where(mask, x, 0))


def test_a_single_number():
    assert keep(np.array(2.0), np.array(True)) == 2 and keep(np.array(2.0), np.array(False)) == 0

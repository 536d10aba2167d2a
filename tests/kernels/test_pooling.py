"""Compiled max pooling against the general form: the same bits, the same index."""

import numpy as np
import pytest
from unusual import off_by_a_byte, read_only

from bncourse import functional as F
from bncourse import kernels
from bncourse.kernels import compiled, pooling, threads

pytestmark = pytest.mark.skipif(not compiled.available(), reason="Numba is not installed")

# shape of x, kernel, stride, padding
CASES = [
    ((2, 3, 8, 6), (2, 2), (2, 2), (0, 0)),
    ((2, 3, 5, 7), (2, 2), (2, 2), (0, 0)),
    ((2, 3, 15, 17), (3, 2), (1, 2), (1, 0)),
    ((1, 2, 15, 15), (3, 3), (2, 2), (1, 1)),
    ((2, 2, 9, 5), (1, 2), (2, 1), (0, 1)),
    ((2, 2, 4, 4), (4, 4), (1, 1), (2, 2)),
    ((1, 1, 40, 40), (17, 17), (1, 1), (8, 8)),
    ((2, 1, 6, 5), (1, 1), (1, 1), (0, 0)),
    ((2, 3, 7, 7), (7, 7), (7, 7), (0, 0)),
    ((2, 3, 21, 22), (3, 4), (3, 4), (0, 0)),
    ((3, 2, 37), (3,), (2,), (1,)),
    ((2, 2, 4, 3, 5), (2, 2, 3), (1, 1, 2), (1, 0, 1)),
    ((2, 2, 4, 3, 5), (2, 2, 3), (1, 1, 2), (1, 0, 0)),
    ((0, 3, 4, 4), (2, 2), (2, 2), (0, 0)),
]
cases = pytest.mark.parametrize("shape, kernel, stride, padding", CASES, ids=str)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(compiled, "LEAST", 0)


def inputs(rng, shape, dtype):
    ties = rng.integers(4, size=shape).astype(dtype)
    holes = np.where(rng.random(shape) < 0.2, np.nan, ties)
    low = np.where(rng.random(shape) < 0.7, -np.inf, ties)
    high = np.where(rng.random(shape) < 0.2, np.inf, -ties)
    normal = rng.standard_normal(shape)
    return [a.astype(dtype) for a in (normal, ties, holes, low, high)]


@cases
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_same_as_the_general_form(
    rng, monkeypatch, shape, kernel, stride, padding, dtype, parts
):
    monkeypatch.setattr(threads, "count", lambda size: parts)
    monkeypatch.setattr(pooling, "worth_it", lambda *options: True)
    for x in inputs(rng, shape, dtype):
        found = {}
        for way in ("never", "numba"):
            with kernels.using(way):
                y, cache = F.max_pool_forward(x, kernel, stride, padding)
                dy = np.cos(np.arange(y.size)).reshape(y.shape).astype(dtype)
                found[way] = y, cache.index, F.max_pool_backward(dy, cache)
        for i, (wanted, ours) in enumerate(zip(*found.values(), strict=True)):
            assert ours.dtype == wanted.dtype and ours.shape == wanted.shape
            if i == 2:  # summed in another order where windows overlap
                np.testing.assert_allclose(ours, wanted, rtol=0, atol=40 * np.finfo(dtype).eps)
            else:
                assert np.array_equal(ours, wanted, equal_nan=i == 0)


@cases
def test_windows_far_from_each_other_are_left_to_numpy(monkeypatch, shape, kernel, stride, padding):
    called, function = [], pooling.forward
    monkeypatch.setattr(pooling, "forward", lambda *a: called.append(a) or function(*a))
    F.max_pool_forward(np.zeros(shape), kernel, stride, padding)
    assert bool(called) == (stride != (3, 4))


def test_compiled_loops_are_chosen_and_can_be_forbidden(rng, monkeypatch):
    x, called = rng.standard_normal((2, 3, 8, 8)), []
    for name in ("forward", "backward"):
        function = getattr(pooling, name)
        monkeypatch.setattr(pooling, name, lambda *a, f=function: called.append(f) or f(*a))
    for way in ("auto", "never", "numpy"):
        with kernels.using(way):
            y, cache = F.max_pool_forward(x, 2)
            F.max_pool_backward(y, cache)
    assert [f.__name__ for f in called] == ["forward", "backward"]


def test_memory_layouts_do_not_matter(rng):
    x = np.asfortranarray(rng.standard_normal((2, 3, 8, 8)))
    y, cache = F.max_pool_forward(x, 2)
    assert np.array_equal(y, F.max_pool_forward(x.copy("C"), 2)[0])
    dx = F.max_pool_backward(np.asfortranarray(y), cache)
    assert np.array_equal(dx, F.max_pool_backward(y, cache))


@pytest.mark.parametrize("turn", [read_only, off_by_a_byte])
@pytest.mark.parametrize("padding", [0, 1])
def test_memory_that_is_not_written_or_lies_askew_is_read(rng, turn, padding):
    x = rng.standard_normal((2, 3, 8, 8))
    y, cache = F.max_pool_forward(x, 2, 2, padding)
    found, other = F.max_pool_forward(turn(x), 2, 2, padding)
    assert np.array_equal(found, y) and np.array_equal(other.index, cache.index)
    assert np.array_equal(F.max_pool_backward(turn(y), other), F.max_pool_backward(y, cache))

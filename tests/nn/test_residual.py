import numpy as np
import pytest

from bncourse import nn
from bncourse.gradcheck import central_difference, relative_error


def dense(n_in, n_out, seed):
    return nn.Dense(n_in, n_out, rng=seed, dtype="float64")


def test_identity_is_nothing(rng):
    x, dy = rng.standard_normal((2, 7, 3))
    y, cache = nn.Identity().forward(x)
    assert np.array_equal(y, x) and np.array_equal(nn.Identity().backward(dy, cache), dy)
    with pytest.raises(ValueError, match=r"dy has shape \(3,\)"):
        nn.Identity().backward(dy[0], cache)
    with pytest.raises(TypeError, match="x must be an array"):
        nn.Identity().forward(None)


@pytest.mark.parametrize("shortcut", [None, "dense"])
def test_output_and_gradients_of_a_block(rng, shortcut):
    shortcut = shortcut and dense(3, 3, 2)
    block = nn.Residual(nn.Sequential(dense(3, 4, 0), nn.Tanh(), dense(4, 3, 1)), shortcut)
    x, dy = rng.standard_normal((2, 7, 3))
    y, cache = block.forward(x)
    expected = block.branch.forward(x)[0] + (shortcut.forward(x)[0] if shortcut else x)
    assert np.array_equal(y, expected)
    dx = block.backward(dy, cache)
    assert relative_error(dx, central_difference(lambda v: block.forward(v)[0], x, dy)) < 1e-8
    names = {"branch.0.w", "branch.0.b", "branch.2.w", "branch.2.b"}
    assert set(block.gradients()) == names | ({"shortcut.w", "shortcut.b"} if shortcut else set())


def test_a_branch_of_zeros_lets_everything_pass(rng):
    block = nn.Residual(nn.Dense(3, 3, std=0, dtype="float64"))
    x, dy = rng.standard_normal((2, 7, 3))
    y, cache = block.forward(x)
    assert np.array_equal(y, x) and np.array_equal(block.backward(dy, cache), dy)


def test_applied_twice_before_going_back(rng):
    block = nn.Residual(nn.Sequential(dense(3, 3, 0), nn.Tanh()))
    x, dy = rng.standard_normal((2, 7, 3))
    twice = nn.Sequential(block, block)
    dx = twice.backward(dy, twice.forward(x)[1])
    numerical = central_difference(lambda v: twice.forward(v)[0], x, dy)
    assert relative_error(dx, numerical) < 1e-8


def test_modes_reach_both_ways():
    block = nn.Residual(nn.BatchNorm(3), nn.BatchNorm(3)).eval()
    assert not block.branch.training and not block.shortcut.training


def test_bad_input(rng):
    with pytest.raises(TypeError, match="branch must be a Module, not function"):
        nn.Residual(lambda x: x)
    with pytest.raises(TypeError, match="shortcut must be a Module, not int"):
        nn.Residual(nn.Identity(), 1)
    block = nn.Residual(dense(3, 1, 0))
    with pytest.raises(ValueError, match=r"branch gives shape \(7, 1\), the shortcut \(7, 3\)"):
        block.forward(rng.standard_normal((7, 3)))  # NumPy would have stretched it
    with pytest.raises(ValueError, match="cache must be the pair"):
        block.backward(np.ones((7, 3)), None)

import numpy as np
import pytest

from bncourse import nn
from bncourse.optim import SGD


def test_a_step_goes_against_the_gradient_in_place():
    layer = nn.Dense(2, 1, std=0)
    w, b = layer.w, layer.b
    layer.add_gradients(w=np.array([[1.0], [-2.0]], "float32"))
    SGD(layer, 0.5).step()
    assert layer.w is w and w.ravel().tolist() == [-0.5, 1] and not b.any()


def test_a_step_leaves_the_gradients_and_the_dtype():
    layer = nn.Dense(2, 1, std=0)
    gradient = np.array([[1.0], [-2.0]])
    layer.add_gradients(w=gradient)
    SGD(layer, 0.5).step()
    assert gradient.ravel().tolist() == [1, -2] and layer.w.dtype == "float32"


def test_the_rate_may_be_set_anew():
    layer = nn.Dense(1, 1, std=0)
    layer.add_gradients(w=np.ones((1, 1), "float32"))
    optimizer = SGD(layer, 1)
    optimizer.lr = 0.25
    optimizer.step()
    assert layer.w == -0.25


@pytest.mark.parametrize("lr", [-0.1, float("nan"), float("inf")])
def test_a_rate_out_of_range_is_told(lr):
    with pytest.raises(ValueError, match="lr must be finite and at least 0, not"):
        SGD(nn.Tanh(), lr)


@pytest.mark.parametrize("lr", [None, "0.1", True])
def test_a_rate_that_is_no_number_is_told(lr):
    with pytest.raises(TypeError, match="lr must be a number, not"):
        SGD(nn.Tanh(), lr)

"""The loops of a training step against the functions that they stand for, on hard values."""

import warnings

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.kernels import compiled

if not compiled.available():
    pytest.skip("Numba is not installed: the extra 'fast'", allow_module_level=True)

from bncourse.kernels import loops_step as loops

HARD = [0.0, -0.0, 1e-45, -1e-45, 1e-38, 1.0, -1.0, 17.0, -17.0, 87.0, -87.0, 88.7, -88.7]
HARD += [89.0, -89.0, 104.0, -104.0, 709.0, -709.0, 709.9, -709.9, 1e30, -1e30]
HARD += [np.inf, -np.inf, np.nan]


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def values(rng, dtype):
    with np.errstate(under="ignore"):
        return np.concatenate([np.array(HARD), 5 * rng.standard_normal(1000)]).astype(dtype)


def close(got, want, ulps=2):
    unit = ulps * np.finfo(want.dtype).eps
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=unit, atol=np.finfo(want.dtype).tiny)


def sigmoid(x):
    from bncourse.training.activation_stages import LARGEST

    y = np.empty_like(x)
    loops.negated(x, y, LARGEST[x.dtype.char])
    np.exp(y, out=y)
    loops.sigmoid(y)
    return y


def tanh(x):
    return np.tanh(x)


def relu(x):
    y = np.empty_like(x)
    loops.relu(x, y)
    return y


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu"])
def test_activations_and_their_gradients(name, dtype, rng):
    x = values(rng, dtype)
    dy = rng.standard_normal(len(x)).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no overflow is reported
        y = globals()[name](x)
        want, cache = getattr(F, f"{name}_forward")(x)
    close(y, want)
    dx = np.empty_like(x)
    getattr(loops, f"{name}_gradient")(dy, y, dx)
    # 1 - y loses digits where y is near 1, and a fused product keeps one that the others lose
    want = getattr(F, f"{name}_backward")(dy, cache)
    np.testing.assert_allclose(dx, want, rtol=1e-5, atol=8 * np.finfo(dtype).eps)


def test_relu_passes_nothing_at_zero_and_no_infinity_from_above():
    x = np.array([0.0, -0.0, -1.0, 2.0, np.nan], "float32")
    dy = np.array([np.inf, np.nan, np.inf, np.inf, 1.0], "float32")
    dx = np.empty_like(x)
    loops.relu_gradient(dy, relu(x), dx)
    assert np.array_equal(dx, np.array([0, 0, 0, np.inf, 0], "float32"))


def test_rows_are_added_and_summed(dtype, rng):
    y, b = rng.standard_normal((61, 7)).astype(dtype), rng.standard_normal(7).astype(dtype)
    want = y + b
    loops.add_row(y, b)
    assert np.array_equal(y, want)
    total = np.empty(7, dtype)
    loops.sum_rows(1e6 + y, total)
    close(total, np.sum((1e6 + y).astype("float64"), axis=0).astype(dtype))


LOGITS = {
    "usual": lambda rng: rng.standard_normal((50, 7)),
    "far": lambda rng: 1e4 * rng.standard_normal((50, 7)),
    "huge": lambda rng: 1e38 * np.sign(rng.standard_normal((50, 7))),
    "hopeless classes": lambda rng: np.where(
        rng.random((50, 7)) < 0.3, -np.inf, rng.standard_normal((50, 7))
    ),
    "a NaN": lambda rng: np.where(np.arange(350).reshape(50, 7) == 20, np.nan, 1.0),
    "a NaN first": lambda rng: np.where(np.arange(350).reshape(50, 7) == 21, np.nan, 1.0),
    "one class": lambda rng: rng.standard_normal((50, 1)),
    "one example": lambda rng: rng.standard_normal((1, 7)),
}


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide", "ignore:overflow")
@pytest.mark.parametrize("name", LOGITS)
def test_cross_entropy(name, dtype, rng):
    logits = LOGITS[name](rng).astype(dtype)
    labels = rng.integers(logits.shape[1], size=len(logits))
    gradient = np.empty_like(logits)
    loss = loops.cross_entropy(logits, labels, gradient)
    want, _ = F.softmax_cross_entropy_forward(logits.astype("float64"), labels)
    _, cache = F.softmax_cross_entropy_forward(logits, labels)
    np.testing.assert_allclose(loss, want, rtol=1e-5 if dtype == "float32" else 1e-13)
    unit = 4 * np.finfo(dtype).eps
    close_to = F.softmax_cross_entropy_backward(cache)
    np.testing.assert_allclose(gradient, close_to, rtol=unit, atol=unit / len(logits))


@pytest.mark.parametrize("label", [-1, 7, 2**40])
def test_a_label_that_is_no_class(label, rng):
    labels = np.zeros(5, int)
    labels[3] = label
    logits = rng.standard_normal((5, 7))
    assert loops.cross_entropy(logits, labels, np.empty_like(logits)) < 0


def test_descent(dtype, rng):
    p, g = (rng.standard_normal(1000).astype(dtype) for _ in range(2))
    want = p - np.array(0.3, dtype) * g
    loops.descend(p, g, 0.3)
    np.testing.assert_allclose(p, want, rtol=0, atol=2 * np.finfo(dtype).eps)

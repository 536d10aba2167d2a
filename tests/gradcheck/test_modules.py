"""All gradients of a network at once, and the network as it was."""

import array_api_strict
import numpy as np
import pytest

from bncourse import nn
from bncourse.gradcheck import gradcheck_module

X = np.random.default_rng(5).normal(1, 2, (10, 7)).astype("float32")


def network(**options):
    return nn.Sequential(
        nn.Dense(7, 6), nn.BatchNorm(6, **options), nn.Tanh(), nn.Dropout(0.3), nn.Dense(6, 3)
    )


class Halved(nn.Dense):
    def backward(self, dy, cache):
        return super().backward(dy / 2, cache) * 2


class Forgetful(nn.Dense):
    def backward(self, dy, cache):
        dx = super().backward(dy, cache)
        del self.grads["b"]
        return dx


class Flat(nn.Dense):
    def backward(self, dy, cache):
        dx = super().backward(dy, cache)
        self.grads["w"] = self.grads["w"].ravel()
        return dx


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"virtual_batch_size": 5}, {"affine": False}])
def test_input_and_every_parameter(options, training):
    net = network(**options)
    report = gradcheck_module(net, X, training=training)
    assert report.passed
    assert list(report.reports) == ["x", *net.parameters()]
    assert report.shapes["0.w"] == (7, 6) and report["x"].entries == 70
    assert report["0.b"].zero == training  # in evaluation nothing subtracts the bias again


def test_the_table():
    lines = repr(gradcheck_module(network(), X)).splitlines()
    assert lines[0].split() == ["shape", "relative", "error", "verdict"]
    assert [line.split()[0] for line in lines[1:8]] == [
        *("x", "0.w", "0.b", "1.gamma", "1.beta", "4.w", "4.b")
    ]
    assert lines[1].split()[1:3] == ["(10,", "7)"] and lines[1].endswith("right")
    assert lines[8].startswith("0.b: The true gradient is zero")
    assert max(map(len, lines)) <= 80


def test_nothing_of_the_module_changes():
    net = network(momentum=0.5).eval()
    y, cache = net.forward(X)
    net.backward(np.ones_like(y), cache)
    held = net.parameters() | {"mean": net[1].running_mean}
    state, gradients = net.state_dict(), {k: v.copy() for k, v in net.gradients().items()}
    x = X.copy()
    assert gradcheck_module(net, x).passed
    assert not any(module.training for _, module in net.modules())
    after = net.state_dict()
    assert state.keys() == after.keys() and "3.rng_state" in state
    for name, value in state.items():
        np.testing.assert_array_equal(after[name], value)
    for name, value in net.gradients().items():
        np.testing.assert_array_equal(value, gradients[name])
    assert all(a is b for a, b in zip(held.values(), net.parameters().values(), strict=False))
    np.testing.assert_array_equal(x, X)


def test_the_wrong_parameter_is_named():
    report = gradcheck_module(nn.Sequential(Halved(7, 6), nn.BatchNorm(6), nn.Tanh()), X)
    verdicts = {name: r.verdict for name, r in report.reports.items()}
    assert verdicts == {"x": "right", "0.w": "wrong", "0.b": "right", "1.gamma": "right",
                        "1.beta": "right"}  # fmt: skip
    assert not report.passed
    assert "0.w: dx is 0.5 times the right gradient." in repr(report)


def test_a_gradient_that_does_not_come_back():
    report = gradcheck_module(Forgetful(7, 6), X)
    assert report["b"].verdict == "wrong" and report["w"].passed
    assert "b: No gradient came back, and it is not zero." in repr(report)
    assert gradcheck_module(nn.Sequential(Forgetful(7, 6), nn.BatchNorm(6)), X).passed


def test_a_gradient_of_another_shape():
    report = gradcheck_module(Flat(7, 6), X)
    assert report["w"].verdict == "wrong" and report["b"].passed
    assert "w: The gradient has shape (42,), but the array (7, 6)." in repr(report)


def test_float64_by_default_and_float32_on_request():
    net = network()
    assert gradcheck_module(net, X)["0.w"].tol == 1e-6
    for dtype in ("float32", None):
        report = gradcheck_module(net, X, dtype=dtype)
        assert report["0.w"].tol == 5e-3 and not any(
            r.verdict == "wrong" for r in report.reports.values()
        )


def test_a_layer_that_makes_its_parameters_late():
    layer = nn.BatchNorm(None)
    report = gradcheck_module(layer, X)
    assert report.passed and list(report.reports) == ["x", "gamma", "beta"]
    assert layer.gamma is None


def test_a_part_of_the_entries_and_an_upstream_of_your_own():
    net = nn.Sequential(nn.Dense(7, 6), nn.BatchNorm(6))
    report = gradcheck_module(net, X, entries=5, dy=np.ones((10, 6)))
    assert report["x"].checked == 5 and report["0.w"].checked == 5
    assert "the same everywhere" in report["x"].warnings[0]
    assert repr(report).count("beware: dy is the same everywhere") == 1


def test_images():
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm(3), nn.ReLU(), nn.MaxPool2d(2))
    x = np.random.default_rng(0).standard_normal((3, 2, 4, 4))
    assert gradcheck_module(net, x).passed


def test_what_is_no_module_or_lives_elsewhere():
    with pytest.raises(
        TypeError, match="module must be a bncourse.nn.Module, not builtin_function_or_method"
    ):
        gradcheck_module(len, X)
    layer = nn.Dense(7, 6)
    with pytest.raises(TypeError, match="x is an array of array_api_strict"):
        gradcheck_module(layer, array_api_strict.ones((10, 7)))
    layer.w = array_api_strict.ones((7, 6))
    with pytest.raises(TypeError, match="w is an array of array_api_strict"):
        gradcheck_module(layer, X)
    layer.w = np.full((7, 6), np.nan)
    with pytest.raises(ValueError, match="w must be finite"):
        gradcheck_module(layer, X)

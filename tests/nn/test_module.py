import copy

import numpy as np
import pytest

from bncourse import nn
from bncourse.optim import SGD


def nested():
    inner = nn.Sequential(nn.BatchNorm(4), nn.Tanh())
    return nn.Sequential(nn.Dense(5, 4, rng=0), inner, nn.Dense(4, 3, bias=False, rng=1))


NAMES = ["0.w", "0.b", "1.0.gamma", "1.0.beta", "2.w"]


def test_parameters_and_gradients_have_dotted_names(rng):
    net = nested()
    assert list(net.parameters()) == NAMES and net.gradients() == {}
    y, cache = net.forward(rng.standard_normal((7, 5)).astype("float32"))
    net.backward(y, cache)
    assert sorted(net.gradients()) == sorted(NAMES)
    for name, gradient in net.gradients().items():
        assert gradient.shape == net.parameters()[name].shape
        assert gradient.dtype == net.parameters()[name].dtype


def test_parameters_are_the_arrays_themselves():
    net = nested()
    net.parameters()["1.0.gamma"][:] = 7
    assert net[1][0].gamma.tolist() == [7] * 4


def test_train_and_eval_reach_every_layer():
    net = nested()
    assert net.eval() is net
    assert not any(module.training for _, module in net.modules())
    assert net.train() is net
    assert all(module.training for _, module in net.modules())
    assert not net.train(False)[1][0].training


def test_gradients_add_up_until_they_are_forgotten(rng):
    net = nested()
    y, cache = net.forward(rng.standard_normal((7, 5)).astype("float32"))
    net.backward(y, cache)
    once = {name: g.copy() for name, g in net.gradients().items()}
    net.backward(y, cache)
    for name, gradient in net.gradients().items():
        np.testing.assert_allclose(gradient, 2 * once[name])
    net.zero_grad()
    assert net.gradients() == {}


FIRST_LAYERS = {
    "dense": (lambda: nested(), (7, 5)),
    "norm": (lambda: nn.Sequential(nn.BatchNorm(5), nn.Dense(5, 2)), (7, 5)),
    "conv": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten()), (4, 2, 5, 5)),
    "chain": (lambda: nn.Sequential(nested(), nn.ReLU()), (7, 5)),
    "residual": (lambda: nn.Residual(nn.Dense(5, 5)), (7, 5)),
}


@pytest.mark.parametrize("make, shape", FIRST_LAYERS.values(), ids=FIRST_LAYERS)
def test_accumulated_gradients_are_those_of_the_way_back(rng, make, shape):
    net = make()
    y, cache = net.forward(rng.standard_normal(shape).astype("float32"))
    dy = rng.standard_normal(y.shape).astype("float32")
    net.backward(dy, cache)
    wanted = net.gradients()
    net.zero_grad()
    assert net.accumulate(dy, cache) is None
    assert net.gradients().keys() == wanted.keys()
    for name, gradient in net.gradients().items():
        assert np.array_equal(gradient, wanted[name]), name
    with pytest.raises(ValueError, match="cache"):
        net.accumulate(dy, ())


def test_a_first_layer_does_not_compute_what_nobody_asks_for(rng, monkeypatch):
    asked = []
    for name in ("dense_backward", "conv_backward"):
        real = getattr(nn.layers.F, name)

        def spy(dy, cache, input_gradient=True, real=real):
            asked.append(input_gradient)
            return real(dy, cache, input_gradient)

        monkeypatch.setattr(nn.layers.F, name, spy)
    conv, dense = nn.Conv2d(1, 1, 2), nn.Dense(4, 3)
    for net, shape in ((nn.Sequential(dense, nn.Dense(3, 2)), (2, 4)), (conv, (2, 1, 3, 3))):
        y, cache = net.forward(rng.standard_normal(shape).astype("float32"))
        net.accumulate(y, cache)
    assert asked == [True, False, False]


def test_an_empty_chain_accumulates_nothing():
    net = nn.Sequential()
    assert net.accumulate(np.ones(3), ()) is None and net.gradients() == {}


def test_adding_gradients_changes_no_array_that_was_given():
    module, given = nn.Module(), np.ones(3)
    module.add_gradients(w=given, b=None)
    module.add_gradients(w=given)
    assert module.grads["w"].tolist() == [2, 2, 2] and given.tolist() == [1, 1, 1]
    assert "b" not in module.grads


def test_a_layer_used_twice_is_listed_once_and_takes_one_step(rng):
    shared = nn.Dense(5, 5, rng=0, dtype="float64")
    net = nn.Sequential(shared, nn.Tanh(), shared)
    assert list(net.parameters()) == ["0.w", "0.b"]
    y, cache = net.forward(rng.standard_normal((7, 5)))
    net.backward(y, cache)
    before, gradient = shared.w.copy(), net.gradients()["0.w"].copy()
    SGD(net, 0.5).step()
    np.testing.assert_allclose(shared.w, before - 0.5 * gradient)


def test_a_chain_that_holds_the_same_chain_twice_ends():
    inner = nn.Sequential(nn.Dense(5, 5), nn.Tanh())
    prefixes = [prefix for prefix, _ in nn.Sequential(inner, inner).modules()]
    assert prefixes == ["", "0.", "0.0.", "0.1."]


def test_to_numpy_leaves_the_net_as_it_is(rng):
    net = nested()
    before = {name: a.copy() for name, a in net.parameters().items()}
    y, cache = net.forward(rng.standard_normal((7, 5)).astype("float32"))
    net.backward(y, cache)
    assert net.to("numpy") is net
    assert all(np.array_equal(net.parameters()[name], a) for name, a in before.items())
    assert net.gradients() == {}


def test_to_an_unknown_library_moves_nothing():
    net = nested()
    arrays = list(net.parameters().values())
    with pytest.raises(ValueError, match="library must be 'numpy' or 'cupy', not 'torch'"):
        net.to("torch")
    assert all(a is b for a, b in zip(arrays, net.parameters().values(), strict=True))


def test_to_moves_parameters_and_buffers_all_or_none(monkeypatch):
    from bncourse.nn import module

    net, seen = nested(), []

    def fail_at_the_end(a, library):
        seen.append(a)
        if len(seen) == 8:
            raise RuntimeError("no memory left")
        return a + 1

    monkeypatch.setattr(module.arrays, "to", fail_at_the_end)
    before = {name: a.copy() for name, a in net.parameters().items()}
    with pytest.raises(RuntimeError, match="no memory left"):
        net.to("cupy")
    assert all(np.array_equal(net.parameters()[name], a) for name, a in before.items())
    assert not net[1][0].running_mean.any()
    monkeypatch.setattr(module.arrays, "to", lambda a, library: a + 1)
    assert net.to("cupy")[1][0].running_mean.tolist() == [1] * 4


def test_a_copy_is_independent(rng):
    net = nested()
    twin = copy.deepcopy(net)
    twin.parameters()["0.w"][:] = 0
    twin.forward(rng.standard_normal((7, 5)).astype("float32"))
    assert net.parameters()["0.w"].any() and net[1][0].num_batches_tracked == 0


@pytest.mark.parametrize("call", [lambda m: m.forward(1), lambda m: m.backward(1, None)])
def test_the_base_class_says_what_a_subclass_lacks(call):
    with pytest.raises(NotImplementedError, match="Module does not define"):
        call(nn.Module())

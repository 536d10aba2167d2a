"""Compiled steps against plain ones: the same training, whatever the net is made of."""

import copy
import pickle
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import kernels, nn
from bncourse.kernels import compiled
from bncourse.optim import SGD, Adam
from bncourse.training import CROSS_ENTROPY, Step, stages, train_step

N, D, H, K = 60, 90, 80, 10  # more than 2**12 values in each array between the layers

numba = pytest.mark.skipif(
    not compiled.available(), reason="Numba is not installed: the extra 'fast'"
)


def dense(n_in, n_out, seed, dtype="float32", **options):
    return nn.Dense(n_in, n_out, rng=seed, dtype=dtype, **options)


def course_net(dtype="float32"):
    return nn.Sequential(
        dense(D, H, 1, dtype, bias=False), nn.BatchNorm(H, dtype=dtype), nn.Sigmoid(),
        dense(H, H, 2, dtype), nn.BatchNorm(H, momentum=0.3, variance="biased", dtype=dtype),
        nn.Tanh(), dense(H, K, 3, dtype),
    )  # fmt: skip


class Doubled(nn.Dense):
    """A subclass: its methods count, not those of Dense."""

    def forward(self, x):
        y, cache = super().forward(x)
        return 2 * y, cache

    def backward(self, dy, cache):
        return super().backward(2 * dy, cache)


def shared():
    twice = dense(H, H, 4)
    return nn.Sequential(dense(D, H, 5), twice, nn.ReLU(), twice, dense(H, K, 6))


def patched():
    net = course_net()
    layer = net[3]
    layer.forward = lambda x: F.dense_forward(x, layer.w, None)
    return net


NETS = {
    "course": course_net,
    "double": lambda: course_net("float64"),
    "relu": lambda: nn.Sequential(dense(D, H, 1), nn.ReLU(), dense(H, K, 2)),
    "no parameters in the norm": lambda: nn.Sequential(
        dense(D, H, 1), nn.BatchNorm(H, affine=False), nn.ReLU(), dense(H, K, 2)
    ),
    "gamma alone, no statistics": lambda: nn.Sequential(
        dense(D, H, 1), nn.BatchNorm(H, affine="gamma", track_running_stats=False), dense(H, K, 2)
    ),
    "beta alone": lambda: nn.Sequential(
        dense(D, H, 1), nn.BatchNorm(H, affine="beta", axis=-1), dense(H, K, 2)
    ),
    "norms that are not plain": lambda: nn.Sequential(
        dense(D, H, 1),
        nn.BatchNorm(H, momentum=None),
        nn.ReLU(),
        dense(H, H, 2),
        nn.BatchNorm(H, virtual_batch_size=20),
        nn.ReLU(),
        dense(H, H, 3),
        nn.BatchNorm(H, on_nonfinite="skip"),
        nn.LayerNorm(H),
        dense(H, K, 4),
    ),  # fmt: skip
    "a norm first, of unknown size": lambda: nn.Sequential(
        nn.BatchNorm(None), nn.Flatten(), dense(D, K, 1)
    ),
    "nested": lambda: nn.Sequential(
        nn.Sequential(dense(D, H, 1), nn.BatchNorm(H)), nn.Sequential(nn.Tanh(), dense(H, K, 2))
    ),
    "residual": lambda: nn.Sequential(
        dense(D, H, 1),
        nn.Residual(nn.Sequential(dense(H, H, 2), nn.BatchNorm(H))),
        nn.ReLU(),
        dense(H, K, 3),
    ),  # fmt: skip
    "subclass": lambda: nn.Sequential(Doubled(D, H, rng=1), nn.ReLU(), dense(H, K, 2)),
    "shared": shared,
    "patched": patched,
    "a single layer": lambda: dense(D, K, 1),
    "nothing to learn first": lambda: nn.Sequential(nn.Sigmoid(), nn.Flatten(), dense(D, K, 1)),
    "frozen": lambda: nn.Sequential(dense(D, H, 1), nn.BatchNorm(H).freeze(), dense(H, K, 2)),
}


def data(rng, dtype="float32", n=N):
    return rng.standard_normal((n, D)).astype(dtype), rng.integers(K, size=n)


def dtype_of(net):
    return next(iter(net.parameters().values())).dtype


def assert_same(net, other, rtol):
    """Same parameters, buffers and gradients but for roundings, and the same kinds of arrays."""
    for a, b in ((net.state_dict(), other.state_dict()), (net.gradients(), other.gradients())):
        assert a.keys() == b.keys()
        for name, value in a.items():
            assert value.shape == b[name].shape and value.dtype == b[name].dtype, name
            scale = np.max(np.abs(b[name]), initial=1e-3)  # a bias before a norm has no gradient
            np.testing.assert_allclose(value, b[name], rtol=rtol, atol=rtol * scale, err_msg=name)


def trained(make, rng, steps=4, optimizer=lambda net: SGD(net, 0.1), loss=CROSS_ENTROPY, n=N):
    """A net trained by Step, and its twin trained by train_step, with their losses."""
    fast, plain = make(), make()
    step, slow = Step(fast, optimizer(fast), loss), optimizer(plain)
    losses = []
    for _ in range(steps):
        x, labels = data(rng, dtype_of(fast), n)
        losses.append((step(x, labels), train_step(plain, slow, x, labels, loss)))
    return fast, plain, np.array(losses), step


@pytest.mark.parametrize("name", NETS)
def test_the_same_training_as_by_plain_steps(name, rng):
    fast, plain, losses, _ = trained(NETS[name], rng)
    rtol = 1e-10 if dtype_of(fast) == "float64" else 2e-4
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=rtol)
    assert_same(fast, plain, rtol)


@numba
@pytest.mark.parametrize(
    "name, kinds",
    [
        ("course", "Dense Norm Sigmoid Dense Norm Tanh Dense"),
        ("double", "Dense Norm Sigmoid Dense Norm Tanh Dense"),
        ("norms that are not plain", "Dense . ReLU Dense . ReLU Dense Norm . Dense"),
        ("nested", "Dense Norm Tanh Dense"),
        ("residual", "Dense . ReLU Dense"),
        ("subclass", ". ReLU Dense"),
        ("shared", "Dense Dense ReLU Dense Dense"),
        ("patched", "Dense Norm Sigmoid . Norm Tanh Dense"),
        ("frozen", "Dense . Dense"),
    ],
)
def test_what_is_compiled(name, kinds, rng):
    *_, step = trained(NETS[name], rng, steps=1)
    found = [type(s).__name__.removesuffix("Stage").replace("Whole", ".") for s in step._stages]
    assert found == kinds.split()


@pytest.mark.parametrize(
    "name, optimizer",
    [
        ("course", lambda net: SGD(net, 0.1, momentum=0.9)),
        ("course", lambda net: SGD(net, 0.1, weight_decay=0.01)),
        ("course", lambda net: SGD(net, lambda t: 0.1 / (1 + t))),
        ("relu", lambda net: Adam(net, 0.001)),  # elsewhere it makes steps of rounding errors
    ],
)
def test_any_optimizer(name, optimizer, rng):
    fast, plain, losses, step = trained(NETS[name], rng, optimizer=optimizer)
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=1e-4)
    assert_same(fast, plain, 5e-4)
    assert step.optimizer.steps == 4
    state = step.optimizer.state_dict()
    assert all(state[f"count.{parameter}"] == 4 for parameter in fast.parameters())


def squares_forward(output, labels):
    d = output - np.eye(K)[labels]  # float64, and not contiguous in the way back
    return np.mean(d * d), np.asfortranarray(d)


@pytest.mark.parametrize("name", ["course", "relu", "nothing to learn first"])
def test_any_loss(name, rng):
    loss = squares_forward, lambda d: 2 * d / d.size
    fast, plain, losses, _ = trained(NETS[name], rng, loss=loss)
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=1e-4)
    for key, value in plain.state_dict().items():
        np.testing.assert_allclose(fast.state_dict()[key], value, rtol=2e-4, atol=2e-6)


def test_a_loss_whose_gradient_does_not_fit_is_told(rng):
    x, labels = data(rng)
    net = course_net()
    step = Step(net, SGD(net, 0.1), (lambda y, t: (0.0, y), lambda y: y[:, 1:]))
    with pytest.raises(ValueError, match="shape"):
        step(x, labels)


@numba
def test_the_same_bits_each_time_and_whatever_came_before(rng):
    x, labels = data(rng)
    other = data(rng)

    def run(before):
        net = course_net()
        step = Step(net, SGD(net, 0.0))
        if before:
            step(*other)
        net.load_state_dict(course_net().state_dict())
        step.optimizer.lr = 0.1
        step(x, labels)
        return net

    first, second = run(False), run(True)
    for name, value in first.parameters().items():
        assert np.array_equal(value, second.parameters()[name]), name


@numba
@pytest.mark.parametrize("net", ["course", "relu"])
def test_the_same_bits_on_one_thread_and_on_two(net, monkeypatch, rng):
    monkeypatch.setattr(kernels.threads, "WORTH_IT", 2**11)
    x, labels = data(rng)

    def run(threads):
        made = NETS[net]()
        with kernels.using(threads=threads):
            Step(made, SGD(made, 0.1))(x, labels)
        return made

    one, two = run(1), run(2)
    if net == "relu":  # where the norm is not compiled at once, roundings differ
        for name, value in one.parameters().items():
            assert np.array_equal(value, two.parameters()[name]), name
    assert_same(one, two, 2e-4)


def change_batch(net):
    return 70


def change_layers(net):
    net.layers = (*net.layers[:2], nn.ReLU(), *net.layers[3:])


def change_weights(net):
    net[0].w = net[0].w * 2
    net[4].gamma = net[4].gamma * 3
    net[6].b = net[6].b + 1


def change_dtype(net):
    net[3].w = net[3].w.astype("float64")


def change_norm(net):
    net[1].momentum = 0.7
    net[1].eps = 0.3
    net[4].variance = "unbiased"


def change_mode(net):
    net[1].eval()
    net[4].freeze()


def change_tracking(net):
    net[1].track_running_stats = False
    net[4].on_nonfinite = "skip"


def change_method(net):
    net[0].forward = lambda x: F.dense_forward(x, -net[0].w)


CHANGES = [
    change_batch, change_layers, change_weights, change_dtype, change_norm, change_mode,
    change_tracking,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_net_may_change_between_steps(change, rng):
    fast, plain = course_net(), course_net()
    step, optimizer = Step(fast, SGD(fast, 0.1)), SGD(plain, 0.1)
    for round_ in range(3):
        n = N
        if round_ == 1:
            n = change(fast) or N
            change(plain)
        x, labels = data(rng, n=n)
        a, b = step(x, labels), train_step(plain, optimizer, x, labels)
        np.testing.assert_allclose(a, b, rtol=1e-4)
    assert_same(fast, plain, 3e-4)


@numba
def test_a_layer_that_is_plain_again_is_compiled_again(rng):
    net = course_net()
    step = Step(net, SGD(net, 0.1))
    net[1].freeze()
    step(*data(rng))
    assert isinstance(step._stages[1], stages.Whole)
    net[1].unfreeze()
    step(*data(rng))
    assert isinstance(step._stages[1], stages.NormStage)


def test_running_statistics_that_you_hold_stay_as_they_were(rng):
    net = course_net()
    step = Step(net, SGD(net, 0.1))
    held = net[1].running_mean, net[1].running_var
    kept = copy.deepcopy(held)
    step(*data(rng))
    assert np.array_equal(held, kept)
    assert not np.array_equal(net[1].running_mean, kept[0])
    assert net[1].num_batches_tracked == 1


def test_an_input_that_is_not_contiguous(rng):
    fast, plain = course_net(), course_net()
    x, labels = data(rng)
    wide = np.repeat(x, 2, axis=1)[:, ::2]
    a = Step(fast, SGD(fast, 0.1))(wide, labels.astype("uint8"))
    assert a == pytest.approx(train_step(plain, SGD(plain, 0.1), wide, labels), rel=1e-5)
    assert_same(fast, plain, 2e-4)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_what_is_not_finite_or_huge_is_as_in_plain_steps(bad, rng):
    x, labels = data(rng)
    x[3, 5] = bad
    make = lambda: nn.Sequential(nn.BatchNorm(D), nn.Sigmoid(), dense(D, K, 1))  # noqa: E731
    fast, plain = make(), make()
    a = Step(fast, SGD(fast, 0.1))(x, labels)
    b = train_step(plain, SGD(plain, 0.1), x, labels)
    np.testing.assert_allclose(a, b, rtol=1e-5)
    for name, value in plain.state_dict().items():
        np.testing.assert_allclose(fast.state_dict()[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_constant_channels(constant, rng):
    x, labels = data(rng)
    x[:, :7] = constant
    make = lambda: nn.Sequential(nn.BatchNorm(D, eps=1e-12), dense(D, K, 1))  # noqa: E731
    fast, plain = make(), make()
    Step(fast, SGD(fast, 0.1))(x, labels)
    train_step(plain, SGD(plain, 0.1), x, labels)
    assert_same(fast, plain, 2e-4)


def test_a_gradient_too_large_for_float32_goes_the_general_way(rng):
    x, labels = data(rng)
    x[:, 0] *= 1e-20  # an inv_std that no product in float32 should meet
    make = lambda: nn.Sequential(nn.BatchNorm(D, eps=2e-30), dense(D, K, 1))  # noqa: E731
    fast, plain = make(), make()
    Step(fast, SGD(fast, 0.1))(x, labels)
    train_step(plain, SGD(plain, 0.1), x, labels)
    assert_same(fast, plain, 2e-4)


@pytest.mark.parametrize(
    "spoil, kind, message",
    [
        (lambda x, t: (x[:, 1:], t), ValueError, "x has shape"),
        (lambda x, t: (x.astype(int), t), TypeError, "x has dtype int64"),
        (lambda x, t: (x[:1], t[:1]), ValueError, "one value per channel"),
        (lambda x, t: (x, t + 1), ValueError, "labels must lie in 0 to 9"),
        (lambda x, t: (x, -t), ValueError, "labels must lie in 0 to 9"),
        (lambda x, t: (x, t[1:]), ValueError, "labels"),
        (lambda x, t: (x, t[:-1]), ValueError, "labels"),  # behind which lies a good one
        (lambda x, t: (x, t / 2), TypeError, "labels must be integers"),
        (lambda x, t: (x, t.tolist()), TypeError, "labels"),
        (lambda x, t: (x.tolist(), t), TypeError, "x"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_bad_input_is_told_and_no_parameter_changes(spoil, kind, message, first, rng):
    x, labels = data(rng)
    labels[0] = K - 1
    net = course_net()
    step = Step(net, SGD(net, 0.1))
    if not first:
        step(x, labels)
    before = net.state_dict()
    with pytest.raises(kind, match=message):
        step(*spoil(x, labels))
    for name, value in net.parameters().items():
        assert np.array_equal(value, before[name]), name
    assert np.isfinite(step(x, labels))  # and all is well again


@pytest.mark.parametrize("way", ["never", "numpy"])
def test_without_numba_it_is_the_plain_step(way, rng):
    with kernels.using(way):
        fast, plain, losses, step = trained(course_net, rng)
    assert np.array_equal(losses[:, 0], losses[:, 1])
    assert all(map(np.array_equal, fast.parameters().values(), plain.parameters().values()))
    assert step._stages is None


def test_numba_that_cannot_be_imported_is_not_asked_for(monkeypatch, rng):
    monkeypatch.setattr(compiled, "available", lambda: False)
    fast, plain, losses, step = trained(course_net, rng)
    assert np.array_equal(losses[:, 0], losses[:, 1])
    assert all(isinstance(stage, stages.Whole) for stage in step._stages)


def test_small_nets_do_not_wait_for_numba():
    code = """
import sys, numpy as np
from bncourse import nn
from bncourse.optim import SGD
from bncourse.training import Step
net = nn.Sequential(nn.Dense(3, 20), nn.BatchNorm(20), nn.ReLU(), nn.Dense(20, 2))
Step(net, SGD(net, 0.1))(np.ones((30, 3), "float32"), np.zeros(30, int))
sys.exit("numba" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("labels", ["int64", "int32", "uint8"])
@pytest.mark.parametrize("m", [1, 7, 2000])
def test_the_loss_at_any_size(m, labels, rng):
    if m == 1:
        make = lambda: dense(5000, K, 1)  # noqa: E731
        x = rng.standard_normal((1, 5000)).astype("float32")
    else:
        make = lambda: dense(D * 10, K, 1)  # noqa: E731
        x = rng.standard_normal((m, D * 10)).astype("float32")
    targets = rng.integers(K, size=m).astype(labels)
    fast, plain = make(), make()
    a = Step(fast, SGD(fast, 0.1))(x, targets)
    assert a == pytest.approx(train_step(plain, SGD(plain, 0.1), x, targets), rel=1e-5)
    assert_same(fast, plain, 2e-4)


def after(change, rng, make=course_net, optimizer=lambda net: SGD(net, 0.1)):
    """A net and its twin after three steps each, before the second of which there is a change."""
    fast, plain = make(), make()
    step, slow = Step(fast, optimizer(fast)), optimizer(plain)
    for i in range(3):
        if i == 1:
            change(fast)
            change(plain)
        x, labels = data(rng)
        step(x, labels)
        train_step(plain, slow, x, labels)
    return fast, plain


SETTINGS = [
    ("training", False), ("frozen", True), ("virtual_batch_size", 20), ("momentum", 0.7),
    ("momentum", None), ("momentum", 1.0), ("eps", 0.3), ("variance", "unbiased"),
    ("track_running_stats", False), ("on_nonfinite", "skip"), ("on_nonfinite", "raise"),
]  # fmt: skip


@pytest.mark.parametrize("name, value", SETTINGS)
def test_each_setting_of_a_norm_may_change(name, value, rng):
    assert_same(*after(lambda net: setattr(net[4], name, value), rng), 3e-4)


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e38])
def test_a_norm_that_skips_or_raises_where_something_is_not_finite(bad, rng):
    x, labels = data(rng)
    x[3, 5] = bad
    for way in ("skip", "raise"):
        make = lambda: nn.Sequential(nn.BatchNorm(D, on_nonfinite=way), dense(D, K, 1))  # noqa: E731, B023
        fast, plain = make(), make()
        told = []
        for net, run in ((fast, Step(fast, SGD(fast, 0.0))), (plain, None)):
            try:
                run(x, labels) if run else train_step(net, SGD(net, 0.0), x, labels)
            except ValueError as error:
                told.append(str(error))
        assert len(told) in (0, 2) and len(set(told)) <= 1
        for name, value in plain.state_dict().items():
            np.testing.assert_allclose(fast.state_dict()[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("dtype, scale", [("float32", 1e25), ("float64", 1e200)])
def test_gradients_where_squares_overflow(dtype, scale, rng):
    fast, plain = (nn.Sequential(nn.BatchNorm(D), dense(D, K, 1)) for _ in range(2))
    for net in (fast, plain):
        for layer in net.layers:
            for name in layer.parameter_names:
                setattr(layer, name, getattr(layer, name).astype(dtype))
        for name in ("running_mean", "running_var"):
            setattr(net[0], name, getattr(net[0], name).astype(dtype))
    step, optimizer = Step(fast, SGD(fast, 0.1)), SGD(plain, 0.1)
    for factor in (1, scale, 1, scale):
        x, labels = data(rng, dtype)
        x[:, :7] *= factor
        step(x, labels)
        train_step(plain, optimizer, x, labels)
        assert np.all(np.abs(plain[0].grads["gamma"]) > 1e-9)
        for name, value in plain.gradients().items():
            np.testing.assert_allclose(
                fast.gradients()[name], value, rtol=1e-3, atol=1e-6, err_msg=name
            )


def test_channels_along_the_rows_of_a_square(rng):
    fast, plain = (nn.Sequential(nn.BatchNorm(D), dense(D, K, 1)) for _ in range(2))
    step, optimizer = Step(fast, SGD(fast, 0.1)), SGD(plain, 0.1)
    for axis in (0, 1, 0):
        fast[0].axis = plain[0].axis = axis
        x, labels = data(rng, n=D)
        step(x, labels)
        train_step(plain, optimizer, x, labels)
        assert_same(fast, plain, 3e-4)


def test_one_example_is_too_few_for_a_norm_of_any_size(rng):
    net = nn.Sequential(nn.BatchNorm(5000), dense(5000, K, 1))
    with pytest.raises(ValueError, match="one value per channel"):
        Step(net, SGD(net, 0.1))(np.ones((1, 5000), "float32"), np.zeros(1, int))


@pytest.mark.parametrize("name", ["w", "b"])
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_one_parameter_of_a_dense_layer_may_change_its_dtype(name, dtype, rng):
    change = lambda net: setattr(net[3], name, getattr(net[3], name).astype(dtype))  # noqa: E731
    assert_same(*after(change, rng), 3e-3)


@pytest.mark.parametrize("name", ["gamma", "beta", "running_mean", "running_var"])
def test_each_array_of_a_norm_may_change(name, rng):
    assert_same(*after(lambda net: setattr(net[4], name, getattr(net[4], name) + 1), rng), 3e-4)


def change_net_method(net):
    net.forward = lambda x: nn.Sequential.forward(net, 1 - x)


def change_first_backward(net):
    net[0].backward = net[0].accumulate = lambda dy, cache: net[1].add_gradients(b=dy[0, :K])


CHANGES_OF_METHODS = [
    (change_method, course_net),
    (change_net_method, course_net),
    (change_first_backward, lambda: nn.Sequential(nn.Tanh(), dense(D, K, 1))),
]


@pytest.mark.parametrize("change, make", CHANGES_OF_METHODS)
def test_a_method_may_be_put_into_a_layer_or_net(change, make, rng):
    assert_same(*after(change, rng, make), 3e-4)


def test_layers_may_be_a_list_that_changes(rng):
    def make():
        net = course_net()
        net.layers = list(net.layers)
        return net

    def change(net):
        net.layers[2] = nn.ReLU()

    assert_same(*after(change, rng, make), 3e-4)


def test_a_layer_that_comes_to_be_shared_inside_of_another(rng):
    def make():
        branch = nn.Residual(dense(H, H, 8))
        return nn.Sequential(dense(D, H, 1), dense(H, H, 2), branch, nn.ReLU(), dense(H, K, 3))

    def change(net):
        net[2].branch = net[1]

    assert_same(*after(change, rng, make), 3e-4)


class Lazy(nn.Module):
    """A layer that makes what it learns when it sees the first input."""

    inner = None

    def children(self):
        return {} if self.inner is None else {"inner": self.inner}

    def forward(self, x):
        if self.inner is None:
            self.inner = dense(x.shape[1], H, 4)
        return self.inner.forward(x)

    def backward(self, dy, cache):
        return self.inner.backward(dy, cache)


def test_a_first_layer_that_learns_only_later(rng):
    make = lambda: nn.Sequential(Lazy(), nn.ReLU(), dense(H, K, 3))  # noqa: E731
    assert_same(*after(lambda net: None, rng, make), 3e-4)


class Tied(nn.Module):
    """Multiplies by the transposed weights of another layer, and adds to its gradient."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    def forward(self, x):
        return F.dense_forward(x, self.other.w.T)

    def backward(self, dy, cache):
        dx, dw, _ = F.dense_backward(dy, cache)
        self.other.add_gradients(w=dw.T)
        return dx


def test_gradients_that_another_layer_adds_are_kept(rng):
    def make():
        first = dense(D, H, 1)
        return nn.Sequential(first, nn.Tanh(), Tied(first), nn.ReLU(), dense(D, K, 2))

    assert_same(*after(lambda net: None, rng, make), 3e-4)


class Keeper(nn.Module):
    """Does nothing, but keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def keep(self, a):
        self.kept.append((a, a.copy()))
        return a.copy()

    def forward(self, x):
        return self.keep(x), None

    def backward(self, dy, cache):
        return self.keep(dy)


def test_what_layers_and_losses_of_your_own_keep_is_not_written_over(rng):
    inner, outer, of_loss = Keeper(), Keeper(), Keeper()
    net = nn.Sequential(
        outer, dense(D, H, 1), nn.ReLU(), nn.Residual(inner), dense(H, K, 2), nn.Tanh()
    )  # fmt: skip
    first = Keeper()
    net.layers = (first, *net.layers)
    loss = lambda y, t: (np.mean(of_loss.keep(y)), y), lambda y: y / y.size  # noqa: E731
    step = Step(net, SGD(net, 0.1), loss)
    for _ in range(3):
        step(*data(rng))
    for keeper, n in ((first, 6), (outer, 6), (inner, 6), (of_loss, 3)):
        assert len(keeper.kept) == n
        assert all(np.array_equal(a, b) for a, b in keeper.kept)


@pytest.mark.parametrize("patched", [True, False])
def test_a_layer_that_keeps_may_come_later(patched, rng):
    keeper = Keeper()
    net = nn.Sequential(dense(D, H, 1), nn.ReLU(), nn.Residual(nn.Identity()), dense(H, K, 2))
    net[2].branch.kept = []  # as many attributes as a keeper
    step = Step(net, SGD(net, 0.1))
    step(*data(rng))
    if patched:
        net[2].branch.forward = lambda x: (keeper.keep(x), x)
    else:
        net[2].branch = keeper
    for _ in range(3):
        step(*data(rng))
    assert len(keeper.kept) >= 3
    assert all(np.array_equal(a, b) for a, b in keeper.kept)


def test_after_something_that_is_no_layer_all_is_well_again(rng):
    net = course_net()
    step = Step(net, SGD(net, 0.1))
    step(*data(rng))
    layers, net.layers = net.layers, (*net.layers, None)
    with pytest.raises(AttributeError):
        step(*data(rng))
    net.layers = layers
    assert np.isfinite(step(*data(rng)))


def shared_norm():
    norm, act = nn.BatchNorm(H), nn.Tanh()
    return nn.Sequential(dense(D, H, 1), norm, act, dense(H, H, 2), norm, act, dense(H, K, 3))


def test_a_norm_and_an_activation_in_two_places(rng):
    assert_same(*after(lambda net: None, rng, shared_norm), 3e-4)


def test_a_loss_may_write_into_the_output(rng):
    def forward(y, t):
        before = y.copy()
        y -= 1
        return np.mean(y), before

    loss = forward, lambda y: y / y.size
    make = lambda: nn.Sequential(dense(D, H, 1), nn.ReLU())  # noqa: E731
    fast, plain, _, _ = trained(make, rng, loss=loss)
    assert_same(fast, plain, 3e-4)


COPIES = [copy.copy, copy.deepcopy, lambda step: pickle.loads(pickle.dumps(step))]


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_of_a_step_trains_its_own_net(copied, rng):
    net = course_net()
    step = Step(net, SGD(net, 0.1))
    step(*data(rng))
    other = copied(step)
    plain = copy.deepcopy(other.net)
    optimizer = SGD(plain, 0.1)
    for _ in range(2):
        x, labels = data(rng)
        other(x, labels)
        train_step(plain, optimizer, x, labels)
    assert_same(other.net, plain, 3e-4)
    assert (other.net is net) == (copied is copy.copy)
    assert (other._ending is None) == (step._ending is None)  # the same loss, and as fast


def a_short_bias(net):
    net[3].b = np.ones(3, "float32")


def a_short_gamma(net):
    net[1].gamma = np.ones(3, "float32")


def short_statistics(net):
    net[1].running_var = np.ones(3, "float32")


def an_infinite_eps(net):
    net[4].eps = np.inf


@pytest.mark.parametrize(
    "spoil, kind, message",
    [
        (a_short_bias, ValueError, "b has shape"),
        (a_short_gamma, ValueError, "gamma has shape"),
        (short_statistics, ValueError, "shape"),
        (an_infinite_eps, ValueError, "eps must be finite"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_layer_that_is_not_right_is_told(spoil, kind, message, first, rng):
    x, labels = data(rng)
    net = course_net()
    step = Step(net, SGD(net, 0.1))
    if not first:
        step(x, labels)
    spoil(net)
    before = net.state_dict()
    with pytest.raises(kind, match=message):
        step(x, labels)
    for name, value in net.parameters().items():
        assert np.array_equal(value, before[name]), name


def test_statistics_of_the_last_batch_alone_forget_an_infinity(rng):
    def make():
        norm = nn.BatchNorm(H, momentum=1.0)
        norm.running_var[:] = np.inf
        return nn.Sequential(dense(D, H, 1), norm, dense(H, K, 2))

    fast, plain = after(lambda net: None, rng, make)
    assert np.isfinite(fast[1].running_var).all()
    assert_same(fast, plain, 3e-4)


def test_statistics_of_another_dtype(rng):
    def make():
        norm = nn.BatchNorm(H, affine=False, dtype="float16")
        return nn.Sequential(dense(D, H, 1), norm, dense(H, K, 2))

    assert_same(*after(lambda net: None, rng, make), 1e-3)


class Given(nn.Module):
    """Passes on what a function makes of its input."""

    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, x):
        return self.made(x), x.dtype

    def backward(self, dy, cache):
        return dy.astype(cache)


@pytest.mark.parametrize("dtype", ["float16", "longdouble", ">f4", ">f8"])
def test_logits_of_a_dtype_that_no_loop_takes(dtype, rng):
    make = lambda: nn.Sequential(dense(D, H, 1), nn.ReLU(), dense(H, K, 2), Given(to))  # noqa: E731
    to = lambda x: x.astype(dtype)  # noqa: E731
    assert_same(*after(lambda net: None, rng, make), 3e-3)


@pytest.mark.parametrize("last", [True, False])
def test_a_layer_that_gives_no_array_is_told_as_in_plain_steps(last, rng):
    layers = [dense(D, H, 1), nn.ReLU(), Given(np.ndarray.tolist)]
    net = nn.Sequential(*layers, *([] if last else [dense(H, K, 2)]))
    with pytest.raises(TypeError, match="must be an array, not list"):
        Step(net, SGD(net, 0.1))(*data(rng))


@numba
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_large_norm_has_the_same_bits_whatever_the_threads_and_before(dtype, monkeypatch, rng):
    monkeypatch.setattr(kernels.threads, "WORTH_IT", 2**11)
    x, labels = data(rng, dtype, n=300)

    def run(before, threads):
        net = course_net(dtype)
        step = Step(net, SGD(net, 0.0))
        with kernels.using(threads=before):
            step(x, labels)
        net.load_state_dict(course_net(dtype).state_dict())
        step.optimizer.lr = 0.1
        with kernels.using(threads=threads):
            for _ in range(3):
                step(x, labels)
        assert isinstance(step._stages[1], stages.Whole)  # which knows of threads
        return net.state_dict()

    want = run(1, 1)
    for got in (run(1, 2), run(2, 2)):
        for name, value in want.items():
            assert np.array_equal(value, got[name]), name


@numba
def test_beside_layers_with_threads_of_their_own_small_products_take_one(monkeypatch, rng):
    used = []
    monkeypatch.setattr(stages, "one_thread", lambda: used.append(1) or nullcontext())

    def calls(n, *layers):
        used.clear()
        trained(lambda: nn.Sequential(dense(D, H, 1), *layers, dense(H, K, 2)), rng, steps=1, n=n)
        return len(used)

    assert calls(N, nn.ReLU()) == 0
    assert calls(N, nn.LayerNorm(H)) == 5  # three products a layer, but for the first gradient
    assert calls(2000, nn.LayerNorm(H)) == 3  # those of the first layer are large by then

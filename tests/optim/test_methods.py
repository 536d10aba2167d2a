import math

import numpy as np
import pytest

from bncourse import kernels, nn
from bncourse.optim import NORM_AND_BIAS, SGD, Adam, schedules


def network(dtype="float64"):
    return nn.Sequential(nn.Dense(3, 4, dtype=dtype), nn.BatchNorm(4, dtype=dtype), nn.ReLU())


def give(net, gradients):
    """Gradients by dotted name, in place of those that ``net`` has."""
    net.zero_grad()
    modules = dict(net.modules())
    for name, gradient in gradients.items():
        prefix, dot, last = name.rpartition(".")
        modules[prefix + dot].add_gradients(**{last: gradient})


def some_gradients(net, rng, steps):
    return [
        {n: rng.standard_normal(p.shape).astype(p.dtype) for n, p in net.parameters().items()}
        for _ in range(steps)
    ]


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


# The recurrences, number by number, with Python's floats.


def sgd_by_hand(theta, gradients, lr, momentum=0, nesterov=False, decay=0, decoupled=False):
    v = None
    for g in gradients:
        if decoupled:
            theta = theta - lr * decay * theta
        else:
            g = g + decay * theta
        v = g if v is None else momentum * v + g
        theta = theta - lr * (g + momentum * v if nesterov else v)
    return theta


def adam_by_hand(theta, gradients, lr, betas=(0.9, 0.999), eps=1e-8, decay=0, decoupled=False):
    m = v = 0
    for t, g in enumerate(gradients, start=1):
        if decoupled:
            theta = theta - lr * decay * theta
        else:
            g = g + decay * theta
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        theta = theta - lr * m_hat / (math.sqrt(v_hat) + eps)
    return theta


DECAYS = [{}, {"weight_decay": 0.3}, {"weight_decay": 0.3, "decoupled": True}]
CASES = [
    (SGD, sgd_by_hand, {"lr": 0.1, **options, **decay})
    for options in ({}, {"momentum": 0.9}, {"momentum": 0.7, "nesterov": True})
    for decay in DECAYS
] + [
    (Adam, adam_by_hand, {"lr": 0.02, **options, **decay})
    for options in ({}, {"betas": (0.5, 0.8), "eps": 0.01})
    for decay in DECAYS
]


@pytest.mark.parametrize("kind, by_hand, options", CASES)
def test_steps_follow_the_recurrence(home, rng, kind, by_hand, options):
    place, dtype = home
    layer = nn.Dense(3, 2, dtype="float64")
    start = layer.w.astype(dtype)
    layer.w, layer.b = place.put(start.copy()), None
    gradients = rng.standard_normal((6, 3, 2)).astype(dtype)
    optimizer = kind(layer, **options)
    for g in gradients:
        give(layer, {"w": place.put(g)})
        optimizer.step()
    names = {"weight_decay": "decay"}
    by_hand_options = {names.get(name, name): value for name, value in options.items()}
    expected = np.empty_like(start, "float64")
    for i in np.ndindex(start.shape):
        numbers = [float(g[i]) for g in gradients]
        expected[i] = by_hand(float(start[i]), numbers, **by_hand_options)
    digits = {"float64": 1e-13, "float32": 2e-6, "float16": 6e-3}[dtype]
    found = place.get(layer.w)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype("float64"), expected, digits, digits)


def test_half_precision_is_remembered_in_single():
    """A square of 1e-4 and an eps of 1e-8 are both 0 in float16: Adam would divide by 0."""
    layer = nn.Dense(1, 1, bias=False, std=0, dtype="float16")
    give(layer, {"w": np.full((1, 1), 1e-4, "float16")})
    Adam(layer, 0.5).step()
    assert layer.w == -0.5 and layer.w.dtype == "float16"


def test_the_first_adam_step_has_the_size_of_the_rate_whatever_the_gradient():
    for size in (1e-3, 1.0, 1e6):
        layer = nn.Dense(2, 1, bias=False, std=0, dtype="float64")
        give(layer, {"w": np.array([[size], [-size]])})
        Adam(layer, 0.25).step()
        np.testing.assert_allclose(layer.w.ravel(), [-0.25, 0.25], 1e-4)


@pytest.mark.parametrize("kind", [SGD, Adam])
@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize(
    "exempt, spared",
    [
        ((), set()),
        (NORM_AND_BIAS, {"0.b", "1.gamma", "1.beta"}),
        (["gamma"], {"1.gamma"}),
        (("0.b", "amma"), {"0.b"}),  # whole parts of a name
        (lambda name: name.startswith("0"), {"0.w", "0.b"}),
    ],
)
def test_weight_decay_spares_what_is_exempt(kind, decoupled, exempt, spared):
    net = network()
    for parameter in net.parameters().values():
        parameter[...] = 2
    give(net, {name: np.zeros(p.shape) for name, p in net.parameters().items()})
    kind(net, 0.5, weight_decay=0.1, decoupled=decoupled, exempt=exempt).step()
    same = {name for name, p in net.parameters().items() if np.all(p == 2)}
    assert same == spared
    assert all(np.all(p < 2) for n, p in net.parameters().items() if n not in spared)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_parameter_without_gradient_stays_even_with_decay_and_memory(kind, rng):
    net = network()
    optimizer = kind(net, 0.1, weight_decay=0.1, **({"momentum": 0.9} if kind is SGD else {}))
    first, second = some_gradients(net, rng, 2)
    give(net, first)
    optimizer.step()
    before = net[1].gamma.copy()
    del second["1.gamma"]
    give(net, second)
    optimizer.step()
    assert np.array_equal(net[1].gamma, before)
    assert optimizer.steps == 2


def test_adam_counts_the_steps_of_each_parameter(rng):
    """A parameter that comes later is corrected for its own start: as in PyTorch."""
    net = network()
    optimizer = Adam(net, 0.1)
    first, second = some_gradients(net, rng, 2)
    late, start = second["1.beta"], net[1].beta.copy()
    del first["1.beta"]
    for gradients in (first, second):
        give(net, gradients)
        optimizer.step()
    expected = [adam_by_hand(s, [g], 0.1) for s, g in zip(start, late, strict=True)]
    np.testing.assert_allclose(net[1].beta, expected, 1e-13)


def test_parameters_may_appear_after_the_optimizer(rng):
    net = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(None))
    optimizer = SGD(net, 0.1, momentum=0.9)
    assert "1.gamma" not in net.parameters()
    y, cache = net.forward(rng.standard_normal((5, 3)).astype("float32"))
    net.backward(rng.standard_normal(y.shape).astype("float32"), cache)
    optimizer.step()
    assert not np.array_equal(net[1].gamma, np.ones(4))


@pytest.mark.parametrize("kind, options", [(SGD, {"momentum": 0.9}), (Adam, {})])
def test_memory_moves_to_where_the_parameters_are(kind, options, rng):
    from places import PLACES

    place = PLACES["device1"]
    here, moving = (nn.Dense(3, 2, bias=False, dtype="float64") for _ in range(2))
    optimizers = kind(here, 0.1, **options), kind(moving, 0.1, **options)
    for n in range(4):
        if n == 2:
            moving.w = place.put(moving.w)
        g = rng.standard_normal((3, 2))
        give(here, {"w": g})
        give(moving, {"w": place.put(g) if n >= 2 else g})
        for optimizer in optimizers:
            optimizer.step()
    assert np.array_equal(place.get(moving.w), here.w)


def test_memory_is_no_view_of_a_gradient(rng):
    layer = nn.Dense(2, 1, bias=False, std=0, dtype="float64")
    optimizer = SGD(layer, 1, momentum=0.5)
    gradient = np.ones((2, 1))
    give(layer, {"w": gradient})
    optimizer.step()
    gradient[...] = 100
    give(layer, {"w": np.zeros((2, 1))})
    optimizer.step()
    assert layer.w.ravel().tolist() == [-1.5, -1.5]


def test_a_schedule_is_asked_with_the_steps_done():
    layer = nn.Dense(1, 1, bias=False, std=0, dtype="float64")
    asked = []

    def schedule(step):
        asked.append(step)
        return [1.0, 0.5, 0.25][step]

    optimizer = SGD(layer, schedule)
    for _ in range(3):
        give(layer, {"w": np.ones((1, 1))})
        optimizer.step()
    assert asked == [0, 1, 2] and layer.w == -1.75


def test_a_schedule_that_gives_no_rate_changes_nothing():
    layer = nn.Dense(1, 1, std=0)
    layer.add_gradients(w=np.ones((1, 1), "float32"))
    optimizer = SGD(layer, lambda step: math.nan)
    with pytest.raises(ValueError, match="lr must be finite and at least 0, not nan"):
        optimizer.step()
    assert layer.w == 0 and optimizer.steps == 0


def test_a_gradient_that_does_not_fit_changes_nothing():
    net = network()
    before = net.state_dict()
    give(net, {"0.w": np.ones((3, 4)), "1.gamma": np.ones(1)})
    with pytest.raises(ValueError, match=r"1.gamma has shape \(4,\), but its gradient \(1,\)"):
        Adam(net).step()
    assert all(np.array_equal(before[name], a) for name, a in net.state_dict().items())


OPTIMIZERS = [
    lambda net: SGD(net, 0.1),
    lambda net: SGD(net, schedules.exponential(0.1, 0.9), momentum=0.9, nesterov=True),
    lambda net: Adam(net, 0.01, weight_decay=0.1, decoupled=True, exempt=NORM_AND_BIAS),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_a_state_brings_everything_back(make, rng):
    net, other = network("float32"), network("float32")
    optimizer, resumed = make(net), make(other)
    gradients = some_gradients(net, rng, 7)
    for g in gradients[:4]:
        give(net, g)
        optimizer.step()
    other.load_state_dict(net.state_dict())
    resumed.load_state_dict(optimizer.state_dict())
    for g in gradients[4:]:
        for n, o in ((net, optimizer), (other, resumed)):
            give(n, g)
            o.step()
    assert all(np.array_equal(p, other.parameters()[n]) for n, p in net.parameters().items())
    assert resumed.steps == 7


def test_a_state_is_a_copy(rng):
    net = network()
    optimizer = SGD(net, 0.1, momentum=0.9)
    give(net, some_gradients(net, rng, 1)[0])
    optimizer.step()
    state = optimizer.state_dict()
    kept = state["velocity.0.w"].copy()
    for _ in range(2):  # neither giving nor taking shares memory
        optimizer.step()
        assert np.array_equal(state["velocity.0.w"], kept)
        optimizer.load_state_dict(state)


def test_a_rate_that_was_set_is_part_of_the_state_but_not_of_the_settings():
    optimizer, other = SGD(nn.Tanh(), 0.1), SGD(nn.Tanh(), 0.1)
    optimizer.lr = 0.025
    assert optimizer.settings() == other.settings()
    other.load_state_dict(optimizer.state_dict())
    assert other.lr == 0.025


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda s: s.pop("steps"), "missing: steps"),
        (lambda s: s.update({"velocity.5.w": s["velocity.0.w"]}), "no place for: velocity.5.w"),
        (lambda s: s.update({"square.0.w": s["velocity.0.w"]}), "no place for: square.0.w"),
        (lambda s: s.update({"velocity.0.b": np.zeros(7)}), r"velocity.0.b is \(7,\), not \(4,\)"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, words, rng):
    net = network()
    optimizer = SGD(net, 0.1, momentum=0.9)
    give(net, some_gradients(net, rng, 1)[0])
    optimizer.step()
    state, before = optimizer.state_dict(), optimizer.state_dict()
    state |= {"steps": np.asarray(9), "lr": np.asarray(3.0)}
    change(state)
    with pytest.raises(ValueError, match=words):
        optimizer.load_state_dict(state)
    assert all(np.array_equal(before[name], a) for name, a in optimizer.state_dict().items())


@pytest.mark.parametrize("lr", [-0.1, float("nan"), float("inf")])
def test_a_rate_out_of_range_is_told(lr):
    with pytest.raises(ValueError, match="lr must be finite and at least 0, not"):
        SGD(nn.Tanh(), lr)


@pytest.mark.parametrize("lr", [None, "0.1", True])
def test_a_rate_that_is_no_number_is_told(lr):
    with pytest.raises(TypeError, match="lr must be a number, not"):
        SGD(nn.Tanh(), lr)


@pytest.mark.parametrize(
    "kind, options, error, message",
    [
        (SGD, {"lr": 1, "momentum": 1.5}, ValueError, r"momentum must lie in \[0, 1\], not 1.5"),
        (SGD, {"lr": 1, "nesterov": True}, ValueError, "nesterov needs a momentum above 0"),
        (SGD, {"lr": 1, "weight_decay": -1}, ValueError, "weight_decay must be finite and at lea"),
        (Adam, {"exempt": "gamma"}, TypeError, "exempt must be a tuple of names .* not 'gamma'"),
        (Adam, {"exempt": (1,)}, TypeError, "exempt must be a tuple of names"),
        (Adam, {"betas": 0.9}, TypeError, "betas must be two numbers"),
        (Adam, {"betas": (0.9, 1)}, ValueError, "betas must be less than 1"),
        (Adam, {"betas": (-1, 0.9)}, ValueError, r"betas must lie in \[0, 1\], not -1"),
        (Adam, {"eps": 0}, ValueError, "eps must be positive, not 0"),
    ],
)
def test_bad_options(kind, options, error, message):
    with pytest.raises(error, match=message):
        kind(nn.Tanh(), **options)


class Signed(SGD):
    def _change(self, name, gradient, rate):
        return rate * np.sign(gradient)


def test_a_subclass_has_its_own_step(rng):
    layer = nn.Dense(80, 80, std=0)
    layer.add_gradients(w=rng.standard_normal((80, 80)).astype("float32"))
    Signed(layer, 0.5).step()
    assert np.array_equal(layer.w, -0.5 * np.sign(layer.grads["w"]))


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}])
def test_a_parameter_that_is_read_only_is_told_before_any_changes(options):
    net = nn.Sequential(nn.Dense(80, 80), nn.Dense(80, 80))
    net[1].w.setflags(write=False)
    before = net.state_dict()
    for layer in net.layers:
        layer.add_gradients(w=np.ones_like(layer.w))
    optimizer = SGD(net, 0.5, **options)
    with pytest.raises(ValueError, match="1.w is read-only"):
        optimizer.step()
    assert all(np.array_equal(a, before[n]) for n, a in net.parameters().items())
    assert optimizer.steps == 0 and set(optimizer.state_dict()) == {"steps", "lr"}


@pytest.mark.parametrize("kind", [lambda net: SGD(net, 0.1, momentum=0.9), Adam])
def test_a_memory_of_another_shape_is_told_before_any_parameter_changes(kind):
    net = nn.Sequential(nn.Dense(3, 4), nn.Dense(4, 5))
    optimizer = kind(net)

    def give_ones():
        for layer in net.layers:
            layer.add_gradients(w=np.ones_like(layer.w))

    give_ones()
    optimizer.step()
    net.layers = (nn.Dense(3, 4), nn.Dense(4, 3), nn.Dense(3, 5))
    give_ones()
    before = net.state_dict()
    with pytest.raises(ValueError, match=r"1.w has shape \(4, 3\), but its .* \(4, 5\)"):
        optimizer.step()
    assert all(np.array_equal(a, before[n]) for n, a in net.parameters().items())


OPTIONS = [{}, {"momentum": 0.9}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled": True}]
ARRAYS = {
    "usual": (lambda w: w, lambda g: g),
    "a parameter by columns": (np.asfortranarray, lambda g: g),
    "a gradient by columns": (lambda w: w, np.asfortranarray),
    "a wide gradient": (lambda w: w, lambda g: g.astype("float64")),
    "half precision": (lambda w: w.astype("float16"), lambda g: g),
    "another byte order": (lambda w: w.astype(">f4"), lambda g: g.astype(">f4")),
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", ARRAYS)
def test_large_parameters_move_as_without_kernels(name, options, rng):
    of_parameter, of_gradient = ARRAYS[name]
    gradient = rng.standard_normal((80, 70)).astype("float32")
    results = []
    for fused in ("auto", "never"):
        layer = nn.Dense(80, 70)
        layer.w = of_parameter(layer.w)
        layer.add_gradients(w=of_gradient(gradient))
        optimizer = SGD(layer, 0.1, **options)
        with kernels.using(fused):
            for _ in range(2):
                optimizer.step()
        results.append(layer.w)
    assert results[0].dtype == results[1].dtype
    np.testing.assert_allclose(*(w.astype("float64") for w in results), rtol=1e-5, atol=1e-6)

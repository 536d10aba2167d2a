"""Exchange with other libraries, by literal examples and round trips; none of them is needed."""

import subprocess
import sys

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import interop, nn

NAMES = {
    "torch": ("weight", "bias", "running_mean", "running_var"),
    "keras": ("gamma", "beta", "moving_mean", "moving_variance"),
    "flax": ("scale", "bias", "mean", "var"),
    "onnx": ("scale", "B", "input_mean", "input_var"),
}
VALUES = [np.array(v, "float32") for v in ([2, -1], [0, 3], [5, 6], [4, 0.25])]


def example(library):
    return dict(zip(NAMES[library], VALUES, strict=True))


@pytest.mark.parametrize(
    ("library", "eps", "momentum", "variance", "axis"),
    [
        ("torch", 1e-5, 0.1, "unbiased", 1),
        ("keras", 1e-3, 0.01, "biased", -1),
        ("flax", 1e-5, 0.01, "biased", -1),
        ("onnx", 1e-5, 0.1, "biased", 1),
    ],
)
def test_what_is_not_said_is_the_default_of_that_library(library, eps, momentum, variance, axis):
    layer = interop.batch_norm_from(library, example(library))
    assert (layer.eps, layer.variance, layer.axis) == (eps, variance, axis)
    np.testing.assert_allclose(layer.momentum, momentum, rtol=1e-12)
    y, _ = layer.eval().forward(np.array([[7, 6.5]], "float32"))
    expected = [2 * (7 - 5) / (4 + eps) ** 0.5, -(6.5 - 6) / (0.25 + eps) ** 0.5 + 3]
    np.testing.assert_allclose(y, [expected], rtol=1e-6)


@pytest.mark.parametrize(
    ("library", "given", "momentum", "eps"),
    [
        ("torch", {"momentum": 0.3, "eps": 0.01}, 0.3, 0.01),
        ("torch", {"momentum": None}, None, 1e-5),
        ("keras", {"momentum": 0.75, "epsilon": 0.01}, 0.25, 0.01),
        ("flax", {"momentum": 0.75}, 0.25, 1e-5),
        ("onnx", {"momentum": 1.0}, 0, 1e-5),
    ],
)
def test_options_mean_the_same_afterwards_and_come_back(library, given, momentum, eps):
    layer = interop.batch_norm_from(library, example(library), **given)
    assert (layer.momentum, layer.eps) == (momentum, eps)
    state, options = interop.batch_norm_to(layer, library)
    assert given.items() <= options.items()
    state.pop("num_batches_tracked", None)
    assert list(state) == list(NAMES[library])
    for found, expected in zip(state.values(), VALUES, strict=True):
        assert np.array_equal(found, expected) and found.dtype == "float32"
        assert not np.shares_memory(found, expected)


@pytest.mark.parametrize("there", NAMES)
@pytest.mark.parametrize("here", NAMES)
def test_from_one_library_to_another(here, there):
    layer = interop.batch_norm_from(here, example(here))
    layer.axis = 1
    state, options = interop.batch_norm_to(layer, there)
    assert [state[n].tolist() for n in NAMES[there]] == [v.tolist() for v in VALUES]
    old = {"torch": 0.9, "keras": 0.99, "flax": 0.99, "onnx": 0.9}[here]
    wanted = 1 - old if there == "torch" else old
    np.testing.assert_allclose(options["momentum"], wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("names", "affine"), [((), False), (("gamma",), "gamma"), (("beta",), "beta")]
)
def test_scale_and_shift_may_be_missing(names, affine):
    state = {n: v for n, v in example("keras").items() if n.startswith("moving") or n in names}
    layer = interop.batch_norm_from("keras", state)
    assert layer.affine == affine
    found, options = interop.batch_norm_to(layer, "keras")
    assert set(found) == set(state)
    assert (options["scale"], options["center"]) == ("gamma" in names, "beta" in names)


def test_onnx_gets_what_it_cannot_do_without():
    layer = nn.BatchNorm(2, affine=False)
    state, _ = interop.batch_norm_to(layer, "onnx")
    assert [a.tolist() for a in state.values()] == [[1, 1], [0, 0], [0, 0], [1, 1]]


def test_pytorch_without_statistics_or_with_a_count():
    layer = interop.batch_norm_from("torch", {"weight": np.ones(3)})
    assert not layer.track_running_stats and layer.affine == "gamma"
    _, options = interop.batch_norm_to(layer, "torch")
    assert options["track_running_stats"] is False and options["bias"] is False
    state = example("torch") | {"num_batches_tracked": np.asarray(7)}
    layer = interop.batch_norm_from("torch", state)
    assert layer.num_batches_tracked == 7
    assert interop.batch_norm_to(layer, "torch")[0]["num_batches_tracked"] == 7


def test_the_variance_is_as_it_is_or_converted_by_the_number_of_values():
    layer = interop.batch_norm_from("torch", example("torch"))
    for count, factor in ((None, 1), (5, 4 / 5)):
        state, _ = interop.batch_norm_to(layer, "flax", count=count)
        np.testing.assert_allclose(state["var"], np.float32(factor) * VALUES[3])
    assert np.array_equal(
        interop.batch_norm_to(layer, "torch", count=5)[0]["running_var"], VALUES[3]
    )
    x = np.random.default_rng(0).standard_normal((5, 2))
    ours = nn.BatchNorm(2, momentum=1, dtype="float64")
    ours.forward(x)
    state, _ = interop.batch_norm_to(ours, "keras", count=5)
    np.testing.assert_allclose(state["moving_variance"], x.var(axis=0))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: interop.batch_norm_from("caffe", {}), ValueError, "library must be one of"),
        (lambda: interop.batch_norm_from("torch", {"gamma": np.ones(2)}), ValueError, "gamma"),
        (lambda: interop.batch_norm_from("torch", {}), ValueError, "none at all"),
        (lambda: interop.batch_norm_from("flax", {"mean": np.ones(2)}), ValueError, "both"),
        (
            lambda: interop.batch_norm_from("torch", example("torch"), epsilon=1),
            TypeError,
            r"\['eps', 'momentum'\], not \['epsilon'\]",
        ),
        (
            lambda: interop.batch_norm_from("flax", {"mean": np.ones(2), "var": np.ones(3)}),
            ValueError,
            r"running_mean \(2,\), running_var \(3,\)",
        ),
        (
            lambda: interop.batch_norm_from("keras", example("keras"), momentum=2),
            ValueError,
            "momentum must lie in",
        ),
        (lambda: interop.batch_norm_to(nn.Dense(2, 2), "keras"), TypeError, "not Dense"),
        (
            lambda: interop.batch_norm_to(nn.BatchNorm(2, momentum=None), "keras"),
            ValueError,
            "momentum=None",
        ),
        (
            lambda: interop.batch_norm_to(nn.BatchNorm(2, affine="beta"), "torch"),
            ValueError,
            "set gamma to ones",
        ),
        (
            lambda: interop.batch_norm_to(nn.BatchNorm(2, track_running_stats=False), "flax"),
            ValueError,
            "does not track",
        ),
        (lambda: interop.batch_norm_to(nn.BatchNorm(2, axis=-1), "onnx"), ValueError, "axis -1"),
        (lambda: interop.batch_norm_to(nn.BatchNorm(None), "torch"), ValueError, "no size yet"),
        (
            lambda: interop.batch_norm_to(nn.BatchNorm((2, 3), axis=(1, 2)), "keras"),
            ValueError,
            "in Keras they are on one",
        ),
        (lambda: interop.batch_norm_to(nn.BatchNorm(2), "keras", count=1), ValueError, "count"),
    ],
)
def test_what_does_not_fit_is_told(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def network(seed=0, **options):
    """Every layer that holds something, after some steps so that no array is as it began."""
    options |= {"dtype": "float64"}
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2, bias=False, rng=seed, dtype="float64"),
        nn.BatchNorm(4, **options),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 6, (2, 3), groups=2, rng=seed, dtype="float64"),
        nn.GroupNorm(2, 6, dtype="float64"),
        nn.Flatten(),
        nn.BatchNorm(6 * 4 * 6, affine="gamma", **options),
        nn.Sequential(nn.Dense(6 * 4 * 6, 5, rng=seed, dtype="float64"), nn.Tanh()),
        nn.LayerNorm(5, dtype="float64"),
        nn.Dense(5, 3, bias=False, rng=seed, dtype="float64"),
        nn.RMSNorm(3, dtype="float64"),
    )
    rng = np.random.default_rng(seed)
    for value in net.parameters().values():
        value += 0.1 * rng.standard_normal(value.shape)
    for _ in range(2):
        net.forward(rng.standard_normal((7, 2, 5, 6)))
    return net


TRIPS = {
    "torch": (interop.to_torch, interop.from_torch),
    "keras": (interop.to_keras, interop.from_keras),
    "flax": (interop.to_flax, interop.from_flax),
    "compact": (
        lambda net, **k: interop.to_flax(net, compact=True, **k),
        lambda net, state, **k: interop.from_flax(net, state, compact=True, **k),
    ),
}


@pytest.mark.parametrize("count", [None, 13, {"1": 84, "6": 7}], ids=str)
@pytest.mark.parametrize("there", TRIPS)
def test_a_network_goes_there_and_comes_back(there, count):
    to, back = TRIPS[there]
    net, other = network(0), network(1)
    before = {name: a.copy() for name, a in net.state_dict().items()}
    assert back(other, to(net, count=count), count=count) is other
    for name, value in other.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_allclose(value, before[name], rtol=1e-14)
    x = np.random.default_rng(2).standard_normal((3, 2, 5, 6))
    np.testing.assert_allclose(other.eval().forward(x)[0], net.eval().forward(x)[0], rtol=1e-10)


def small():
    return nn.Sequential(nn.Dense(3, 2), nn.BatchNorm(2), nn.ReLU(), nn.Dense(2, 1, bias=False))


def test_names_of_pytorch():
    net = small()
    state = interop.to_torch(net)
    assert list(state) == [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
        "3.weight",
    ]
    assert state["0.weight"].shape == (2, 3)
    assert np.array_equal(state["0.weight"], net[0].w.T)
    assert set(interop.to_torch(nn.Dense(3, 2))) == {"weight", "bias"}


def test_names_of_flax():
    net = small()
    variables = interop.to_flax(net)
    assert set(variables["params"]) == {"layers_0", "layers_1", "layers_3"}
    assert set(variables["params"]["layers_1"]) == {"scale", "bias"}
    assert set(variables["batch_stats"]["layers_1"]) == {"mean", "var"}
    assert np.array_equal(variables["params"]["layers_3"]["kernel"], net[3].w)
    compact = interop.to_flax(net, compact=True)
    assert set(compact["params"]) == {"Dense_0", "BatchNorm_0", "Dense_1"}
    nested = nn.Sequential(nn.Residual(nn.Sequential(nn.Dense(2, 2))))
    assert "layers_0" in interop.to_flax(nested)["params"]["layers_0"]["branch"]


def test_order_of_keras():
    shapes = [a.shape for a in interop.to_keras(small())]
    assert shapes == [(3, 2), (2,), (2,), (2,), (2,), (2,), (2, 1)]


def test_weights_of_images_are_transposed_not_reshaped():
    conv = nn.Conv2d(4, 6, (2, 3), groups=2)
    (kernel, _) = interop.to_keras(conv)
    assert kernel.shape == (2, 3, 2, 6)
    assert kernel[1, 2, 0, 5] == conv.w[5, 0, 1, 2]
    up = nn.ConvTranspose2d(4, 6, (2, 3))
    (kernel, _) = interop.to_keras(up)
    assert kernel.shape == (2, 3, 6, 4) and kernel[0, 1, 5, 3] == up.w[3, 5, 0, 1]
    kernel = interop.to_flax(up)["params"]["kernel"]
    assert kernel.shape == (2, 3, 4, 6) and kernel[0, 1, 3, 5] == up.w[3, 5, 1, 1]


def test_features_of_flattened_maps_are_reordered():
    """Channels last, a map is flattened position by position."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Dense(6, 1, bias=False))
    net[2].w[:, 0] = [10, 11, 12, 20, 21, 22]  # two channels of three positions
    assert interop.to_keras(net)[1][:, 0].tolist() == [10, 20, 11, 21, 12, 22]
    assert interop.to_torch(net)["2.weight"][0].tolist() == [10, 11, 12, 20, 21, 22]


def test_a_count_that_is_missing_in_pytorchs_state_is_zero():
    net, state = small(), interop.to_torch(small())
    state.pop("1.num_batches_tracked")
    net[1].num_batches_tracked = 5
    assert interop.from_torch(net, state)[1].num_batches_tracked == 0
    state["1.num_batches_tracked"] = np.asarray(3)
    assert interop.from_torch(net, state)[1].num_batches_tracked == 3


def without(state, name):
    return {n: a for n, a in state.items() if n != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: without(s, "0.weight"), "0.weight is missing"),
        (lambda s: s | {"0.weight": s["0.weight"].T}, r"0.weight is \(3, 2\), not \(2, 3\)"),
        (lambda s: s | {"9.weight": np.ones(1)}, "no place for 9.weight"),
        (lambda s: s | {"0.num_batches_tracked": 1}, "no place for 0.num_batches_tracked"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, words):
    net = small()
    before = net.state_dict()
    with pytest.raises(ValueError, match=words):
        interop.from_torch(net, change(interop.to_torch(small())))
    assert all(np.array_equal(before[n], a) for n, a in net.state_dict().items())


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: interop.from_torch(small(), [1]), TypeError, "state must be a dict"),
        (lambda: interop.from_flax(small(), None), TypeError, "variables must be a dict"),
        (lambda: interop.from_keras(small(), {}), TypeError, "weights must be a list"),
        (lambda: interop.from_keras(small(), []), ValueError, "0 arrays, but net has 7"),
        (
            lambda: interop.from_flax(small(), {"params": {"layers_0": {"bias": np.ones(2)}}}),
            ValueError,
            "0.kernel is missing",
        ),
        (
            lambda: interop.from_flax(small(), {"params": {"Dense_0": {"bias": np.ones(2)}}}),
            ValueError,
            "no place for Dense_0/bias",
        ),
        (lambda: interop.to_torch(network(), count={"1": 4}), ValueError, "'6'"),
    ],
)
def test_bad_states_are_told(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_without_onnx_the_package_to_install_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        interop.to_onnx(small(), tmp_path / "net.onnx", (None, 3))
    assert not list(tmp_path.iterdir())


def test_none_of_the_libraries_is_imported():
    code = "import bncourse.interop, sys; print({'torch','keras','flax','onnx'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_a_keras_layer_in_our_words_trains_as_keras_says():
    """moving = 0.99 moving + 0.01 batch, with the biased variance, and eps 1e-3."""
    x = np.random.default_rng(0).standard_normal((6, 2))
    layer = interop.batch_norm_from(
        "keras", {n: v.astype("float64") for n, v in example("keras").items()}
    )
    y, _ = layer.forward(x)
    mean, var = x.mean(axis=0), x.var(axis=0)
    np.testing.assert_allclose(layer.running_mean, 0.99 * VALUES[2] + 0.01 * mean)
    np.testing.assert_allclose(layer.running_var, 0.99 * VALUES[3] + 0.01 * var)
    expected = F.batch_norm_forward(x, layer.gamma, layer.beta, 1e-3)[0]
    np.testing.assert_allclose(y, expected)

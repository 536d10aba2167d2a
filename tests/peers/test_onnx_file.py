"""Networks as ONNX files: onnxruntime gives the same outputs."""

import numpy as np
import pytest

from bncourse import interop, nn

onnx = pytest.importorskip("onnx", reason="onnx is not installed; see `make peers`")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

B = nn.BatchNorm
IMAGES = (6, 4, 7, 8)
LAYERS = {
    "dense": (nn.Dense(5, 3), (6, 5)),
    "dense without bias": (nn.Dense(5, 3, bias=False), (6, 5)),
    "batch norm": (B(4), (6, 4)),
    "batch norm of maps": (B(4, eps=1e-2), IMAGES),
    "batch norm without parameters": (B(4, affine=False), IMAGES),
    "scale only": (B(4, affine="gamma"), IMAGES),
    "shift only": (B(4, affine="beta"), (6, 4, 7)),
    "channels last": (B(8, axis=-1), IMAGES),
    "per activation": (B((4, 8), axis=(1, 3)), IMAGES),
    "layer norm": (nn.LayerNorm(8), IMAGES),
    "layer norm of two axes": (nn.LayerNorm((7, 8), affine=False), IMAGES),
    "rms norm": (nn.RMSNorm(8, eps=1e-2), IMAGES),
    "rms norm without scale": (nn.RMSNorm(8, affine=False), (6, 8)),
    "group norm": (nn.GroupNorm(2, 4), IMAGES),
    "instance norm": (nn.InstanceNorm(4, affine=False), IMAGES),
    "convolution": (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), groups=2), IMAGES),
    "transposed convolution": (
        nn.ConvTranspose2d(4, 6, 3, stride=(2, 3), padding=1, output_padding=(1, 2), groups=2),
        IMAGES,
    ),
    "largest": (nn.MaxPool2d(3, stride=2, padding=1), IMAGES),
    "mean": (nn.AvgPool2d((3, 2), stride=2, padding=1), IMAGES),
    "mean of maps": (nn.Sequential(nn.GlobalAvgPool2d(), nn.Dense(4, 2), B(2)), IMAGES),
    "flatten": (nn.Sequential(nn.Flatten(), B(4 * 7 * 8)), IMAGES),
    "sigmoid": (nn.Sigmoid(), IMAGES),
    "tanh": (nn.Tanh(), (6, 5)),
    "relu": (nn.ReLU(), (6, 5)),
    "dropout": (nn.Dropout(0.5), (6, 5)),
    "residual": (nn.Residual(nn.Conv2d(4, 4, 3, padding=1)), IMAGES),
    "residual with a shortcut": (
        nn.Sequential(
            nn.Residual(
                nn.Sequential(nn.Flatten(), nn.Dense(224, 3)),
                nn.Sequential(B(4), nn.Flatten(), nn.Dense(224, 3, rng=1)),
            ),
            B(3),
        ),
        IMAGES,
    ),
}


def trained(net, shape, mean=1.0):
    """After some steps, and with parameters that are not as they began."""
    rng = np.random.default_rng(5)
    for value in net.parameters().values():
        value += 0.3 * rng.standard_normal(value.shape).astype(value.dtype)
    for _ in range(3):
        net.forward(rng.normal(mean, 1, shape).astype("float32"))
    return rng.normal(mean, 1, shape).astype("float32")


def evaluated(path, x):
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    return y


@pytest.mark.parametrize("varying", [True, False], ids=["any batch", "fixed batch"])
@pytest.mark.parametrize("name", LAYERS)
def test_each_layer(name, varying, tmp_path):
    net, shape = LAYERS[name]
    x = trained(net, shape)
    path = tmp_path / "net.onnx"
    interop.to_onnx(net, path, (None if varying else shape[0], *shape[1:]))
    y = evaluated(path, x)
    expected, _ = net.eval().forward(x)
    net.train()
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    if varying:
        assert evaluated(path, x[:1]).shape == (1, *expected.shape[1:])


def small_network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        B(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Residual(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), B(4), nn.ReLU())),
        nn.Flatten(),
        nn.Dense(4 * 14 * 14, 16, bias=False),
        B(16),
        nn.Sigmoid(),
        nn.Dropout(0.3),
        nn.Dense(16, 10),
    )


@pytest.mark.parametrize("folded", [False, True])
def test_a_network_folded_or_not(tmp_path, folded):
    net = small_network()
    x = trained(net, (20, 1, 28, 28))
    expected, _ = net.eval().forward(x)
    if folded:
        net = nn.fold(net)
    interop.to_onnx(net, tmp_path / "net.onnx", (None, 1, 28, 28))
    np.testing.assert_allclose(evaluated(tmp_path / "net.onnx", x), expected, rtol=1e-5, atol=1e-5)


def test_a_far_mean_costs_no_digits(tmp_path):
    """One node that folds mean and scale would be wrong in the third digit."""
    net = B(4, dtype="float32")
    x = trained(net, (400, 4), mean=1e4)
    interop.to_onnx(net, tmp_path / "net.onnx", (None, 4))
    expected, _ = net.eval().forward(x)
    np.testing.assert_allclose(evaluated(tmp_path / "net.onnx", x), expected, rtol=1e-5, atol=1e-5)


def test_the_mode_and_the_network_stay_as_they_are(tmp_path):
    net = small_network()
    trained(net, (4, 1, 28, 28))
    before = net.state_dict()
    interop.to_onnx(net, str(tmp_path / "net.onnx"), [None, 1, 28, 28])
    assert net.training
    assert all(np.array_equal(before[name], a) for name, a in net.state_dict().items())


@pytest.mark.parametrize(
    ("net", "shape", "kind", "words"),
    [
        (nn.Dense(5, 3), (None, 4), ValueError, r"does not take input_shape \(None, 4\)"),
        (nn.Dense(5, 3), 5, TypeError, "must be a tuple"),
        (nn.Dense(5, 3), (), TypeError, "must be a tuple"),
        (nn.Dense(5, 3), (0, 5), ValueError, "input_shape must be at least 1"),
        (nn.Dense(5, 3), ("N", 5), TypeError, "input_shape must be a whole number"),
        (B(3, track_running_stats=False), (None, 3), ValueError, "no running statistics"),
        (B(None), (None, 3), ValueError, "no size yet"),
        (B(3), (None, 4), ValueError, "does not take"),
        (nn.Module(), (None, 4), TypeError, "Module is not a layer that to_onnx knows"),
    ],
)
def test_what_cannot_be_written_is_told_and_leaves_no_file(tmp_path, net, shape, kind, words):
    with pytest.raises(kind, match=words):
        interop.to_onnx(net, tmp_path / "net.onnx", shape)
    assert not list(tmp_path.iterdir())

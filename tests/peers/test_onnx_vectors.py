"""ONNX's own test vectors for the norms: what any backend must reproduce."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn

onnx = pytest.importorskip("onnx", reason="onnx is not installed; see `make peers`")
loader = pytest.importorskip("onnx.backend.test.loader", reason="onnx is not installed")

TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}


def single_node_cases(ops):
    """The seeded cases that make one node of these types, not its expansion into simpler ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it makes the cases of all other operators too
        cases = loader.load_node_model_tests()
    types = [[node.op_type for node in case.model.graph.node] for case in cases]
    return [
        (t[0], case) for t, case in zip(types, cases, strict=True) if len(t) == 1 and t[0] in ops
    ]


def batch_normalization(x, scale, bias, mean, var, epsilon=1e-5, momentum=0.9, training_mode=0):
    layer = nn.BatchNorm(len(mean), epsilon, momentum=1 - momentum, variance="biased")
    layer.gamma, layer.beta, layer.running_mean, layer.running_var = scale, bias, mean, var
    y, _ = layer.train(training_mode).forward(x)
    return (y, layer.running_mean, layer.running_var) if training_mode else (y,)


def layer_normalization(x, scale, bias=None, axis=-1, epsilon=1e-5):
    axes = tuple(range(axis % x.ndim, x.ndim))
    y, cache = F.layer_norm_forward(x, scale, bias, epsilon, axes)
    kept = cache.inv_std.shape
    return y, cache.moments.mean.reshape(kept), cache.inv_std


def rms_normalization(x, scale, axis=-1, epsilon=1e-5):
    axes = tuple(range(axis % x.ndim, x.ndim))
    return (F.rms_norm_forward(x, scale, epsilon, axes)[0],)


def group_normalization(x, scale, bias, num_groups, epsilon=1e-5):
    return (F.group_norm_forward(x, num_groups, scale, bias, epsilon)[0],)


def instance_normalization(x, scale, bias, epsilon=1e-5):
    return (F.instance_norm_forward(x, scale, bias, epsilon)[0],)


OURS = {
    "BatchNormalization": batch_normalization,
    "LayerNormalization": layer_normalization,
    "RMSNormalization": rms_normalization,
    "GroupNormalization": group_normalization,
    "InstanceNormalization": instance_normalization,
}
CASES = single_node_cases(OURS)


def test_there_are_cases_of_each():
    count = {op: sum(other == op for other, _ in CASES) for op in OURS}
    assert count["BatchNormalization"] >= 4 and min(count.values()) >= 2, count


@pytest.mark.parametrize("op, case", CASES, ids=[case.name for _, case in CASES])
def test_the_vector(op, case):
    (node,) = case.model.graph.node
    options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    options.pop("stash_type", None)
    for inputs, outputs in case.data_sets:
        found = OURS[op](*inputs, **options)
        for value, expected in zip(found, outputs, strict=False):
            np.testing.assert_allclose(value, expected, **TOLERANCE)
        assert len(found) >= len(outputs)


def converted_from_pytorch():
    """Cases in files: a model, with its weights, and one input with its output."""
    root = Path(loader.DATA_DIR) / "pytorch-converted"
    return sorted(root.glob("test_BatchNorm*_eval"))


def tensor(path):
    return onnx.numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


@pytest.mark.parametrize("folder", converted_from_pytorch(), ids=lambda folder: folder.name)
def test_a_layer_that_pytorch_exported(folder):
    model = onnx.load(folder / "model.onnx")
    values = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    values[model.graph.input[0].name] = tensor(folder / "test_data_set_0" / "input_0.pb")
    ran = 0
    for node in model.graph.node:
        options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type != "BatchNormalization":
            shape = options.get("axes")  # 1-d cases are lifted to images and brought back
            x = values[node.input[0]]
            lift = {"Unsqueeze": np.expand_dims, "Squeeze": np.squeeze}[node.op_type]
            values[node.output[0]] = lift(x, tuple(shape))
            continue
        options = {"epsilon": options.get("epsilon", 1e-5)}
        (y,) = batch_normalization(*(values[name] for name in node.input), **options)
        values[node.output[0]] = y
        ran += 1
    assert ran == 1
    expected = tensor(folder / "test_data_set_0" / "output_0.pb")
    np.testing.assert_allclose(values[model.graph.output[0].name], expected, **TOLERANCE)

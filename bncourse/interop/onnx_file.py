"""A network as an ONNX file, for programs that only evaluate."""

from functools import singledispatchmethod

import numpy as np

from bncourse import arrays, checks, nn
from bncourse.nn.files import write_atomically

_OPSET = 18  # of the end of 2022: programs of then can read the file
_IR_VERSION = 8  # that of the same release


def to_onnx(net, path, input_shape):
    """Write a network, as it is in evaluation, to an ONNX file.

    Dropout is left out, and batch norms use their running statistics; fold them in first with
    :func:`bncourse.nn.fold` for fewer steps. Parameters are stored as float32, and the file asks
    for float32 input: outputs are those of ``net.eval()`` to about 1e-6 of their size.

    Parameters
    ----------
    net : Module
        Of the layers of :mod:`bncourse.nn`; it is not changed.
    path : str or path
        Its folder must exist. A file that is there is replaced once the new one is complete.
    input_shape : tuple of int or None
        Of one batch, e.g. ``(None, 1, 28, 28)``; ``None`` for a size that may vary.

    Raises
    ------
    ImportError
        If ``onnx`` is not installed; it comes with the extra ``peers``.
    TypeError
        If ``net`` holds a layer that is not known here, or ``input_shape`` is no tuple.
    ValueError
        If a batch norm has no running statistics, a layer has no size yet, or the shapes of
        ``net`` and ``input_shape`` do not fit together.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "to_onnx needs the package onnx: pip install onnx, or bncourse with its extra 'peers'"
        ) from error
    if not isinstance(input_shape, (tuple, list)) or not input_shape:
        raise TypeError(f"input_shape must be a tuple, as (None, 784), not {input_shape!r}")
    shape = [s if s is None else checks.integer("input_shape", s, 1) for s in input_shape]
    graph = _Graph(onnx, len(shape))
    y = graph.add(net, "x")
    info = onnx.helper.make_tensor_value_info
    dims = [f"size_{i}" if s is None else s for i, s in enumerate(shape)]
    inputs = [info("x", onnx.TensorProto.FLOAT, dims)]
    outputs = [info(y, onnx.TensorProto.FLOAT, None)]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "bncourse", inputs, outputs, graph.constants),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="bncourse",
    )
    try:
        model = onnx.shape_inference.infer_shapes(model, True, True, data_prop=True)
        onnx.checker.check_model(model)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ValueError(f"net does not take input_shape {tuple(input_shape)}: {error}") from None
    write_atomically(path, model.SerializeToString())


class _Graph:
    """Nodes and constants, one layer after the other; ``add`` returns the name of its output."""

    def __init__(self, onnx, ndim):
        self.onnx = onnx
        self.ndim = ndim  # of what the next layer is given
        self.nodes, self.constants = [], []

    def node(self, op, *inputs, **options):
        name = f"y{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), [name], **options))
        return name

    def constant(self, value, dtype=np.float32):
        name = f"c{len(self.constants)}"
        value = np.asarray(value if np.isscalar(value) else arrays.to(value, "numpy"), dtype)
        self.constants.append(self.onnx.numpy_helper.from_array(value, name))
        return name

    def parameters(self, *values):
        return [self.constant(value) for value in values if value is not None]

    @singledispatchmethod
    def add(self, layer, x):
        raise TypeError(f"{type(layer).__name__} is not a layer that to_onnx knows")

    @add.register
    def _(self, layer: nn.Sequential, x):
        for inner in layer.layers:
            x = self.add(inner, x)
        return x

    @add.register
    def _(self, layer: nn.Residual, x):
        ndim = self.ndim
        y = self.add(layer.branch, x)
        self.ndim = ndim
        return self.node("Add", y, self.add(layer.shortcut, x))

    @add.register(nn.Identity)
    @add.register(nn.Dropout)
    def _(self, layer, x):
        return self.node("Identity", x)

    @add.register
    def _(self, layer: nn.ReLU, x):
        return self.node("Relu", x)

    @add.register
    def _(self, layer: nn.Sigmoid, x):
        return self.node("Sigmoid", x)

    @add.register
    def _(self, layer: nn.Tanh, x):
        return self.node("Tanh", x)

    @add.register
    def _(self, layer: nn.Dense, x):
        return self.node("Gemm", x, *self.parameters(layer.w, layer.b))

    @add.register
    def _(self, layer: nn.Conv2d, x):
        return self.node("Conv", x, *self.parameters(layer.w, layer.b), **_windows(layer))

    @add.register
    def _(self, layer: nn.ConvTranspose2d, x):
        options = _windows(layer) | {"output_padding": layer.output_padding}
        return self.node("ConvTranspose", x, *self.parameters(layer.w, layer.b), **options)

    @add.register
    def _(self, layer: nn.MaxPool2d, x):
        return self.node("MaxPool", x, kernel_shape=layer.kernel, **_windows(layer))

    @add.register
    def _(self, layer: nn.AvgPool2d, x):
        options = _windows(layer) | {"kernel_shape": layer.kernel, "count_include_pad": 1}
        return self.node("AveragePool", x, **options)

    @add.register
    def _(self, layer: nn.GlobalAvgPool2d, x):
        self.ndim = 2
        return self.node("Flatten", self.node("GlobalAveragePool", x))

    @add.register
    def _(self, layer: nn.Flatten, x):
        self.ndim = 2
        return self.node("Flatten", x)

    @add.register
    def _(self, layer: nn.BatchNorm, x):
        """Centered first, then scaled: one node may fold both, and lose digits at a far mean."""
        if not layer.track_running_stats:
            raise ValueError("a batch norm has no running statistics: what it does is not a map")
        if layer.num_features is None:
            raise ValueError("a batch norm has no size yet: give the network an input first")
        kept = layer.axis if isinstance(layer.axis, tuple) else (layer.axis,)
        kept = {a % self.ndim for a in kept}
        sizes = iter(layer.running_mean.shape)
        shape = [next(sizes) if a in kept else 1 for a in range(self.ndim)]
        mean, var, gamma, beta = (
            None if a is None else arrays.to(a, "numpy").astype("float64").reshape(shape)
            for a in (layer.running_mean, layer.running_var, layer.gamma, layer.beta)
        )
        scale = (1 if gamma is None else gamma) / np.sqrt(var + layer.eps)
        y = self.node("Mul", self.node("Sub", x, self.constant(mean)), self.constant(scale))
        return y if beta is None else self.node("Add", y, self.constant(beta))

    @add.register
    def _(self, layer: nn.LayerNorm, x):
        gamma = np.ones(layer.shape) if layer.gamma is None else layer.gamma
        inputs = self.parameters(gamma, layer.beta)
        options = {"axis": -len(layer.shape), "epsilon": layer.eps}
        return self.node("LayerNormalization", x, *inputs, **options)

    @add.register
    def _(self, layer: nn.RMSNorm, x):
        axis = self.constant(np.array([-1]), np.int64)
        square = self.node("ReduceMean", self.node("Mul", x, x), axis)
        root = self.node("Sqrt", self.node("Add", square, self.constant(layer.eps)))
        y = self.node("Div", x, root)
        return y if layer.gamma is None else self.node("Mul", y, self.constant(layer.gamma))

    @add.register
    def _(self, layer: nn.GroupNorm, x):
        """As an instance norm of the groups: the node of that name has no shape inference."""
        ones = np.ones(layer.groups)
        grouped = self.node("Reshape", x, self.constant(np.array([0, layer.groups, -1]), np.int64))
        inputs = self.parameters(ones, 0 * ones)
        y = self.node("InstanceNormalization", grouped, *inputs, epsilon=layer.eps)
        y = self.node("Reshape", y, self.node("Shape", x))
        shape = (layer.num_features, *[1] * (self.ndim - 2))
        for op, value in (("Mul", layer.gamma), ("Add", layer.beta)):
            if value is not None:
                y = self.node(op, y, self.constant(arrays.to(value, "numpy").reshape(shape)))
        return y


def _windows(layer):
    options = {"strides": layer.stride, "pads": (*layer.padding, *layer.padding)}
    groups = getattr(layer, "groups", None)
    return options if groups is None else options | {"group": groups}

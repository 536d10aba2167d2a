"""The other norms, and folding, against PyTorch in float64."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed; see `make peers`")
fusion = pytest.importorskip("torch.nn.utils.fusion", reason="PyTorch is not installed")


def close(found, expected):
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-9, atol=1e-12)


def check(rng, shape, theirs, forward, backward, parameters):
    """``theirs(x, *parameters)`` against ours, with gradients of all that is given."""
    x, dy = rng.normal(1, 2, shape), rng.standard_normal(shape)
    leaves = [torch.from_numpy(a.copy()).requires_grad_() for a in (x, *parameters)]
    expected = theirs(*leaves)
    expected.backward(torch.from_numpy(dy))
    y, cache = forward(x, *parameters)
    close(y, expected)
    gradients = [g for g in backward(dy, cache) if g is not None]
    for found, leaf in zip(gradients, leaves, strict=True):
        close(found, leaf.grad)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape, axis", [((4, 7), -1), ((2, 3, 5), (1, 2)), ((2, 3, 4, 5), (3,))])
def test_layer_norm(rng, shape, axis, affine):
    features = tuple(shape[a] for a in (axis if isinstance(axis, tuple) else (axis,)))
    check(
        rng,
        shape,
        lambda x, *p: torch.nn.functional.layer_norm(x, features, *p, eps=1e-3),
        lambda x, *p: F.layer_norm_forward(x, *p, eps=1e-3, axis=axis),
        F.layer_norm_backward,
        rng.standard_normal((2, *features)) if affine else [],
    )


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(4, 7), (2, 3, 5)])
def test_rms_norm(rng, shape, affine):
    check(
        rng,
        shape,
        lambda x, *p: torch.nn.functional.rms_norm(x, shape[-1:], *p, eps=1e-3),
        lambda x, *p: F.rms_norm_forward(x, *p, eps=1e-3),
        F.rms_norm_backward,
        rng.standard_normal((1, shape[-1])) if affine else [],
    )


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [(4, 6, 5), (2, 6, 3, 4), (2, 6, 2, 3, 2)], ids=len)
def test_group_norm(rng, shape, groups, affine):
    check(
        rng,
        shape,
        lambda x, *p: torch.nn.functional.group_norm(x, groups, *p, eps=1e-3),
        lambda x, *p: F.group_norm_forward(x, groups, *p, eps=1e-3),
        F.group_norm_backward,
        rng.standard_normal((2, 6)) if affine else [],
    )


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(4, 3, 5), (2, 3, 3, 4), (2, 3, 2, 3, 2)], ids=len)
def test_instance_norm(rng, shape, affine):
    def theirs(x, weight=None, bias=None):
        return torch.nn.functional.instance_norm(x, weight=weight, bias=bias, eps=1e-3)

    check(
        rng,
        shape,
        theirs,
        lambda x, *p: F.instance_norm_forward(x, *p, eps=1e-3),
        F.instance_norm_backward,
        rng.standard_normal((2, 3)) if affine else [],
    )


def statistics(norm, rng):
    """A batch norm of PyTorch with something in it: a negative and a zero scale too."""
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.copy_(torch.from_numpy(rng.standard_normal(len(tensor))))
        norm.weight[0], norm.weight[1] = -2, 0
        norm.running_var.copy_(torch.from_numpy(rng.uniform(0.1, 3, len(norm.bias))))
    arrays = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return norm.eval(), [a.detach().numpy() for a in arrays]


def parameters(layer):
    return [None if p is None else p.detach().numpy() for p in (layer.weight, layer.bias)]


@pytest.mark.parametrize("bias", [True, False])
def test_folding_into_a_dense_layer(rng, bias):
    dense = torch.nn.Linear(3, 4, bias=bias, dtype=torch.float64).eval()
    norm, values = statistics(torch.nn.BatchNorm1d(4, dtype=torch.float64), rng)
    expected = fusion.fuse_linear_bn_eval(dense, norm)
    w, b = parameters(dense)
    w, b = F.fold_dense(w.T, b, *values)
    close(w.T, expected.weight)
    close(b, expected.bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_folding_into_a_convolution(rng, rank, groups, bias):
    kind, norm = (getattr(torch.nn, f"{name}{rank}d") for name in ("Conv", "BatchNorm"))
    conv = kind(4, 8, 3, groups=groups, bias=bias, dtype=torch.float64).eval()
    norm, values = statistics(norm(8, dtype=torch.float64), rng)
    expected = fusion.fuse_conv_bn_eval(conv, norm)
    w, b = F.fold_conv(*parameters(conv), *values)
    close(w, expected.weight)
    close(b, expected.bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_folding_into_a_transposed_convolution(rng, groups, bias):
    """By its output: PyTorch's own helper is wrong for groups."""
    options = {"groups": groups, "bias": bias, "dtype": torch.float64}
    conv = torch.nn.ConvTranspose2d(4, 8, 3, **options).eval()
    norm, values = statistics(torch.nn.BatchNorm2d(8, dtype=torch.float64), rng)
    x = torch.from_numpy(rng.standard_normal((2, 4, 5, 5)))
    w, b = F.fold_conv_transpose(*parameters(conv), *values, groups=groups)
    found = torch.nn.functional.conv_transpose2d(
        x, torch.from_numpy(w), torch.from_numpy(b), groups=groups
    )
    close(found.detach().numpy(), norm(conv(x)))
    if groups == 1:
        expected = fusion.fuse_conv_bn_eval(conv, norm, transpose=True)
        close(w, expected.weight)
        close(b, expected.bias)


def test_a_network_of_convolutions(rng):
    """Layers together, both ways: what the norms get is what PyTorch's get."""
    ours = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False, rng=1, dtype="float64"),
        nn.BatchNorm(4, dtype="float64"),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 6, 3, groups=2, rng=2, dtype="float64"),
        nn.GroupNorm(3, 6, dtype="float64"),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dense(54, 5, rng=3, dtype="float64"),
        nn.BatchNorm(5, dtype="float64"),
    )
    t = torch.nn
    theirs = t.Sequential(
        t.Conv2d(2, 4, 3, stride=2, padding=1, bias=False),
        t.BatchNorm2d(4),
        t.ReLU(),
        t.ConvTranspose2d(4, 6, 3, groups=2),
        t.GroupNorm(3, 6),
        t.MaxPool2d(2),
        t.Flatten(),
        t.Linear(54, 5),
        t.BatchNorm1d(5),
    ).double()
    with torch.no_grad():
        for layer, other in zip(ours.layers, theirs, strict=True):
            for name, parameter in other.named_parameters():
                value = getattr(layer, {"weight": "w", "bias": "b"}[name], None)
                if value is not None:
                    value = value.T if isinstance(layer, nn.Dense) else value
                    parameter.copy_(torch.from_numpy(value.copy()))
    x, dy = rng.standard_normal((6, 2, 10, 10)), rng.standard_normal((6, 5))
    leaf = torch.from_numpy(x).requires_grad_()
    expected = theirs(leaf)
    expected.backward(torch.from_numpy(dy))
    y, cache = ours.forward(x)
    close(y, expected)
    close(ours.backward(dy, cache), leaf.grad)
    close(ours[0].grads["w"], theirs[0].weight.grad)
    close(ours.eval().forward(x)[0], theirs.eval()(leaf))

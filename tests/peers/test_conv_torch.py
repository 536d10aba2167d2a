"""Convolution and pooling beside PyTorch's, in float64: outputs and all gradients."""

from itertools import product

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed; see `make peers`")

SIZES = [(1, 1), (2, 3), (5, 4), (7, 7), (8, 11)]
KERNELS = [(1, 1), (2, 3), (3, 3), (4, 1)]
STRIDES = [(1, 1), (2, 1), (3, 2)]
PADDINGS = [(0, 0), (1, 2), (3, 1)]
GROUPS = [(1, 3, 2), (2, 4, 6), (3, 3, 3), (4, 4, 8)]  # groups, channels in, channels out


def tensors(*found):
    return [torch.tensor(a, requires_grad=True) for a in found]


def assert_same(ours, theirs):
    """To 1e-9 of the largest entry: sums of many terms may cancel in single ones."""
    for a, b in zip(ours, theirs, strict=True):
        b = b.detach().numpy()
        assert a.shape == b.shape
        scale = max(float(np.max(np.abs(b), initial=0)), 1e-300)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12 * scale)


@pytest.mark.parametrize("groups, n_in, n_out", GROUPS)
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_convolution(rng, groups, n_in, n_out, kernel):
    compared = 0
    for size, stride, padding in product(SIZES, STRIDES, PADDINGS):
        if any(n + 2 * p < k for n, p, k in zip(size, padding, kernel, strict=True)):
            with pytest.raises(ValueError, match="does not fit"):
                x = np.ones((2, n_in, *size))
                F.conv_forward(
                    x, np.ones((n_out, n_in // groups, *kernel)), None, stride, padding, groups
                )
            continue
        x = rng.standard_normal((2, n_in, *size))
        w = rng.standard_normal((n_out, n_in // groups, *kernel))
        b = rng.standard_normal(n_out)
        y, cache = F.conv_forward(x, w, b, stride, padding, groups)
        dy = rng.standard_normal(y.shape)
        theirs = tensors(x, w, b)
        out = torch.nn.functional.conv2d(*theirs, stride, padding, groups=groups)
        out.backward(torch.tensor(dy))
        assert_same((y, *F.conv_backward(dy, cache)), (out, *(t.grad for t in theirs)))
        compared += 1
    assert compared >= 20


@pytest.mark.parametrize("groups, n_in, n_out", GROUPS)
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_transposed_convolution(rng, groups, n_in, n_out, kernel):
    compared = 0
    for size, stride, padding in product(SIZES, STRIDES, PADDINGS):
        extra = [(0, 0), tuple(s - 1 for s in stride)]
        for output_padding in extra if extra[0] != extra[1] else extra[:1]:
            x = rng.standard_normal((2, n_in, *size))
            w = rng.standard_normal((n_in, n_out // groups, *kernel))
            b = rng.standard_normal(n_out)
            options = stride, padding, output_padding, groups
            theirs = tensors(x, w, b)
            try:
                out = torch.nn.functional.conv_transpose2d(*theirs, *options)
            except RuntimeError:  # nothing is left of the output
                with pytest.raises(ValueError, match="nothing is left"):
                    F.conv_transpose_forward(x, w, b, *options)
                continue
            y, cache = F.conv_transpose_forward(x, w, b, *options)
            dy = rng.standard_normal(y.shape)
            out.backward(torch.tensor(dy))
            found = (y, *F.conv_transpose_backward(dy, cache))
            assert_same(found, (out, *(t.grad for t in theirs)))
            compared += 1
    assert compared >= 20


@pytest.mark.parametrize("rank", [1, 3])
def test_other_numbers_of_axes(rng, rank):
    x, w, b = (rng.standard_normal(s) for s in ((2, 4, *[6] * rank), (4, 2, *[3] * rank), (4,)))
    convolve = getattr(torch.nn.functional, f"conv{rank}d")
    theirs = tensors(x, w, b)
    out = convolve(*theirs, 2, 1, groups=2)
    y, cache = F.conv_forward(x, w, b, 2, 1, 2)
    dy = rng.standard_normal(y.shape)
    out.backward(torch.tensor(dy))
    assert_same((y, *F.conv_backward(dy, cache)), (out, *(t.grad for t in theirs)))


POOLS = {
    "max": (F.max_pool_forward, F.max_pool_backward, torch.nn.functional.max_pool2d),
    "avg": (F.avg_pool_forward, F.avg_pool_backward, torch.nn.functional.avg_pool2d),
}


@pytest.mark.parametrize("forward, backward, theirs", POOLS.values(), ids=POOLS)
@pytest.mark.parametrize("values", ["random", "ties"])
def test_pooling(rng, forward, backward, theirs, values):
    for size, kernel, stride in product(SIZES[2:], [(2, 2), (3, 2), (1, 3)], STRIDES):
        for padding in ((0, 0), tuple(k // 2 for k in kernel)):
            x = rng.standard_normal((2, 3, *size))
            x = np.round(x) if values == "ties" else x
            (t,) = tensors(x)
            out = theirs(t, kernel, stride, padding)
            y, cache = forward(x, kernel, stride, padding)
            dy = rng.standard_normal(y.shape)
            out.backward(torch.tensor(dy))
            assert_same((y, backward(dy, cache)), (out, t.grad))


def test_a_network_trains_as_in_pytorch(rng):
    """Ten steps of the network of the speed benchmark: parameters stay together."""
    ours = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False, rng=1, dtype="float64"),
        nn.BatchNorm(4, dtype="float64"),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, padding=1, bias=False, rng=2, dtype="float64"),
        nn.BatchNorm(6, dtype="float64"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dense(6 * 36, 10, rng=3, dtype="float64"),
    )
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Conv2d(4, 6, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(6),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(6 * 36, 10),
    ).double()
    parameters = list(ours.parameters().values())
    parameters[-2] = parameters[-2].T  # theirs is (out, in)
    with torch.no_grad():
        for a, b in zip(parameters, theirs.parameters(), strict=True):
            b.copy_(torch.tensor(a))
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.05)
    x, labels = rng.standard_normal((10, 16, 1, 12, 12)), rng.integers(10, size=(10, 16))
    for batch, classes in zip(x, labels, strict=True):
        logits, cache = ours.forward(batch)
        loss, loss_cache = F.softmax_cross_entropy_forward(logits, classes)
        ours.zero_grad()
        ours.backward(F.softmax_cross_entropy_backward(loss_cache), cache)
        for name, w in ours.parameters().items():
            w -= 0.05 * ours.gradients()[name]
        optimizer.zero_grad()
        their_loss = torch.nn.functional.cross_entropy(
            theirs(torch.tensor(batch)), torch.tensor(classes)
        )
        their_loss.backward()
        optimizer.step()
        np.testing.assert_allclose(loss, their_loss.item(), rtol=1e-9)
    assert_same(parameters, list(theirs.parameters()))

"""Batch norm against PyTorch in float64: outputs, statistics and gradients for every option."""

from itertools import product

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed; see `make peers`")

SHAPES = [(7, 3), (5, 3, 4), (4, 3, 5, 2), (3, 3, 2, 4, 2)]
LAYERS = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}


def close(found, expected, rtol=1e-9):
    found, expected = np.asarray(found), expected.detach().numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-3 * rtol)


def pair(ndim, rng, affine=True, **options):
    """A layer of ours and one of PyTorch, with the same options and parameters."""
    ours = nn.BatchNorm(3, affine=affine, dtype="float64", **options)
    theirs = getattr(torch.nn, LAYERS[ndim])(
        3, affine=affine is not False, dtype=torch.float64, **options
    )
    if affine == "gamma":
        theirs.register_parameter("bias", None)
    if affine == "beta":
        theirs.register_parameter("weight", None)
    for name, other in (("gamma", theirs.weight), ("beta", theirs.bias)):
        if other is None:
            assert getattr(ours, name) is None
            continue
        getattr(ours, name)[:] = rng.normal(1, 2, 3)
        other.data = torch.from_numpy(getattr(ours, name).copy())
    return ours, theirs


def check_pass(ours, theirs, x, dy):
    """Output and gradients of one forward and one backward pass."""
    leaf = torch.from_numpy(x).requires_grad_()
    expected = theirs(leaf)
    expected.backward(torch.from_numpy(dy))
    y, cache = ours.forward(x)
    close(y, expected)
    close(ours.backward(dy, cache), leaf.grad)
    for name, other in (("gamma", theirs.weight), ("beta", theirs.bias)):
        if other is not None:
            close(ours.grads[name], other.grad)


def check_statistics(ours, theirs):
    if theirs.running_mean is None:
        assert ours.running_mean is None and ours.running_var is None
        return
    close(ours.running_mean, theirs.running_mean)
    close(ours.running_var, theirs.running_var)
    assert ours.num_batches_tracked == int(theirs.num_batches_tracked)


@pytest.mark.parametrize("shape", SHAPES, ids=len)
@pytest.mark.parametrize("affine", [True, False, "gamma", "beta"])
@pytest.mark.parametrize("track", [True, False], ids=["tracked", "untracked"])
@pytest.mark.parametrize("momentum", [0.1, 0.37, None, 0, 1])
def test_every_option(rng, shape, affine, track, momentum):
    ours, theirs = pair(
        len(shape), rng, affine, eps=1e-3, momentum=momentum, track_running_stats=track
    )
    for k in range(3):
        check_pass(ours, theirs, rng.normal(3 * k, 1 + k, shape), rng.standard_normal(shape))
        check_statistics(ours, theirs)
    ours.eval(), theirs.eval()
    check_pass(ours, theirs, rng.normal(1, 2, shape), rng.standard_normal(shape))
    check_statistics(ours, theirs)
    ours.train(), theirs.train()
    check_pass(ours, theirs, rng.normal(1, 2, shape), rng.standard_normal(shape))
    check_statistics(ours, theirs)


@pytest.mark.parametrize("momentum", [None, 0, 0.1, 1])
def test_a_counter_that_was_set_to_zero_starts_the_average_anew(rng, momentum):
    ours, theirs = pair(2, rng, momentum=momentum)
    for _ in range(2):
        for _ in range(2):
            check_pass(ours, theirs, rng.normal(5, 3, (4, 3)), rng.standard_normal((4, 3)))
            check_statistics(ours, theirs)
        ours.reset_running_stats(), theirs.reset_running_stats()
        check_statistics(ours, theirs)


def contiguous(a):
    return a.copy()


def channels_last(a):
    return np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1)


def fortran(a):
    return np.asfortranarray(a)


def every_second(a):
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]))
    wide[..., ::2] = a
    return wide[..., ::2]


LAYOUTS = [contiguous, channels_last, fortran, every_second]


@pytest.mark.parametrize("shape", SHAPES, ids=len)
@pytest.mark.parametrize("x_layout, dy_layout", list(product(LAYOUTS, repeat=2)))
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_every_layout_of_x_with_every_layout_of_dy(rng, shape, x_layout, dy_layout, training):
    ours, theirs = pair(len(shape), rng)
    ours.train(training), theirs.train(training)
    x, dy = x_layout(rng.normal(1, 2, shape)), dy_layout(rng.standard_normal(shape))
    check_pass(ours, theirs, x, dy)
    check_statistics(ours, theirs)


@pytest.mark.parametrize(
    "x_format, dy_format", list(product(["contiguous_format", "channels_last"], repeat=2))
)
def test_tensors_of_pytorch_in_its_memory_formats(rng, x_format, dy_format):
    """The arrays that share memory with channels_last tensors, as PyTorch itself lays them out."""
    shape = (4, 3, 5, 2)
    x, dy = (torch.from_numpy(rng.standard_normal(shape)) for _ in range(2))
    x = x.contiguous(memory_format=getattr(torch, x_format))
    dy = dy.contiguous(memory_format=getattr(torch, dy_format))
    check_pass(*pair(4, rng), x.numpy(), dy.numpy())


@pytest.mark.parametrize("shape", SHAPES, ids=len)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("scale, shift", list(product([True, False], repeat=2)))
def test_the_function(rng, shape, training, scale, shift):
    x, dy = rng.normal(2, 3, shape), rng.standard_normal(shape)
    gamma = rng.standard_normal(3) if scale else None
    beta = rng.standard_normal(3) if shift else None
    mean, var = rng.standard_normal(3), rng.uniform(0.1, 4, 3)
    tensors = [None if a is None else torch.from_numpy(a.copy()) for a in (gamma, beta)]
    leaves = [torch.from_numpy(x).requires_grad_()]
    leaves += [t.requires_grad_() for t in tensors if t is not None]
    statistics = torch.from_numpy(mean.copy()), torch.from_numpy(var.copy())
    expected = torch.nn.functional.batch_norm(
        leaves[0], *statistics, *tensors, training=training, eps=1e-2
    )
    expected.backward(torch.from_numpy(dy))
    if training:
        y, cache = F.batch_norm_forward(x, gamma, beta, 1e-2)
        gradients = F.batch_norm_backward(dy, cache)
        close(0.9 * mean + 0.1 * cache.moments.mean, statistics[0])
        close(0.9 * var + 0.1 * cache.moments.var_unbiased, statistics[1])
    else:
        y, cache = F.batch_norm_inference_forward(x, gamma, beta, mean, var, 1e-2)
        gradients = F.batch_norm_inference_backward(dy, cache)[:3]
    close(y, expected)
    for found, leaf in zip((g for g in gradients if g is not None), leaves, strict=True):
        close(found, leaf.grad)


@pytest.mark.parametrize("shape", SHAPES, ids=len)
@pytest.mark.parametrize("affine", [True, False])
def test_the_gradient_of_the_gradient(rng, shape, affine):
    x, dy, ddx = rng.standard_normal((3, *shape))
    gamma, ddgamma, ddbeta = rng.standard_normal((3, 3))
    gamma[1] = 0
    tx, tdy = (torch.from_numpy(a).requires_grad_() for a in (x, dy))
    parameters = [torch.from_numpy(gamma).requires_grad_(), torch.zeros(3, dtype=tx.dtype)]
    parameters[1].requires_grad_()
    if not affine:
        gamma, ddgamma, ddbeta, parameters = None, None, None, []
    y = torch.nn.functional.batch_norm(tx, None, None, *parameters, training=True)
    first = torch.autograd.grad(y, [tx, *parameters], tdy, create_graph=True)
    upstream = [torch.from_numpy(a) for a in (ddx, ddgamma, ddbeta) if a is not None]
    expected = torch.autograd.grad(first, [tdy, tx, *parameters[:1]], upstream)
    _, cache = F.batch_norm_forward(x, gamma, None)
    found = F.batch_norm_double_backward(ddx, dy, cache, ddgamma, ddbeta)
    for ours, theirs in zip((a for a in found if a is not None), expected, strict=True):
        close(ours, theirs)


@pytest.mark.parametrize("shape", [(8, 3, 64, 64), (40_000, 3), (8, 3, 20_000)], ids=len)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_large_float32_agrees_with_pytorch_in_float64(rng, shape, training):
    """Sizes at which the layer may choose another way through the array.

    Without Numba that is NumPy in float32, off by two units in the last place at most.
    """
    x, dy = (rng.standard_normal(shape).astype("float32") for _ in range(2))
    ours, theirs = pair(len(shape), rng)
    ours.train(training), theirs.train(training)
    leaf = torch.from_numpy(x.astype("float64")).requires_grad_()
    expected = theirs(leaf)
    expected.backward(torch.from_numpy(dy.astype("float64")))
    y, cache = ours.forward(x)
    size = float(expected.detach().abs().max())
    assert np.max(np.abs(y - expected.detach().numpy())) < 2.4e-7 * size
    dx = ours.backward(dy, cache)
    assert np.max(np.abs(dx - leaf.grad.numpy())) < 5e-7 * float(leaf.grad.abs().max())
    close(ours.grads["gamma"], theirs.weight.grad, 1e-5)
    close(ours.grads["beta"], theirs.bias.grad, 1e-6)
    spread = 1  # that of x, beside which the mean is next to nothing
    assert np.max(np.abs(ours.running_mean - theirs.running_mean.numpy())) < 1e-8 * spread
    close(ours.running_var, theirs.running_var, 1e-7)


def test_an_empty_batch_keeps_the_statistics(rng):
    """So does PyTorch; but it counts the batch, which would weigh in a cumulative average."""
    ours, theirs = pair(4, rng)
    x = np.zeros((0, 3, 4, 4))
    check_pass(ours, theirs, x, x)
    close(ours.running_mean, theirs.running_mean)
    close(ours.running_var, theirs.running_var)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1), (4, 2), (3,)], ids=str)
def test_what_pytorch_refuses_is_refused(rng, shape):
    ours, theirs = pair(max(2, len(shape)), rng)
    x = rng.standard_normal(shape)
    with pytest.raises((ValueError, RuntimeError)):
        theirs(torch.from_numpy(x))
    with pytest.raises(ValueError):
        ours.forward(x)

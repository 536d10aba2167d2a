"""Batch norm in training by several libraries, on the same arrays: what is raced."""

from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from bncourse import functional as F
from bncourse import kernels
from bncourse.kernels import compiled


class Arrays(NamedTuple):
    """Input, upstream gradient and parameters, float32; channels on ``axis``, 1 or -1."""

    x: np.ndarray
    dy: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    axis: int

    @property
    def axes(self):
        """The axes that are reduced."""
        return tuple(a for a in range(self.x.ndim) if a != self.axis % self.x.ndim)

    @property
    def broadcast(self):
        """The shape of a parameter beside ``x``."""
        return tuple(1 if a in self.axes else n for a, n in enumerate(self.x.shape))


class Contender(NamedTuple):
    """One library's batch norm.

    Attributes
    ----------
    forward, backward, both : callable
        ``forward()`` gives what ``backward(given)`` needs; ``both()`` is a training step. Two
        may be ``None`` where a library does not take a step apart.
    result : callable
        ``y, dx`` as NumPy arrays, from what ``forward`` and ``backward`` gave.
    around : callable
        Gives the context in which all of these are called.
    rectified : callable or None
        A training step with a ReLU behind the batch norm; gives what ``result`` takes.
    """

    forward: object
    backward: object
    both: object
    result: object = None
    around: object = nullcontext
    rectified: object = None


def arrays(shape, axis=1, mean=0.5, std=1.5):
    """Arrays of that ``shape``, the same every time."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, dtype="float32") * np.float32(std) + np.float32(mean)
    dy = rng.standard_normal(shape, dtype="float32")
    gamma = rng.uniform(0.5, 1.5, shape[axis]).astype("float32")
    return Arrays(x, dy, gamma, rng.standard_normal(shape[axis], dtype="float32"), axis)


def contenders(a, threads):
    """All that can run here, by name, on ``threads`` threads; PyTorch's kernel is ``PyTorch``."""
    found = {"textbook": _textbook(a), "NumPy": _ours(a, "numpy", threads)}
    if compiled.available():
        found["Numba"] = _ours(a, "numba", threads)
    if find_spec("torch"):
        found["PyTorch"] = _torch_kernel(a, threads)
        found["PyTorch autograd"] = _torch_autograd(a, threads)
    if find_spec("jax"):
        found["JAX jit"] = _jax(a)
    return found


def _chained(forward, backward, result, around=nullcontext, rectified=None):
    return Contender(forward, backward, lambda: backward(forward()), result, around, rectified)


def _ours(a, name, threads):
    def forward():
        return F.batch_norm_forward(a.x, a.gamma, a.beta, axis=a.axis)

    def backward(given):
        return F.batch_norm_backward(a.dy, given[1])

    def rectified():
        given = F.batch_norm_relu_forward(a.x, a.gamma, a.beta, axis=a.axis)
        return given, F.batch_norm_relu_backward(a.dy, given[1])

    return _chained(
        forward,
        backward,
        lambda given, gradients: (given[0], gradients[0]),
        lambda: kernels.using(name, threads),
        rectified,
    )


def _textbook(a):
    """The formulas as they are printed."""
    eps = np.float32(1e-5)
    gamma, beta = (p.reshape(a.broadcast) for p in (a.gamma, a.beta))
    count = np.float32(a.x.size // a.gamma.size)

    def mean(v):
        return v.mean(axis=a.axes, keepdims=True)

    def forward():
        std = np.sqrt(a.x.var(axis=a.axes, keepdims=True) + eps)
        x_hat = (a.x - mean(a.x)) / std
        return gamma * x_hat + beta, x_hat, std

    def backward(given):
        _, x_hat, std = given
        dbeta = a.dy.sum(axis=a.axes, keepdims=True)
        dgamma = (a.dy * x_hat).sum(axis=a.axes, keepdims=True)
        return gamma / std * (a.dy - dbeta / count - x_hat * dgamma / count), dgamma, dbeta

    return _chained(forward, backward, lambda given, gradients: (given[0], gradients[0]))


def _in_torch(a):
    import torch

    x, dy, gamma, beta = map(torch.from_numpy, a[:4])
    if a.axis == -1 and x.ndim == 4:  # the same memory: PyTorch calls it channels_last
        x, dy = x.permute(0, 3, 1, 2), dy.permute(0, 3, 1, 2)
    return x, dy, gamma, beta, torch.zeros(len(gamma)), torch.ones(len(gamma))


@contextmanager
def _torch_threads(threads):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _out_of_torch(a, *results):
    arrays = (r.detach() for r in results)
    if a.axis == -1 and a.x.ndim == 4:
        arrays = (r.permute(0, 2, 3, 1) for r in arrays)
    return tuple(r.numpy() for r in arrays)


def _torch_kernel(a, threads):
    import torch

    x, dy, gamma, beta, running_mean, running_var = _in_torch(a)
    kernels = torch.ops.aten

    def forward():
        return kernels.native_batch_norm(x, gamma, beta, running_mean, running_var, True, 0.1, 1e-5)

    def backward(given, dy=dy):
        return kernels.native_batch_norm_backward(
            dy, x, gamma, running_mean, running_var, *given[1:], True, 1e-5, [True] * 3
        )

    def rectified():
        y, *statistics = forward()
        y = kernels.relu(y)
        passed = kernels.threshold_backward(dy, y, 0.0)
        return (y,), backward((y, *statistics), passed)

    def result(given, gradients):
        return _out_of_torch(a, given[0], gradients[0])

    return _chained(forward, backward, result, lambda: _torch_threads(threads), rectified)


def _torch_autograd(a, threads):
    import torch

    x, dy, gamma, beta, running_mean, running_var = _in_torch(a)
    leaves = [v.clone(memory_format=torch.preserve_format) for v in (x, gamma, beta)]
    for leaf in leaves:
        leaf.requires_grad_()

    def forward():
        return torch.nn.functional.batch_norm(
            leaves[0], running_mean, running_var, *leaves[1:], True, 0.1, 1e-5
        )

    def backward(given):
        for leaf in leaves:
            leaf.grad = None
        given.backward(dy)
        return leaves[0].grad

    def result(y, dx):
        return _out_of_torch(a, y, dx)

    return _chained(forward, backward, result, lambda: _torch_threads(threads))


def _jax(a):
    import jax
    import jax.numpy as jnp

    x, dy, gamma, beta = map(jnp.asarray, a[:4])
    gamma, beta = gamma.reshape(a.broadcast), beta.reshape(a.broadcast)

    def norm(x, gamma, beta):
        mean = x.mean(axis=a.axes, keepdims=True)
        var = jnp.square(x - mean).mean(axis=a.axes, keepdims=True)
        return gamma * (x - mean) * jax.lax.rsqrt(var + 1e-5) + beta

    @jax.jit
    def step(x, gamma, beta, dy):
        y, back = jax.vjp(norm, x, gamma, beta)
        return y, back(dy)

    return Contender(None, None, lambda: jax.block_until_ready(step(x, gamma, beta, dy)))

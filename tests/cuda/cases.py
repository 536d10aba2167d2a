"""Batches for the kernels, and what they should make of them."""

from math import prod

import numpy as np
import reference

from bncourse import functional as F
from bncourse.kernels import gpu

TYPES = [
    ("float32", "float32"),
    ("float16", "float32"),
    ("float64", "float64"),
    ("float32", "float64"),
    ("float16", "float64"),
]

# Shape and channel axis. Odd lengths, single channels and positions, more channels than a block
# is wide, values that one block has and values that several share.
SHAPES = [
    ((2, 1), 1),
    ((60, 100), 1),
    ((33, 8), 1),
    ((7, 301), 1),
    ((1500, 24), 1),
    ((9001, 3), 1),
    ((1, 3, 7), 1),
    ((5, 3, 1, 1), 1),
    ((2, 3, 4, 4), 1),
    ((6, 7, 9, 5), 1),
    ((3, 2, 2, 3, 5), 1),
    ((131, 2, 16, 32), 1),
    ((130, 3, 9, 9), 1),
    ((4, 5, 8, 16), 3),
    ((3, 3, 5, 6), 3),
    ((9, 4, 5), 0),
]


def axes_of(shape, axis):
    return tuple(a for a in range(len(shape)) if a != axis)


def view(shape, axis):
    """(N, C, L) or (R, C): what a batch looks like to a kernel."""
    n, length = prod(shape[:axis]), prod(shape[axis + 1 :])
    return (n, shape[axis]) if length == 1 else (n, shape[axis], length)


def batch(rng, shape, dtype, mean=50.0, std=3.0):
    return (rng.standard_normal(shape) * std + mean).astype(dtype)


def parameters(rng, channels, dtype="float32"):
    gamma = rng.uniform(0.5, 2, channels) * rng.choice([-1, 1], channels)
    return gamma.astype(dtype), rng.standard_normal(channels).astype(dtype)


def accurate(dtype, statistics):
    """Error to allow, relative to the largest value: rounding once, and that of the sums."""
    return 1.2 * np.finfo(dtype).eps + (5e-7 if statistics == "float32" else 3e-15)


def near(got, want, tolerance, scale=None):
    """Whether two arrays agree, in units of ``scale``, by default the largest value."""
    want = np.asarray(want, np.float64)
    if scale is None:
        scale = np.max(np.abs(want), initial=1e-30, where=np.isfinite(want))
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


def training(x, gamma, beta, dy, axis, residual=None, relu=False):
    """``y, mean, m2, dx, dgamma, dbeta, dresidual`` by the general form, in float64."""
    wide = x.astype(np.float64)
    y, cache = F.batch_norm_forward(wide, gamma, beta, axis=axis)
    moments = cache.moments
    g = dy.astype(np.float64)
    if residual is not None:
        y = y + residual
    if relu:
        g = g * (y.astype(x.dtype) > 0)
        y = np.where(y < 0, 0, y)
    dx, dgamma, dbeta = F.batch_norm_backward(g, cache)
    return y, moments.mean, moments.m2, dx, dgamma, dbeta, g


def compare(home, x, gamma, beta, dy, axis, tolerance, residual=None, relu=False, offset=0):
    """Run both passes of the kernels, and hold all results against the general form."""
    axes = axes_of(x.shape, axis)
    shape = view(x.shape, axis)
    on = home.put(x, offset)
    assert gpu.supports(on, shape)
    put = [None if a is None else home.put(a) for a in (gamma, beta, dy, residual)]
    y, mean, rest, m2, inv_std = gpu.forward(on, *put[:2], 1e-5, shape, put[3], relu)
    kept = y if residual is not None and relu else None
    got = gpu.gradients(put[2], on, mean, rest, inv_std, *put[:2], shape, kept, relu)
    want = training(x, gamma, beta, dy, axis, residual, relu)
    assert y.dtype == x.dtype and got.dx.dtype == x.dtype and y.strides == on.strides
    near(home.get(y), want[0], tolerance)
    true = (
        [reference.moments(row) for row in np.moveaxis(x, axis, 0).reshape(len(want[1]), -1)]
        if x.size < 5000
        else list(zip(want[1], want[2], strict=True))
    )
    std = np.sqrt(np.array([m for _, m in true], float) / (x.size / len(true)) + 1e-5)
    errors = (home.get(mean) + home.get(rest) - np.array([m for m, _ in true], float)) / std
    assert np.max(np.abs(errors)) <= tolerance
    np.testing.assert_allclose(home.get(m2), want[2], rtol=10 * tolerance, atol=1e-30)
    # dx is a difference, which may be small: compared with what it is a difference of.
    slope = np.max(np.abs(1 / std if gamma is None else gamma / std))
    near(home.get(got.dx), want[3], 3 * tolerance, slope * np.max(np.abs(dy)))
    # What random signs add up to, and what an error of the mean adds.
    sums = tolerance * (np.sqrt(x.size / len(std)) + np.max(np.abs(np.sum(dy, axes))))
    for a, b, parameter in ((got.dgamma, want[4], gamma), (got.dbeta, want[5], beta)):
        assert (a is None) == (parameter is None)
        if parameter is not None:
            assert a.dtype == parameter.dtype and a.shape == parameter.shape
            np.testing.assert_allclose(home.get(a), b, rtol=np.finfo(a.dtype.name).eps, atol=sums)
    if kept is not None:
        assert np.array_equal(home.get(got.dresidual), want[6].astype(x.dtype))

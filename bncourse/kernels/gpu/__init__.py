"""Batch norm in CUDA, on arrays of CuPy.

The general form makes half a dozen passes over float64 copies of the batch. These kernels read it
twice and write the result: 3 passes forward, 5 backward, 2 and 3 where a channel stays in the
cache between the two readings. ``forward.cu`` and ``backward.cu`` count them kernel by kernel.

Nothing here waits for the device: counts are known from shapes, no number is fetched, and all is
launched on CuPy's current stream. Sums have the same order on every device and at every call.

Sums are carried in ``statistics``: ``"float32"`` unless the batch is float64. Then a channel's
values are first shifted by one of them, and its mean is kept in float64. What float32 cannot do
is square deviations beyond 1e19; ask for ``"float64"`` then, which is as fast where the device
has fast float64 (those for data centers, mostly), and up to several times slower elsewhere.
Numbers below 1e-38 are taken as 0, as in all that CuPy compiles.
"""

from typing import Any, NamedTuple

import array_api_compat as compat

from bncourse.kernels.gpu.module import KINDS, kernel
from bncourse.kernels.gpu.plan import THREADS, layout, plan
from bncourse.moments import Moments

_INFINITE = float("inf")


def supports(x, axes):
    """Whether ``x`` is a batch on a GPU, real, not empty, without gaps, its channels together."""
    return (
        compat.is_cupy_array(x)
        and x.dtype.name in KINDS
        and x.size > 0
        and layout(x.shape, x.strides, x.itemsize, axes) is not None
    )


def forward(x, axes, gamma, beta, eps, residual=None, relu=False, statistics=None):
    """Normalize ``x`` over ``axes``, scale, shift; then add ``residual``, then rectify, if asked.

    ``gamma`` and ``beta``, contiguous or None, are of any real dtype. ``residual`` is in shape and
    dtype of ``x``.

    Returns
    -------
    y : array
        In shape, dtype and layout of ``x``.
    inv_std : array
        ``1 / sqrt(var + eps)``, float64, one for each channel.
    moments : Moments
        Of each channel, in float64.
    """
    import cupy

    launch = _Launch(x, axes, statistics)
    y = cupy.empty_like(x)
    residual = None if residual is None else launch.alike(residual)
    count = x.size // launch.channels
    mean, m2, inv_std = cupy.empty((3, launch.channels))
    parameters = (*_parameter(gamma), *_parameter(beta), int(relu))
    if launch.plan.alone:
        launch(
            "forward", x, _pointer(residual), y, *launch.size, eps, *parameters, mean, m2, inv_std
        )
    else:
        partial = cupy.empty((3, launch.plan.rows, launch.channels))
        launch("gather_moments", x, *launch.size, partial)
        launch.merge("merge_moments", partial, eps, mean, m2, inv_std)
        launch("normalize", x, _pointer(residual), y, *launch.size, mean, inv_std, *parameters)
    return y, inv_std, Moments(count, mean, m2)


def inference(x, axes, gamma, beta, mean, var, eps, residual=None, relu=False, statistics=None):
    """As :func:`forward`, by a mean and a variance that are given; ``y, mean, inv_std``.

    They come back in float64, for :func:`backward`. Whether a variance is negative is not looked
    at, which would mean waiting; it gives NaN.
    """
    import cupy

    launch = _Launch(x, axes, statistics)
    y = cupy.empty_like(x)
    residual = None if residual is None else launch.alike(residual)
    center, inv_std = cupy.empty((2, launch.channels))
    given = (*_parameter(mean), *_parameter(var), eps, launch.channels, center, inv_std)
    launch.channelwise("given_moments", *given)
    parameters = (*_parameter(gamma), *_parameter(beta), int(relu))
    launch("normalize", x, _pointer(residual), y, *launch.size, center, inv_std, *parameters)
    return y, center, inv_std


class Gradients(NamedTuple):
    """What :func:`backward` gives: arrays, or ``None`` where there was no such input.

    ``sum_dy`` and ``sum_dy_x_hat`` are in float64, one for each channel.
    """

    dx: Any
    dgamma: Any
    dbeta: Any
    dresidual: Any
    sum_dy: Any
    sum_dy_x_hat: Any


def backward(dy, x, axes, mean, inv_std, gamma, beta, count, y=None, relu=False, statistics=None):
    """Gradients of :func:`forward`, or with ``count=None`` of :func:`inference`.

    ``y``, the output, is needed where there was a residual and a ReLU; then ``dresidual`` is ``dy``
    where ``y`` is positive. Without ReLU the gradient of a residual is ``dy`` itself.
    """
    import cupy

    launch = _Launch(x, axes, statistics)
    dy = launch.alike(dy)
    y = None if y is None else launch.alike(y)
    dx = cupy.empty_like(x)
    dresidual = None if y is None else cupy.empty_like(x)
    dgamma, dbeta = (None if p is None else cupy.empty(p.shape, p.dtype) for p in (gamma, beta))
    sum_dy, sum_dy_x_hat = cupy.empty((2, launch.channels))
    count = _INFINITE if count is None else float(count)
    given = (*launch.size, mean, inv_std, *_parameter(gamma), *_parameter(beta))
    to = (*_parameter(dgamma), *_parameter(dbeta))
    relu = int(relu and y is None)
    if launch.plan.alone:
        arrays = dy, x, _pointer(y), _pointer(dresidual), dx
        launch("backward", *arrays, *given, relu, count, sum_dy, sum_dy_x_hat, *to)
    else:
        partial = cupy.empty((2, launch.plan.rows, launch.channels))
        launch("gather_sums", dy, x, _pointer(y), _pointer(dresidual), *given, relu, partial)
        launch.merge("merge_sums", partial, sum_dy, sum_dy_x_hat, *to)
        passed = dy if y is None else dresidual
        launch("gradient", passed, x, dx, *given, relu, sum_dy, sum_dy_x_hat, count)
    return Gradients(dx, dgamma, dbeta, dresidual, sum_dy, sum_dy_x_hat)


class _Launch:
    """Kernels for one batch: in which blocks, and compiled for which types."""

    def __init__(self, x, axes, statistics):
        found = layout(x.shape, x.strides, x.itemsize, axes)
        dtype = x.dtype.name
        wide = "float64" if dtype == "float64" else statistics or "float32"
        self.x = x
        self.plan = plan(found, x.itemsize, x.data.ptr % 16 == 0)
        self.size = self.plan.layout
        self.channels = found.c
        self.types = x.data.device_id, dtype, wide, self.plan.vector, self.plan.across
        self.itemsize = 8 if wide == "float64" else 4

    def alike(self, a):
        """``a`` in dtype and layout of ``x``."""
        import cupy

        if a.dtype == self.x.dtype and a.strides == self.x.strides and a.data.ptr % 16 == 0:
            return a
        other = cupy.empty_like(self.x)
        cupy.copyto(other, a, casting="unsafe")
        return other

    def __call__(self, name, *arguments):
        plan = self.plan
        together = {"gather_moments": 3, "forward": 3, "gather_sums": 2, "backward": 2}.get(name, 0)
        rows = 1 if name in ("forward", "backward") else plan.rows
        shared = plan.shared(together, self.itemsize)
        kernel(name, *self.types)((plan.tiles, rows), plan.block, arguments, shared_mem=shared)

    def merge(self, name, partial, *arguments):
        """One warp a channel, over the rows of ``partial``."""
        grid, block = (-(-self.channels // 8),), (32, 8)
        sizes = self.plan.rows, self.channels
        kernel(name, *self.types)(grid, block, (partial, *sizes, *arguments))

    def channelwise(self, name, *arguments):
        """One thread a channel."""
        grid = (-(-self.channels // THREADS),)
        kernel(name, *self.types)(grid, (THREADS,), arguments)


def _parameter(value):
    """Address and kind of a parameter; a null pointer and 0 where there is none."""
    return (0, 0) if value is None else (value, KINDS[value.dtype.name])


def _pointer(a):
    return 0 if a is None else a

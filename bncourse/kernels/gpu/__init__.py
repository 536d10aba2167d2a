"""Batch norm in CUDA, on arrays of CuPy.

The general form makes half a dozen passes over float64 copies of the batch. These kernels read it
twice and write the result: 3 passes forward, 5 backward, 2 and 3 where a channel stays in the
cache between the two readings. ``forward.cu`` and ``backward.cu`` count them kernel by kernel.

Nothing here waits for the device: counts are known from shapes, no number is fetched, and all is
launched on CuPy's current stream. Sums have the same order on every device and at every call.

Sums and arithmetic are in float32 unless the batch is float64, or :func:`carried_in` says so. A
channel's values are shifted by one of them before anything is summed, and its mean is kept in
float64, so that a large mean costs no digits. What float32 cannot do is square deviations beyond
1e19. Float64 can, as fast where the device is made for it (data centers, mostly), and up to
several times slower elsewhere. Numbers below 1e-38 count as 0, as in all that CuPy compiles.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import array_api_compat as compat

from bncourse.kernels.gpu.launch import Launch, parameter, pointer
from bncourse.kernels.gpu.module import KINDS
from bncourse.kernels.gpu.plan import layout

_INFINITE = float("inf")
_statistics = ContextVar("statistics", default="float32")


@contextmanager
def carried_in(statistics):
    """Carry sums in ``"float32"`` (the default) or ``"float64"`` for what is called inside.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if statistics not in ("float32", "float64"):
        raise ValueError(f"statistics must be 'float32' or 'float64', not {statistics!r}")
    before = _statistics.set(statistics)
    try:
        yield
    finally:
        _statistics.reset(before)


def supports(x, axes):
    """Whether ``x`` is a batch on a GPU, real, not empty, without gaps, its channels together."""
    return (
        compat.is_cupy_array(x)
        and x.dtype.name in KINDS
        and x.size > 0
        and layout(x.shape, x.strides, x.itemsize, axes) is not None
    )


def forward(x, gamma, beta, eps, axes, residual=None, relu=False):
    """Normalize ``x`` over ``axes``, scale, shift; then add ``residual``, then rectify, if asked.

    ``gamma`` and ``beta`` are of any real dtype, or None. ``residual`` is in the shape of ``x``.

    Returns
    -------
    y : array
        In shape, dtype and layout of ``x``.
    mean, rest, m2, inv_std : array, shape (C,)
        In float64; ``rest`` is what ``mean`` lacks of the true mean.
    """
    import cupy

    launch = Launch(x, axes, _statistics.get())
    y = cupy.empty_like(x)
    statistics = cupy.empty((4, launch.channels))
    data = x, pointer(residual, launch), y, *launch.size
    how = *parameter(gamma), *parameter(beta), int(relu)
    mean, rest, m2, inv_std = statistics
    if launch.plan.alone:
        launch.together("forward", 3, *data, eps, *how, mean, rest, m2, inv_std)
    else:
        partial = cupy.empty((4, launch.plan.rows, launch.channels))
        launch.spread("gather_moments", 3, x, *launch.size, partial)
        launch.merge("merge_moments", partial, eps, mean, rest, m2, inv_std)
        launch.spread("normalize", 0, *data, mean, rest, inv_std, *how)
    return y, mean, rest, m2, inv_std


def inference(x, gamma, beta, mean, var, eps, axes, residual=None, relu=False):
    """As :func:`forward`, by a mean and a variance that are given, in any real dtype.

    Whether a variance is negative is not looked at, which would mean waiting; it gives NaN.

    Returns
    -------
    y : array
    mean, rest, inv_std : array, shape (C,)
        In float64, for :func:`backward`; ``rest`` is 0.
    """
    import cupy

    launch = Launch(x, axes, _statistics.get())
    y = cupy.empty_like(x)
    center, rest, inv_std = cupy.empty((3, launch.channels))
    given = *parameter(mean), *parameter(var), eps, launch.channels
    launch.channelwise("given_moments", *given, center, rest, inv_std)
    data = x, pointer(residual, launch), y, *launch.size
    how = *parameter(gamma), *parameter(beta), int(relu)
    launch.spread("normalize", 0, *data, center, rest, inv_std, *how)
    return y, center, rest, inv_std


class Gradients(NamedTuple):
    """What :func:`backward` gives: arrays, or ``None`` where there was no such input.

    ``sum_dy`` and ``sum_dy_x_hat`` are of shape (C,), in float64; ``dgamma`` and ``dbeta`` the
    same in shape and dtype of the parameter.
    """

    dx: Any
    dgamma: Any
    dbeta: Any
    dresidual: Any
    sum_dy: Any
    sum_dy_x_hat: Any


def backward(dy, x, mean, rest, inv_std, gamma, beta, axes, y=None, relu=False, given=False):
    """:class:`Gradients` of :func:`forward`; of :func:`inference` if the statistics were ``given``.

    The output ``y`` is wanted where there were a residual and a ReLU. Then ``dresidual`` is ``dy``
    where ``y`` is positive. (Without ReLU, the gradient of a residual is ``dy`` itself.)
    """
    import cupy

    launch = Launch(x, axes, _statistics.get())
    dx = cupy.empty_like(x)
    dresidual = None if y is None else cupy.empty_like(x)
    dgamma, dbeta = (None if p is None else cupy.empty(p.shape, p.dtype) for p in (gamma, beta))
    sum_dy, sum_dy_x_hat = cupy.empty((2, launch.channels))
    count = _INFINITE if given else x.size / launch.channels
    dy = launch.alike(dy)
    data = dy, x, pointer(y, launch), pointer(dresidual, launch)
    how = *launch.size, mean, rest, inv_std, *parameter(gamma), *parameter(beta)
    how = *how, int(relu and y is None)
    results = sum_dy, sum_dy_x_hat, *parameter(dgamma), *parameter(dbeta)
    if launch.plan.alone:
        launch.together("backward", 2, *data, dx, *how, count, *results)
    else:
        partial = cupy.empty((2, launch.plan.rows, launch.channels))
        launch.spread("gather_sums", 2, *data, *how, partial)
        launch.merge("merge_sums", partial, *results)
        passed = dy if y is None else dresidual
        launch.spread("gradient", 0, passed, x, dx, *how, sum_dy, sum_dy_x_hat, count)
    return Gradients(dx, dgamma, dbeta, dresidual, sum_dy, sum_dy_x_hat)

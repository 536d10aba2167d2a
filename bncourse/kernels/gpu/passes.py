"""Forward and backward pass of batch norm: which kernels, on which arrays."""

from typing import Any, NamedTuple

from bncourse.kernels.gpu.launch import Launch, parameter, pointer

_INFINITE = float("inf")


def forward(x, gamma, beta, eps, shape, residual=None, relu=False):
    """Normalize each channel, scale, shift; then add ``residual``, then rectify, if asked.

    ``gamma`` and ``beta`` are of any real dtype, or None. ``residual`` is in the shape of ``x``.

    Returns
    -------
    y : array
        In shape, dtype and layout of ``x``.
    mean, rest, m2, inv_std : array, shape (C,)
        In float64; ``rest`` is what ``mean`` lacks of the true mean.
    """
    import cupy

    launch = Launch(x, shape)
    y = cupy.empty_like(x)
    mean, rest, m2, inv_std = cupy.empty((4, launch.channels))
    data = x, pointer(residual, launch), y, *launch.size
    how = *parameter(gamma), *parameter(beta), int(relu)
    if launch.plan.alone:
        launch.together("forward", 3, *data, eps, *how, mean, rest, m2, inv_std)
    else:
        partial = cupy.empty((4, launch.plan.rows, launch.channels))
        launch.spread("gather_moments", 3, x, *launch.size, partial)
        launch.merge("merge_moments", partial, eps, mean, rest, m2, inv_std)
        launch.spread("normalize", 0, *data, mean, rest, inv_std, *how)
    return y, mean, rest, m2, inv_std


def inference(x, gamma, beta, mean, var, eps, shape, residual=None, relu=False):
    """As :func:`forward`, by a mean and a variance that are given, in any real dtype.

    Whether a variance is negative is not looked at, which would mean waiting; it gives NaN.

    Returns
    -------
    y : array
    mean, inv_std : array, shape (C,)
        In float64, for :func:`gradients`.
    """
    import cupy

    launch = Launch(x, shape)
    y = cupy.empty_like(x)
    center, inv_std = cupy.empty((2, launch.channels))
    given = *parameter(mean), *parameter(var), eps, launch.channels
    launch.channelwise("given_moments", *given, center, inv_std)
    data = x, pointer(residual, launch), y, *launch.size
    how = *parameter(gamma), *parameter(beta), int(relu)
    launch.spread("normalize", 0, *data, center, 0, inv_std, *how)
    return y, center, inv_std


def affine(x, mean, scale, shift, shape):
    """``(x - mean) * scale + shift`` for each channel; ``mean`` and ``scale`` in float64."""
    import cupy

    launch = Launch(x, shape)
    y = cupy.empty_like(x)
    how = *parameter(None), *parameter(shift), 0
    launch.spread("normalize", 0, x, 0, y, *launch.size, mean, 0, scale, *how)
    return y


class Gradients(NamedTuple):
    """What :func:`gradients` gives: arrays, or ``None`` where there is no such input.

    ``dgamma`` and ``dbeta`` are in shape and dtype of the parameter; ``sum_dy`` and
    ``sum_dy_x_hat`` the same in float64, of shape (C,).
    """

    dx: Any
    dgamma: Any
    dbeta: Any
    dresidual: Any
    sum_dy: Any
    sum_dy_x_hat: Any


def gradients(dy, x, mean, rest, inv_std, gamma, beta, shape, y=None, relu=False, given=False):
    """Of :func:`forward`, or of :func:`inference` if the statistics were ``given``.

    The output ``y`` is wanted where there were a residual and a ReLU. Then ``dresidual`` is ``dy``
    where ``y`` is positive. (Without ReLU, the gradient of a residual is ``dy`` itself.)

    Returns
    -------
    Gradients
    """
    import cupy

    launch = Launch(x, shape)
    dx = cupy.empty_like(x)
    dresidual = None if y is None else cupy.empty_like(x)
    dgamma, dbeta = (None if p is None else cupy.empty(p.shape, p.dtype) for p in (gamma, beta))
    sum_dy, sum_dy_x_hat = cupy.empty((2, launch.channels))
    count = _INFINITE if given else float(launch.count)
    dy = launch.alike(dy)
    data = dy, x, pointer(y, launch), pointer(dresidual, launch)
    statistics = mean, 0 if rest is None else rest, inv_std
    how = *launch.size, *statistics, *parameter(gamma), *parameter(beta), int(relu and y is None)
    results = sum_dy, sum_dy_x_hat, *parameter(dgamma), *parameter(dbeta)
    if launch.plan.alone:
        launch.together("backward", 2, *data, dx, *how, count, *results)
    else:
        _sums(launch, data, how, results)
        passed = dy if y is None else dresidual
        launch.spread("gradient", 0, passed, x, dx, *how, sum_dy, sum_dy_x_hat, count)
    return Gradients(dx, dgamma, dbeta, dresidual, sum_dy, sum_dy_x_hat)


def gradient_sums(dy, x, mean, inv_std, shape):
    """Sums of ``dy`` and of ``dy * x_hat`` for each channel, in float64."""
    import cupy

    launch = Launch(x, shape)
    sum_dy, sum_dy_x_hat = cupy.empty((2, launch.channels))
    how = *launch.size, mean, 0, inv_std, *parameter(None), *parameter(None), 0
    results = sum_dy, sum_dy_x_hat, *parameter(None), *parameter(None)
    _sums(launch, (launch.alike(dy), x, 0, 0), how, results)
    return sum_dy, sum_dy_x_hat


def _sums(launch, data, how, results):
    import cupy

    partial = cupy.empty((2, launch.plan.rows, launch.channels))
    launch.spread("gather_sums", 2, *data, *how, partial)
    launch.merge("merge_sums", partial, *results)

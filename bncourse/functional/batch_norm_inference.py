"""Batch norm at inference: given statistics, and gradients for them as well."""

from typing import Any, NamedTuple

from bncourse import arrays, kernels
from bncourse.functional.batch_norm import layout
from bncourse.functional.normalization import checked_eps, parameter


def batch_norm_inference(x, gamma, beta, mean, var, eps=1e-5, axis=1):
    r"""Normalize by given statistics, so that each example is treated on its own.

    .. math::

        y_i = \gamma\,\frac{x_i - \mathrm{mean}}{\sqrt{\mathrm{var} + \varepsilon}} + \beta

    Parameters
    ----------
    x : array, shape (N, C) or (N, C, ...)
        Real floating point input, of any batch size, also 0 or 1. It is not changed.
    gamma, beta : array or list, shape (C,), or None
        Scale and shift; ``None`` leaves the step out.
    mean, var : array or list, shape (C,)
        Population statistics, in units of ``x`` and in squared units of ``x``.
    eps, axis
        As in :func:`batch_norm_forward`.

    Returns
    -------
    y : array
        In the shape and dtype of ``x``. The input is centered *before* it is scaled: folding
        both into one multiplication loses digits when the mean is large.

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_forward`, but a single value per channel is welcome. Also if
        ``mean`` or ``var`` is missing, or a variance is negative. (On a GPU its output is NaN
        instead: to look at it would mean waiting for the device.)

    Notes
    -----
    Source: Ioffe and Szegedy (2015), Algorithm 2. See the chapter *The transform*
    (:doc:`/book/transform/forward`).
    """
    return batch_norm_inference_forward(x, gamma, beta, mean, var, eps, axis)[0]


class InferenceCache(NamedTuple):
    """What :func:`batch_norm_inference_forward` hands to :func:`batch_norm_inference_backward`.

    Attributes
    ----------
    x : array
        The input itself, not a copy: leave it as it is until the backward pass.
    inv_std : array
        ``1 / sqrt(var + eps)``, shaped to broadcast against ``x``.
    gamma, beta, mean, var : array or None
        As they were given.
    axes, channel_axes : tuple of int
        The axes that are not channel axes, and those that are.
    """

    x: Any
    inv_std: Any
    gamma: Any
    beta: Any
    mean: Any
    var: Any
    axes: tuple
    channel_axes: tuple


def batch_norm_inference_forward(x, gamma, beta, mean, var, eps=1e-5, axis=1):
    """As :func:`batch_norm_inference`, and a cache for the gradients.

    Returns
    -------
    y : array
    cache : InferenceCache
        For :func:`batch_norm_inference_backward`.
    """
    xp = arrays.namespace(x=x, gamma=gamma, beta=beta, mean=mean, var=var)
    arrays.check_real("x", x)
    if mean is None or var is None:
        raise TypeError("mean and var must be given: they are what x is normalized by")
    axes, channel_axes = layout(x, axis)
    per_channel = tuple(x.shape[a] for a in channel_axes)
    broadcast = tuple(n if a in channel_axes else 1 for a, n in enumerate(x.shape))
    eps = checked_eps(eps, x)
    kernel, found = kernels.choose(x, axes, channel_axes)
    if hasattr(kernel, "inference"):
        names = {"gamma": gamma, "beta": beta, "mean": mean, "var": var}
        given = [parameter(name, value, x, per_channel) for name, value in names.items()]
        y, _, inv_std = kernel.inference(x, *given, eps, found.shape)
        inv_std = inv_std.reshape(broadcast)
        return y, InferenceCache(x, inv_std, gamma, beta, mean, var, axes, channel_axes)
    wide = arrays.accumulator(x)

    def shaped(name, value):
        return xp.reshape(arrays.place(name, value, x, per_channel, wide), broadcast)

    center, variance = shaped("mean", mean), shaped("var", var)
    if bool(xp.any(variance < 0)):
        raise ValueError("var must not be negative: pass variances, not their logarithms")
    inv_std = 1 / xp.sqrt(variance + eps)
    scale = inv_std if gamma is None else inv_std * shaped("gamma", gamma)
    shift = None if beta is None else shaped("beta", beta)
    cache = InferenceCache(x, inv_std, gamma, beta, mean, var, axes, channel_axes)
    if kernel is not None:
        given = center, scale, xp.zeros_like(scale) if shift is None else shift
        y = kernel.affine(x, *(xp.reshape(a, (-1,)) for a in given), found.shape)
        if y is not None:
            return y, cache
    y = (arrays.cast(x, wide) - center) * scale
    if shift is not None:
        y = y + shift
    return arrays.cast(y, x.dtype), cache


def batch_norm_inference_backward(dy, cache):
    r"""Gradients of :func:`batch_norm_inference_forward`, also for the statistics.

    .. math::

        \mathrm{dx} = \frac{\gamma\,\mathrm{dy}}{s}, \qquad
        \mathrm{dmean} = -\frac{\gamma}{s} \sum_i \mathrm{dy}_i, \qquad
        \mathrm{dvar} = -\frac{\gamma}{2 s^3} \sum_i \mathrm{dy}_i (x_i - \mathrm{mean}),
        \qquad s = \sqrt{\mathrm{var} + \varepsilon}

    Mean and variance are given numbers here, so no gradient reaches ``x`` through them.

    Parameters
    ----------
    dy : array
        Upstream gradient, in the shape of ``x``.
    cache : InferenceCache

    Returns
    -------
    dx : array
        In the shape and dtype of ``x``.
    dgamma, dbeta : array or None
        In the shape of the parameter; ``None`` for one that was not given.
    dmean, dvar : array, shape (C,)

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_backward`.
    """
    arrays.check_cache(cache, InferenceCache, "batch_norm_inference_forward")
    x, inv_std, gamma, beta, mean, var, axes, channel_axes = cache
    xp = arrays.check_upstream(dy, x.shape, x)
    wide, per_channel = inv_std.dtype, tuple(x.shape[a] for a in channel_axes)

    def shaped(name, value):
        return xp.reshape(arrays.place(name, value, x, per_channel, wide), inv_std.shape)

    center = shaped("mean", mean)
    scale = inv_std if gamma is None else inv_std * shaped("gamma", gamma)
    dx, sum_dy, sum_dy_x_hat = _gradients(dy, x, center, inv_std, scale, axes, channel_axes)

    def like(total, given):
        floating = not isinstance(given, (list, tuple)) and xp.isdtype(given.dtype, "real floating")
        total = xp.reshape(total, per_channel)
        return arrays.cast(total, given.dtype if floating else x.dtype)

    return (
        dx,
        None if gamma is None else like(sum_dy_x_hat, gamma),
        None if beta is None else like(sum_dy, beta),
        like(-scale * sum_dy, mean),
        like(-scale * inv_std * sum_dy_x_hat / 2, var),
    )


def _gradients(dy, x, mean, inv_std, scale, axes, channel_axes):
    """``dy * scale``, and sums of ``dy`` and ``dy * x_hat``, shaped to broadcast."""
    kernel, found = kernels.choose(x, axes, channel_axes)
    sums = None
    if kernel is not None and dy.dtype == x.dtype:
        flat = [a.reshape(-1) for a in (mean, inv_std, scale)]
        sums = kernel.gradient_sums(dy, x, *flat[:2], found.shape)
    dx = None
    if sums is not None:
        dx = kernel.affine(dy, 0 * flat[0], flat[2], 0 * flat[0], found.shape)
    if dx is not None:
        return dx, *(a.reshape(found.broadcast) for a in sums)
    xp, wide = arrays.namespace(x=x), inv_std.dtype
    dy, d = arrays.cast(dy, wide), arrays.cast(x, wide) - mean
    sum_dy = xp.sum(dy, axis=axes, keepdims=True)
    sum_dy_x_hat = xp.sum(dy * d, axis=axes, keepdims=True) * inv_std
    return arrays.cast(dy * scale, x.dtype), sum_dy, sum_dy_x_hat

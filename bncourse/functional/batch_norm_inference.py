"""Batch norm at inference: given statistics, and gradients for them as well."""

from typing import Any, NamedTuple

from bncourse import arrays
from bncourse.functional.batch_norm import layout
from bncourse.functional.normalization import checked_eps


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
        ``mean`` or ``var`` is missing, or a variance is negative.

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
    d : array
        ``x - mean``, in the accumulation precision.
    inv_std : array
        ``1 / sqrt(var + eps)``, shaped to broadcast against ``x``.
    gamma, beta, mean, var : array or None
        As they were given.
    axes : tuple of int
        The axes that are not channel axes.
    dtype : dtype
        That of ``x``.
    """

    d: Any
    inv_std: Any
    gamma: Any
    beta: Any
    mean: Any
    var: Any
    axes: tuple
    dtype: Any


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
    wide = arrays.accumulator(x)
    eps = checked_eps(eps, x)

    def shaped(name, value):
        return xp.reshape(arrays.place(name, value, x, per_channel, wide), broadcast)

    center, variance = shaped("mean", mean), shaped("var", var)
    if bool(xp.any(variance < 0)):
        raise ValueError("var must not be negative: pass variances, not their logarithms")
    d = arrays.cast(x, wide) - center
    inv_std = 1 / xp.sqrt(variance + eps)
    y = d * inv_std
    if gamma is not None:
        y = y * shaped("gamma", gamma)
    if beta is not None:
        y = y + shaped("beta", beta)
    cache = InferenceCache(d, inv_std, gamma, beta, mean, var, axes, x.dtype)
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
    d, inv_std, gamma, beta, mean, var, axes, dtype = cache
    xp = arrays.check_upstream(dy, d.shape, d)
    dy = arrays.cast(dy, d.dtype)
    sum_dy = xp.sum(dy, axis=axes, keepdims=True)
    sum_dy_x_hat = xp.sum(dy * d, axis=axes, keepdims=True) * inv_std
    scale = inv_std
    if gamma is not None:
        per_channel = tuple(n for a, n in enumerate(d.shape) if a not in axes)
        given = arrays.place("gamma", gamma, d, per_channel, d.dtype)
        scale = scale * xp.reshape(given, inv_std.shape)

    def like(total, given):
        floating = not isinstance(given, (list, tuple)) and xp.isdtype(given.dtype, "real floating")
        total = xp.reshape(total, tuple(n for a, n in enumerate(d.shape) if a not in axes))
        return arrays.cast(total, given.dtype if floating else dtype)

    return (
        arrays.cast(dy * scale, dtype),
        None if gamma is None else like(sum_dy_x_hat, gamma),
        None if beta is None else like(sum_dy, beta),
        like(-scale * sum_dy, mean),
        like(-scale * inv_std * sum_dy_x_hat / 2, var),
    )

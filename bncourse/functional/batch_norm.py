"""The batch normalization transform, its gradients, and its form at inference time."""

from typing import Any, NamedTuple

from bncourse import arrays, checks
from bncourse.moments import Moments, _axes


class BatchNormCache(NamedTuple):
    """What :func:`batch_norm_forward` hands to :func:`batch_norm_backward`.

    Attributes
    ----------
    x_hat : array
        Normalized input, in the shape and dtype of ``x``.
    inv_std : array
        ``1 / sqrt(var + eps)``, shaped to broadcast against ``x``.
    gamma, beta : array or None
        Scale and shift as they were given. They are not copied: change them in place only after
        going back.
    moments : Moments
        Count, mean and m2 of the batch, one value a channel: what running statistics are fed.
    axes : tuple of int
        The axes that were reduced.
    """

    x_hat: Any
    inv_std: Any
    gamma: Any
    beta: Any
    moments: Moments
    axes: tuple


def batch_norm_forward(x, gamma=None, beta=None, eps=1e-5, axis=1):
    r"""Normalize each channel by the mean and the variance of the batch, then scale and shift.

    .. math::

        \hat x_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \qquad
        y_i = \gamma \hat x_i + \beta

    with the mean :math:`\mu` and the *biased* variance :math:`\sigma^2` of the channel over the
    batch and all other axes.

    Parameters
    ----------
    x : array, shape (N, C) or (N, C, ...)
        Real floating point input. It is not changed.
    gamma, beta : array or list, shape (C,), optional
        Scale and shift; ``None`` leaves the step out.
    eps : float
        Positive; added to the variance, inside the root, in squared units of ``x``.
    axis : int or tuple of int
        The channel axis, or axes: one mean and one variance for each position along them.

    Returns
    -------
    y : array
        In the shape and dtype of ``x``. Statistics and arithmetic are carried in the widest
        precision of the device (float64 on a CPU), and rounded once, at the end.
    cache : BatchNormCache
        For :func:`batch_norm_backward`. An empty batch gives an empty ``y`` and a count of 0.

    Raises
    ------
    TypeError
        If an argument is not real floating point, or lives in another library than ``x``.
    ValueError
        If a channel has a single value (nothing to normalize by), a shape does not fit, or
        ``eps`` is not positive in that widest precision.

    Notes
    -----
    NaN or infinity stays in its channel. So does an overflow of the squares: where deviations
    from the mean exceed 1e150 in float64 (float32 cannot), the variance is infinite, and
    ``x_hat`` is 0 or NaN. Source: Ioffe and Szegedy (2015), Algorithm 1. Derived
    in the chapter *The transform* (:doc:`/book/transform/forward`).
    """
    xp = arrays.namespace(x=x, gamma=gamma, beta=beta)
    arrays.check_real("x", x)
    axes, per_channel, broadcast = _layout(x, axis)
    wide = arrays.accumulator(x)
    eps = _checked_eps(eps, xp, wide)
    moments, d = Moments.centered(x, axes, keepdims=True)
    if moments.count == 1:
        raise ValueError(
            f"x of shape {tuple(x.shape)} has one value per channel, so its variance is 0 and "
            "x_hat would be 0 whatever x is: use a larger batch, or normalize with running "
            "statistics (batch_norm_inference, or eval() on a layer), or use a norm that does "
            "not look across the batch, such as layer norm"
        )
    inv_std = 1 / xp.sqrt(moments.var + eps)
    x_hat = d * inv_std
    y = x_hat
    if gamma is not None:
        gamma = _parameter("gamma", gamma, x, per_channel)
        y = y * xp.reshape(xp.astype(gamma, wide, copy=False), broadcast)
    if beta is not None:
        beta = _parameter("beta", beta, x, per_channel)
        y = y + xp.reshape(xp.astype(beta, wide, copy=False), broadcast)
    moments = Moments(
        moments.count, xp.reshape(moments.mean, per_channel), xp.reshape(moments.m2, per_channel)
    )
    # A copy where no parameter made y another array: the caller may change y in place.
    y = xp.astype(y, x.dtype, copy=y is x_hat)
    x_hat = xp.astype(x_hat, x.dtype, copy=False)
    return y, BatchNormCache(x_hat, inv_std, gamma, beta, moments, axes)


def batch_norm_backward(dy, cache):
    r"""Gradients of a loss with respect to the input, the scale and the shift.

    .. math::

        \frac{\partial L}{\partial \beta} = \sum_i \mathrm{dy}_i, \qquad
        \frac{\partial L}{\partial \gamma} = \sum_i \mathrm{dy}_i\,\hat x_i,

        \frac{\partial L}{\partial x_i} = \frac{\gamma}{\sqrt{\sigma^2+\varepsilon}}
        \Bigl(\mathrm{dy}_i - \frac1m \frac{\partial L}{\partial \beta}
        - \hat x_i\,\frac1m \frac{\partial L}{\partial \gamma}\Bigr)

    Parameters
    ----------
    dy : array
        Upstream gradient, in the shape of ``x``; real floating point. It is not changed.
    cache : BatchNormCache
        From :func:`batch_norm_forward`. It is not changed and may be used again.

    Returns
    -------
    dx : array
        In the shape and dtype of ``x``.
    dgamma, dbeta : array or None
        In the shape and dtype of the parameter; ``None`` for a parameter that was not given.

    Raises
    ------
    TypeError
        If ``dy`` is not real floating point, or lives in another library than the cache, or
        ``cache`` is none.
    ValueError
        If ``dy`` does not have the shape of ``x``.

    Notes
    -----
    Source: Ioffe and Szegedy (2015), section 3, simplified. Derived in the chapter *Its
    gradients by hand* (:doc:`/book/transform/backward`).
    """
    arrays.check_cache(cache, BatchNormCache, "batch_norm_forward")
    x_hat, inv_std, gamma, beta, moments, axes = cache
    xp = arrays.check_upstream(dy, x_hat.shape, x_hat)
    wide = inv_std.dtype
    dtype = x_hat.dtype
    dy, x_hat = xp.astype(dy, wide, copy=False), xp.astype(x_hat, wide, copy=False)
    m = max(moments.count, 1)
    sum_dy = xp.sum(dy, axis=axes, keepdims=True)
    sum_dy_x_hat = xp.sum(dy * x_hat, axis=axes, keepdims=True)
    scale = inv_std
    if gamma is not None:
        scale = scale * xp.reshape(xp.astype(gamma, wide, copy=False), inv_std.shape)
    dx = scale * (dy - sum_dy / m - x_hat * (sum_dy_x_hat / m))
    dgamma = dbeta = None
    if gamma is not None:
        dgamma = xp.astype(xp.reshape(sum_dy_x_hat, gamma.shape), gamma.dtype, copy=False)
    if beta is not None:
        dbeta = xp.astype(xp.reshape(sum_dy, beta.shape), beta.dtype, copy=False)
    return xp.astype(dx, dtype, copy=False), dgamma, dbeta


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
    xp = arrays.namespace(x=x, gamma=gamma, beta=beta, mean=mean, var=var)
    arrays.check_real("x", x)
    if mean is None or var is None:
        raise TypeError("mean and var must be given: they are what x is normalized by")
    _, per_channel, broadcast = _layout(x, axis)
    wide = arrays.accumulator(x)
    eps = _checked_eps(eps, xp, wide)

    def shaped(name, value):
        return xp.reshape(arrays.place(name, value, x, per_channel, wide), broadcast)

    mean, var = shaped("mean", mean), shaped("var", var)
    if bool(xp.any(var < 0)):
        raise ValueError("var must not be negative: pass variances, not their logarithms")
    y = (xp.astype(x, wide, copy=False) - mean) / xp.sqrt(var + eps)
    if gamma is not None:
        y = y * shaped("gamma", gamma)
    if beta is not None:
        y = y + shaped("beta", beta)
    return xp.astype(y, x.dtype, copy=False)


def _layout(x, axis):
    """Reduced axes, shape of a parameter, and its shape for broadcasting."""
    if x.ndim < 2:
        raise ValueError(f"x must have at least 2 axes, (N, C) or (N, C, ...), not {x.ndim}")
    channel_axes = _axes(axis, x.ndim)
    axes = tuple(a for a in range(x.ndim) if a not in channel_axes)
    if not channel_axes or not axes:
        raise ValueError(f"axis {axis} must name some axes of x, but not all {x.ndim} of them")
    per_channel = tuple(x.shape[a] for a in channel_axes)
    broadcast = tuple(n if a in channel_axes else 1 for a, n in enumerate(x.shape))
    return axes, per_channel, broadcast


def _parameter(name, value, x, shape):
    """A parameter as an array of its own floating dtype; lists and integers take that of ``x``."""
    xp = arrays.namespace(x=x)
    floating = not isinstance(value, (list, tuple)) and xp.isdtype(value.dtype, "real floating")
    return arrays.place(name, value, x, shape, value.dtype if floating else x.dtype)


def _checked_eps(eps, xp, wide):
    """``eps`` as a float that is not lost in the precision that statistics are carried in."""
    eps = checks.number("eps", eps)
    least = float(xp.finfo(wide).smallest_normal)
    if eps < least:
        raise ValueError(
            f"eps must be positive, at least {least:.1e} (the least normal {wide}), not {eps}: "
            "it keeps a constant channel from dividing by zero"
        )
    return eps

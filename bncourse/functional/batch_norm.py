"""The batch normalization transform and its gradients."""

from functools import lru_cache

from bncourse import arrays
from bncourse.functional.normalization import (
    NormCache,
    check_enough,
    normalize_backward,
    normalize_forward,
)
from bncourse.moments import _axes


def batch_norm_forward(x, gamma=None, beta=None, eps=1e-5, axis=1, mask=None):
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
    mask : array of bool, shape (N,) or (N, ...), optional
        Which examples count, or which positions of them: one value for each, in the shape of
        ``x`` without its channel axes, or of the first of those axes. A value that does not
        count is as good as deleted, even if it is NaN; its output is 0.

    Returns
    -------
    y : array
        In the shape and dtype of ``x``. Statistics and arithmetic are carried in the widest
        precision of the device (float64 on a CPU), and rounded once, at the end. The kernels
        that are chosen for large float32 arrays (:func:`bncourse.kernels.using`) may differ from
        that by two units in the last place.
    cache : NormCache
        For :func:`batch_norm_backward`. It holds ``x`` itself, not a copy: do not change ``x``
        in place before going back. An empty batch gives an empty ``y`` and a count of 0.

    Raises
    ------
    TypeError
        If an argument is not real floating point, or lives in another library than ``x``.
    ValueError
        If a channel has a single value (nothing to normalize by), a shape does not fit, or
        ``eps`` is not positive in that widest precision.

    Notes
    -----
    NaN or infinity stays in its channel. Where squares overflow (float64 beyond 1e150; float32
    does not where float64 carries it), the variance in ``cache.moments`` is infinite, but the
    standard deviation is not: ``y`` and the gradients are right for values up to 1e300, though
    NumPy warns. (On a GPU that takes ``kernels.using("never")``: the kernels there lose a channel
    whose float64 squares overflow.) Source: Ioffe and Szegedy (2015), Algorithm 1. Derived in
    the chapter *The transform* (:doc:`/book/transform/forward`).
    """
    arrays.namespace(x=x, gamma=gamma, beta=beta, mask=mask)
    arrays.check_real("x", x)
    axes, channel_axes = layout(x, axis)
    mask = _shaped_mask(mask, x, axes)
    y, cache = normalize_forward(x, gamma, beta, eps, axes, channel_axes, mask)
    check_enough(x, cache.moments.count)
    return y, cache


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
    cache : NormCache
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
    arrays.check_cache(cache, NormCache, "batch_norm_forward")
    return normalize_backward(dy, cache)


def layout(x, axis):
    """Reduced axes and channel axes of ``x``, whose channel axis or axes ``axis`` names."""
    if type(axis) is int:
        return _layout(x.ndim, axis)  # the common case, looked up
    return _layout.__wrapped__(x.ndim, axis)


@lru_cache
def _layout(ndim, axis):
    if ndim < 2:
        raise ValueError(f"x must have at least 2 axes, (N, C) or (N, C, ...), not {ndim}")
    channel_axes = _axes(axis, ndim)
    axes = tuple(a for a in range(ndim) if a not in channel_axes)
    if not channel_axes or not axes:
        raise ValueError(f"axis {axis} must name some axes of x, but not all {ndim} of them")
    return axes, channel_axes


def _shaped_mask(mask, x, axes):
    """``mask`` with an axis of length one for each axis of ``x`` that it does not speak of."""
    if mask is None:
        return None
    xp = arrays.namespace(x=x, mask=mask)
    if isinstance(mask, (list, tuple)) or not xp.isdtype(mask.dtype, "bool"):
        kind = "a list" if isinstance(mask, (list, tuple)) else f"of dtype {mask.dtype}"
        raise TypeError(f"mask must be an array of bool, but is {kind}")
    positions = tuple(x.shape[a] for a in axes)
    if mask.ndim < 1 or tuple(mask.shape) != positions[: mask.ndim]:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}, but x without its channels has {positions}: "
            "one bool for each example, or for each position"
        )
    spoken = axes[: mask.ndim]
    return xp.reshape(mask, tuple(n if a in spoken else 1 for a, n in enumerate(x.shape)))

r"""The two steps of every norm in the family: statistics, then normalization; and their gradient.

A norm is told by two sets of axes. Over the *reduced* axes it takes mean and variance; along the
*parameter* axes it has a scale and a shift of its own for each position. Batch norm reduces all
but the channels; layer norm reduces the features, along which its parameters run. One forward and
one backward serve them all.
"""

from typing import Any, NamedTuple

import numpy as np

from bncourse import arrays, checks, kernels
from bncourse.moments import Moments


class NormCache(NamedTuple):
    """What the forward pass of a norm hands to its backward pass.

    Attributes
    ----------
    x : array
        The input itself, not a copy: leave it as it is until the backward pass.
    inv_std : array
        ``1 / sqrt(var + eps)``, shaped to broadcast against ``x``.
    gamma, beta : array or None
        Scale and shift as they were given.
    moments : Moments
        Count, mean and m2 over the reduced axes; for batch norm one value a channel, which is
        what running statistics are fed.
    rest : array or None
        What the mean in ``moments`` lacks of the true one, where no wider dtype could hold it.
    axes : tuple of int
        The axes that were reduced.
    parameter_axes : tuple of int
        The axes along which ``gamma`` and ``beta`` run.
    mask : array of bool or None
        Which values took part, shaped to broadcast against ``x``.
    centered : bool
        Whether the mean was subtracted.
    """

    x: Any
    inv_std: Any
    gamma: Any
    beta: Any
    moments: Moments
    rest: Any
    axes: tuple
    parameter_axes: tuple
    mask: Any
    centered: bool

    @property
    def dtype(self):
        """That of ``x``."""
        return self.x.dtype

    @property
    def x_hat(self):
        """Normalized input, in the shape of ``x`` and its dtype, but at least float32; 0 where
        masked. Worked out anew each time it is asked for."""
        xp = arrays.namespace(x=self.x)
        return arrays.cast(_normalized(self), xp.result_type(self.x.dtype, xp.float32))


def normalize_forward(x, gamma, beta, eps, axes, parameter_axes, mask=None, centered=True):
    """Any norm of the family; see :func:`bncourse.functional.batch_norm_forward` for the formula.

    The caller has looked at ``x``; ``mask``, if any, broadcasts against it and does not vary
    along the axes that are kept.
    """
    eps = checked_eps(eps, x)
    per_parameter = tuple([x.shape[a] for a in parameter_axes])
    gamma = parameter("gamma", gamma, x, per_parameter)
    beta = parameter("beta", beta, x, per_parameter)
    if centered and mask is None:
        done = fused_forward(x, gamma, beta, eps, axes, parameter_axes)
        if done is not None:
            return done
    xp = arrays.namespace(x=x)
    if centered:
        moments, d, rest = Moments.centered(x, axes, keepdims=True, mask=mask)
    else:
        moments, d = Moments.about_zero(x, axes, keepdims=True)
        rest = None
    inv_std = 1 / _std(moments, d, x.dtype, eps, axes)
    x_hat = d * inv_std
    y = scale_and_shift(x_hat, gamma, beta, parameter_axes)
    if mask is not None and beta is not None:
        y = xp.where(mask, y, xp.zeros_like(y))
    kept = tuple(n for a, n in enumerate(x.shape) if a not in axes)
    moments = Moments(moments.count, xp.reshape(moments.mean, kept), xp.reshape(moments.m2, kept))
    cache = NormCache(x, inv_std, gamma, beta, moments, rest, axes, parameter_axes, mask, centered)
    return arrays.cast(y, x.dtype), cache


def normalize_backward(dy, cache):
    r"""Gradients of :func:`normalize_forward`: with :math:`g = \gamma\,\mathrm{dy}`,

    .. math::

        \mathrm{dx} = \frac{1}{\sqrt{\sigma^2 + \varepsilon}}
        \bigl(g - \overline{g} - \hat x\, \overline{g \hat x}\bigr),

    the means taken over the reduced axes; the first one is left out if the norm does not center.
    """
    x, inv_std, gamma, beta, moments, _, axes, parameter_axes, mask, centered = cache
    xp = arrays.check_upstream(dy, x.shape, x)
    wide = inv_std.dtype
    if centered and mask is None:
        done = fused_backward(dy, cache)
        if done is not None:
            return done
    dy, x_hat = arrays.cast(dy, wide), _normalized(cache)
    if mask is not None:
        dy = xp.where(mask, dy, xp.zeros_like(dy))
    others = tuple(a for a in range(dy.ndim) if a not in parameter_axes)
    dgamma = None if gamma is None else _summed(dy * x_hat, others, gamma)
    dbeta = None if beta is None else _summed(dy, others, beta)
    g = scale_and_shift(dy, gamma, None, parameter_axes)
    m = max(moments.count, 1)
    dx = g - x_hat * (xp.sum(g * x_hat, axis=axes, keepdims=True) / m)
    if centered:
        dx = dx - xp.sum(g, axis=axes, keepdims=True) / m
    dx = dx * inv_std
    if mask is not None:
        dx = xp.where(mask, dx, xp.zeros_like(dx))
    return arrays.cast(dx, x.dtype), dgamma, dbeta


def fused_forward(x, gamma, beta, eps, axes, parameter_axes, **then):
    """As :func:`normalize_forward`, by a kernel; ``None`` if there is none for ``x``.

    ``then`` says what else that kernel shall do, if it can.
    """
    kernel, layout = kernels.choose(x, axes, parameter_axes)
    done = kernel and kernel.forward(x, gamma, beta, eps, layout.shape, **then)
    if done is None:
        return None
    y, mean, rest, m2, inv_std = done
    inv_std, rest = inv_std.reshape(layout.broadcast), rest.reshape(layout.broadcast)
    if len(layout.kept) > 1:
        mean, m2 = mean.reshape(layout.kept), m2.reshape(layout.kept)
    moments = Moments(layout.count, mean, m2)
    return y, NormCache(x, inv_std, gamma, beta, moments, rest, axes, parameter_axes, None, True)


def fused_backward(dy, cache, **after):
    """As :func:`normalize_backward`, by a kernel; ``None`` if there is none for ``x``.

    ``after`` says what else that kernel shall go back through, if it can.
    """
    x, inv_std, gamma, beta, moments, rest, axes, parameter_axes, *_ = cache
    kernel, layout = kernels.choose(x, axes, parameter_axes)
    if kernel is None or dy.dtype != x.dtype:
        return None
    done = kernel.backward(
        dy,
        x,
        moments.mean.reshape(-1),
        (0 * inv_std if rest is None else rest).reshape(-1),
        inv_std.reshape(-1),
        gamma,
        layout.shape,
        **after,
    )
    if done is None:
        return None
    dx, sum_dy, sum_dy_x_hat = done
    return dx, _like(sum_dy_x_hat, gamma), _like(sum_dy, beta)


def _like(total, parameter):
    """A sum in shape and dtype of its ``parameter``; ``None`` if there is none."""
    if parameter is None:
        return None
    total = arrays.cast(total, parameter.dtype)
    return total if parameter.ndim == 1 else total.reshape(parameter.shape)


def _normalized(cache):
    """``x_hat`` in the precision of the statistics."""
    xp = arrays.namespace(x=cache.x)
    d = arrays.cast(cache.x, cache.inv_std.dtype)
    if cache.centered:
        d = d - xp.reshape(cache.moments.mean, cache.inv_std.shape)
    if cache.rest is not None:
        d = d - cache.rest
    if cache.mask is not None:
        d = xp.where(cache.mask, d, xp.zeros_like(d))
    return d * cache.inv_std


def _std(moments, d, dtype, eps, axes):
    """``sqrt(var + eps)``, also where the squares of the deviations ``d`` overflow."""
    xp = arrays.namespace(d=d)
    std = xp.sqrt(moments.var + eps)
    # Only deviations no wider than x was can be too large to be squared.
    if d.dtype != dtype or bool(xp.all(xp.isfinite(std))):
        return std
    largest = xp.max(xp.abs(d), axis=axes, keepdims=True)
    lost = xp.isinf(std) & xp.isfinite(largest)
    part = d / xp.where(lost, largest, xp.ones_like(largest))
    mean_square = xp.sum(part * part, axis=axes, keepdims=True) / moments.count
    return xp.where(lost, largest * xp.sqrt(mean_square), std)  # eps is nothing beside it


def scale_and_shift(x_hat, gamma, beta, parameter_axes):
    """``gamma * x_hat + beta`` in the dtype of ``x_hat``; ``None`` leaves a step out."""
    xp = arrays.namespace(x_hat=x_hat)
    shape = tuple(n if a in parameter_axes else 1 for a, n in enumerate(x_hat.shape))
    y = x_hat
    if gamma is not None:
        y = y * xp.reshape(arrays.cast(gamma, x_hat.dtype), shape)
    if beta is not None:
        y = y + xp.reshape(arrays.cast(beta, x_hat.dtype), shape)
    return y


def checked_eps(eps, x):
    """``eps`` as a float that is not lost in the precision that statistics are carried in."""
    if type(eps) is float and 1e-30 < eps < 1:
        return eps  # the common case, told in no time
    eps = checks.number("eps", eps)
    wide = arrays.accumulator(x)
    least = float(arrays.namespace(x=x).finfo(wide).smallest_normal)
    if eps < least:
        raise ValueError(
            f"eps must be positive, at least {least:.1e} (the least normal {wide}), not {eps}: "
            "it keeps a constant channel from dividing by zero"
        )
    return eps


def check_enough(x, count):
    """Raise ``ValueError`` if there is but one value to take a variance of."""
    if count == 1:
        raise ValueError(
            f"x of shape {tuple(x.shape)} has one value per channel, so its variance is 0 and "
            "x_hat would be 0 whatever x is: use a larger batch, or normalize with running "
            "statistics (batch_norm_inference, or eval() on a layer), or use a norm that does "
            "not look across the batch, such as layer norm"
        )


def parameter(name, value, x, shape):
    """A parameter as an array of its own floating dtype; lists and integers take that of ``x``."""
    if value is None:
        return None
    if type(value) is np.ndarray and value.dtype.kind == "f" and value.shape == shape:
        return value  # the common case, told in a microsecond
    xp = arrays.namespace(x=x)
    floating = not isinstance(value, (list, tuple)) and xp.isdtype(value.dtype, "real floating")
    return arrays.place(name, value, x, shape, value.dtype if floating else x.dtype)


def _summed(a, axes, parameter):
    """``a`` summed over ``axes``, in the shape and dtype of ``parameter``."""
    xp = arrays.namespace(a=a)
    total = xp.sum(a, axis=axes) if axes else a
    return arrays.cast(xp.reshape(total, parameter.shape), parameter.dtype)

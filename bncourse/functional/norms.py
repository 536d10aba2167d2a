"""Layer, group, instance and RMS norm: the same two steps over other axes.

They look at one example at a time, so they need no running statistics and no second mode.
"""

from typing import NamedTuple

from bncourse import arrays, checks
from bncourse.functional.normalization import NormCache, normalize_backward, normalize_forward
from bncourse.moments import _axes


def layer_norm_forward(x, gamma=None, beta=None, eps=1e-5, axis=-1):
    r"""Normalize each example by the mean and the variance of its own features.

    .. math::

        \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \qquad y = \gamma \hat x + \beta,

    :math:`\mu` and the biased :math:`\sigma^2` being taken over ``axis``, along which
    :math:`\gamma` and :math:`\beta` run.

    Parameters
    ----------
    x : array
        Real floating point, of any shape.
    gamma, beta : array or list, in the shape of ``x`` along ``axis``, optional
    eps : float
        Positive.
    axis : int or tuple of int
        The axes that make up one example's features. ``(-2, -1)`` is PyTorch's
        ``normalized_shape`` of two.

    Returns
    -------
    y : array
        In the shape and dtype of ``x``. A single feature gives ``beta``.
    cache : NormCache
        For :func:`layer_norm_backward`.

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_forward`.

    Notes
    -----
    Source: Ba, Kiros and Hinton (2016).
    """
    return _per_example(x, gamma, beta, eps, axis, centered=True)


def layer_norm_backward(dy, cache):
    """Gradients of :func:`layer_norm_forward`: ``dx, dgamma, dbeta``.

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_backward`.
    """
    arrays.check_cache(cache, NormCache, "layer_norm_forward")
    return normalize_backward(dy, cache)


def rms_norm_forward(x, gamma=None, eps=1e-5, axis=-1):
    r"""Divide each example by the root mean square of its own features; nothing is subtracted.

    .. math::

        y = \gamma\,\frac{x}{\sqrt{\overline{x^2} + \varepsilon}}

    Parameters, result and errors as for :func:`layer_norm_forward`, without ``beta``.
    Source: Zhang and Sennrich (2019).
    """
    return _per_example(x, gamma, None, eps, axis, centered=False)


def rms_norm_backward(dy, cache):
    """Gradients of :func:`rms_norm_forward`: ``dx, dgamma``, from ``dy`` and its ``cache``.

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_backward`.
    """
    arrays.check_cache(cache, NormCache, "rms_norm_forward")
    return normalize_backward(dy, cache)[:2]


class GroupNormCache(NamedTuple):
    """The cache of the norm on grouped channels, and the shape of ``x`` before grouping."""

    cache: NormCache
    shape: tuple


def group_norm_forward(x, groups, gamma=None, beta=None, eps=1e-5):
    r"""Normalize each example by the statistics of groups of its channels.

    Parameters
    ----------
    x : array, shape (N, C) or (N, C, ...)
        Real floating point.
    groups : int
        How many groups the C channels form, in order; a divisor of C. One group is a layer norm
        over all but the batch, C groups an instance norm.
    gamma, beta : array or list, shape (C,), optional
        Scale and shift, one a channel.
    eps : float
        Positive.

    Returns
    -------
    y : array
        In the shape and dtype of ``x``.
    cache : GroupNormCache
        For :func:`group_norm_backward`.

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_forward`; also if ``groups`` does not divide C.

    Notes
    -----
    Source: Wu and He (2018).
    """
    arrays.check_real("x", x)
    xp = arrays.namespace(x=x, gamma=gamma, beta=beta)
    groups = checks.integer("groups", groups, 1)
    if x.ndim < 2 or x.shape[1] % groups:
        raise ValueError(
            f"groups must divide the channels, axis 1 of x, but x has shape {tuple(x.shape)} and "
            f"groups is {groups}"
        )
    in_groups = (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])

    def grouped(name, value):
        if value is None:
            return None
        floating = not isinstance(value, (list, tuple)) and xp.isdtype(value.dtype, "real floating")
        dtype = value.dtype if floating else x.dtype
        return xp.reshape(arrays.place(name, value, x, (x.shape[1],), dtype), in_groups[1:3])

    gamma, beta = grouped("gamma", gamma), grouped("beta", beta)
    axes = tuple(range(2, len(in_groups)))
    y, cache = normalize_forward(xp.reshape(x, in_groups), gamma, beta, eps, axes, (1, 2))
    return xp.reshape(y, x.shape), GroupNormCache(cache, tuple(x.shape))


def group_norm_backward(dy, cache):
    """Gradients of :func:`group_norm_forward`: ``dx, dgamma, dbeta``.

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_backward`.
    """
    arrays.check_cache(cache, GroupNormCache, "group_norm_forward")
    inner, shape = cache
    xp = arrays.check_upstream(dy, shape, inner.x_hat)
    dx, *parameters = normalize_backward(xp.reshape(dy, inner.x_hat.shape), inner)
    flat = (None if g is None else xp.reshape(g, (shape[1],)) for g in parameters)
    return xp.reshape(dx, shape), *flat


def instance_norm_forward(x, gamma=None, beta=None, eps=1e-5):
    """Normalize each channel of each example by its own statistics over the positions.

    Parameters, result and errors as for :func:`group_norm_forward` with C groups; ``x`` needs
    positions, shape (N, C, L) or (N, C, H, W). Source: Ulyanov, Vedaldi and Lempitsky (2016).
    """
    arrays.check_real("x", x)
    if x.ndim < 3:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, one value per channel of an example, whose variance "
            "is 0: instance norm needs positions, (N, C, L) or (N, C, H, W)"
        )
    if x.shape[1] == 0:
        raise ValueError("x must have at least one channel")
    return group_norm_forward(x, x.shape[1], gamma, beta, eps)


def instance_norm_backward(dy, cache):
    """Gradients of :func:`instance_norm_forward`: ``dx, dgamma, dbeta``, from ``dy`` and its
    ``cache``.

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_backward`.
    """
    return group_norm_backward(dy, cache)


def _per_example(x, gamma, beta, eps, axis, centered):
    arrays.check_real("x", x)
    arrays.namespace(x=x, gamma=gamma, beta=beta)
    axes = _axes(axis, x.ndim)
    if not axes:
        raise ValueError("axis must name at least one axis of x")
    return normalize_forward(x, gamma, beta, eps, axes, axes, centered=centered)

"""The gradient of a gradient: what a penalty on gradients, or a second derivative, needs."""

from bncourse import arrays
from bncourse.functional.normalization import NormCache, scale_and_shift


def batch_norm_double_backward(ddx, dy, cache, ddgamma=None, ddbeta=None):
    r"""Gradients of :func:`batch_norm_backward` with respect to its inputs.

    Let :math:`\Phi = \sum_i u_i\,\mathrm{dx}_i + v\,\mathrm{dgamma} + w\,\mathrm{dbeta}` with
    upstream gradients :math:`u, v, w`. With :math:`P(z) = z - \overline{z} - \hat x\,
    \overline{z \hat x}`, :math:`a = \overline{u \hat x}`, :math:`b = \overline{\mathrm{dy}\,
    \hat x}` and :math:`s = \sqrt{\sigma^2 + \varepsilon}`,

    .. math::

        \frac{\partial \Phi}{\partial \mathrm{dy}} &= \frac{\gamma}{s} P(u) + v \hat x + w, \qquad
        \frac{\partial \Phi}{\partial \gamma} = \frac1s \sum_i u_i P(\mathrm{dy})_i,

        \frac{\partial \Phi}{\partial x} &= -\frac{\gamma}{s^2} \Bigl( \hat x\,
        \overline{u P(\mathrm{dy})} + b\,P(u) + a\,P(\mathrm{dy}) \Bigr)
        + \frac{v}{s} P(\mathrm{dy})

    Nothing is divided by :math:`\gamma`, so it may be 0.

    Parameters
    ----------
    ddx : array
        Upstream gradient :math:`u` of ``dx``, in the shape of ``x``.
    dy : array
        What :func:`batch_norm_backward` was given.
    cache : NormCache
        Of :func:`batch_norm_forward`, with which it was given.
    ddgamma, ddbeta : array, shape (C,), optional
        Upstream gradients :math:`v, w` of ``dgamma`` and ``dbeta``.

    Returns
    -------
    d_dy, d_x : array
        In the shape and dtype of ``x``.
    d_gamma : array or None
        In the shape and dtype of ``gamma``; ``None`` if there was none.

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_backward`; also if ``cache`` is that of another norm, or of a batch
        with a mask.

    Notes
    -----
    Our own derivation: :math:`s` and :math:`\hat x` are differentiated by :math:`\partial s /
    \partial x_i = \hat x_i / m` and :math:`\partial \hat x_j / \partial x_i = (\delta_{ij} - 1/m
    - \hat x_i \hat x_j / m) / s`, which hold for any :math:`\varepsilon`.
    """
    arrays.check_cache(cache, NormCache, "batch_norm_forward")
    if cache.mask is not None or not cache.centered or set(cache.axes) & set(cache.parameter_axes):
        raise ValueError("cache must be of a batch norm without a mask")
    wide, dtype = cache.inv_std.dtype, cache.dtype
    xp = arrays.check_upstream(dy, cache.x_hat.shape, cache.x_hat)
    arrays.check_upstream(ddx, cache.x_hat.shape, cache.x_hat)
    u, g, x_hat = (xp.astype(a, wide, copy=False) for a in (ddx, dy, cache.x_hat))
    m = max(cache.moments.count, 1)

    def mean(z):
        return xp.sum(z, axis=cache.axes, keepdims=True) / m

    a, b = mean(u * x_hat), mean(g * x_hat)
    projected_u = u - mean(u) - x_hat * a
    projected_g = g - mean(g) - x_hat * b
    overlap = mean(u * projected_g)

    def along_channels(z, gamma, beta=None):
        return scale_and_shift(z, gamma, beta, cache.parameter_axes)

    d_dy = along_channels(projected_u * cache.inv_std, cache.gamma)
    d_x = x_hat * overlap + b * projected_u + a * projected_g
    d_x = along_channels(-d_x * cache.inv_std * cache.inv_std, cache.gamma)
    if ddgamma is not None:
        d_dy = d_dy + along_channels(x_hat, ddgamma)
        d_x = d_x + along_channels(projected_g * cache.inv_std, ddgamma)
    if ddbeta is not None:
        d_dy = along_channels(d_dy, None, ddbeta)
    d_gamma = None
    if cache.gamma is not None:
        d_gamma = xp.reshape(overlap * m * cache.inv_std, cache.gamma.shape)
        d_gamma = xp.astype(d_gamma, cache.gamma.dtype, copy=False)
    return xp.astype(d_dy, dtype, copy=False), xp.astype(d_x, dtype, copy=False), d_gamma

r"""Folding: a batch norm at inference is an affine map, and so is the layer before it.

With :math:`s = \sqrt{\mathrm{var} + \varepsilon}`,

.. math::

    \gamma\,\frac{(W u + b) - \mathrm{mean}}{s} + \beta
    = \underbrace{\frac{\gamma}{s} W}_{W'} u
    + \underbrace{\frac{\gamma}{s} (b - \mathrm{mean}) + \beta}_{b'}

for each output channel, so the pair costs no more than the layer alone. The other order, a batch
norm *before* the layer, cannot be folded exactly where the layer pads its input with zeros.
"""

from bncourse import arrays
from bncourse.functional.normalization import checked_eps


def fold_dense(w, b, gamma, beta, mean, var, eps=1e-5):
    """Weights and bias of a dense layer that does the batch norm after it as well.

    Parameters
    ----------
    w : array, shape (D, H)
    b : array, shape (H,), or None
    gamma, beta : array or list, shape (H,), or None
        Of the batch norm; any sign, also 0.
    mean, var : array or list, shape (H,)
        Its population statistics.
    eps : float

    Returns
    -------
    w, b : array
        In the dtype of the weights; worked out in the widest precision of the device.

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_inference`.

    Notes
    -----
    Source: Ioffe and Szegedy (2015), section 3.1, that the transform at inference is linear.
    """
    return _fold(w, b, gamma, beta, mean, var, eps, lambda scale: (1, *scale.shape), w.shape[1])


def fold_conv(w, b, gamma, beta, mean, var, eps=1e-5):
    """As :func:`fold_dense` for a convolution: ``w`` of shape (C_out, C_in / groups, ...).

    The output channels come first whatever the number of groups, so depthwise is no exception.
    """
    spatial = (1,) * (w.ndim - 1)
    return _fold(w, b, gamma, beta, mean, var, eps, lambda s: (*s.shape, *spatial), w.shape[0])


def fold_conv_transpose(w, b, gamma, beta, mean, var, eps=1e-5, groups=1):
    """As :func:`fold_dense` for a transposed convolution: ``w`` of shape (C_in, C_out / groups,
    ...), in which the output channels of each group stand beside the inputs of that group."""
    if w.shape[0] % groups:
        raise ValueError(f"groups must divide the {w.shape[0]} input channels, not {groups}")
    xp = arrays.namespace(w=w)
    n_in, out = w.shape[0] // groups, w.shape[1]
    inner = xp.reshape(w, (groups, n_in, out, *w.shape[2:]))
    shape = (groups, 1, out) + (1,) * (w.ndim - 2)
    folded, bias = _fold(inner, b, gamma, beta, mean, var, eps, lambda _: shape, groups * out)
    return xp.reshape(folded, w.shape), bias


def _fold(w, b, gamma, beta, mean, var, eps, broadcast, channels):
    xp = arrays.namespace(w=w, b=b, gamma=gamma, beta=beta, mean=mean, var=var)
    arrays.check_real("w", w)
    if mean is None or var is None:
        raise TypeError("mean and var must be given: they are what is folded")
    wide = arrays.accumulator(w)
    eps = checked_eps(eps, w)

    def channel(name, value):
        return arrays.place(name, value, w, (channels,), wide)

    var, mean = channel("var", var), channel("mean", mean)
    if bool(xp.any(var < 0)):
        raise ValueError("var must not be negative: pass variances, not their logarithms")
    scale = 1 / xp.sqrt(var + eps)
    if gamma is not None:
        scale = scale * channel("gamma", gamma)
    shift = -mean if b is None else channel("b", b) - mean
    shift = shift * scale
    if beta is not None:
        shift = shift + channel("beta", beta)
    folded = xp.astype(w, wide, copy=False) * xp.reshape(scale, broadcast(scale))
    return xp.astype(folded, w.dtype, copy=False), xp.astype(shift, w.dtype, copy=False)

"""Sigmoid, ReLU and tanh, elementwise."""

import numpy as np

from bncourse import arrays
from bncourse.functional.masking import keep


def sigmoid_forward(x):
    r"""Logistic sigmoid :math:`y = 1 / (1 + e^{-x})`, without a warning for any input.

    Parameters
    ----------
    x : array
        Real floating point, any shape.

    Returns
    -------
    y : array
        In the shape and dtype of ``x``; 0 where it is less than the smallest normal number.
    cache : array
        ``y`` itself, not a copy, for :func:`sigmoid_backward`.
    """
    xp = arrays.namespace(x=x)
    arrays.check_real("x", x)
    # Float16 runs out of exponents where y is not yet small; the others where it is below their
    # smallest normal number, and 1 / infinity is the 0 that it is rounded to.
    with np.errstate(over="ignore"):
        y = xp.exp(-arrays.cast(x, arrays.at_least_float32(x.dtype, xp)))
    y += 1
    y = arrays.cast(1 / y, x.dtype)
    return y, y


def sigmoid_backward(dy, cache):
    r"""Gradient of the sigmoid: :math:`\mathrm{dx} = \mathrm{dy}\; y (1 - y)`.

    ``dy`` is in the shape of ``y``, and ``cache`` comes from :func:`sigmoid_forward`.
    """
    arrays.check_real("cache", cache)
    arrays.check_upstream(dy, cache.shape, cache)
    return dy * cache * (1 - cache)


def relu_forward(x):
    r"""Rectifier :math:`y = \max(x, 0)`; a NaN stays a NaN.

    Parameters
    ----------
    x : array
        Real floating point, any shape.

    Returns
    -------
    y : array
        In the shape and dtype of ``x``.
    cache : array of bool
        Where ``x`` was positive, for :func:`relu_backward`.
    """
    xp = arrays.namespace(x=x)
    arrays.check_real("x", x)
    zero = xp.asarray(0, dtype=x.dtype, device=arrays.compat.device(x))
    return xp.maximum(x, zero), x > 0


def relu_backward(dy, cache):
    r"""Gradient of the rectifier: ``dy`` where ``x`` was positive, 0 elsewhere (also at 0).

    ``dy`` is in the shape of ``y``, and ``cache`` comes from :func:`relu_forward`.
    """
    arrays.namespace(cache=cache)
    arrays.check_upstream(dy, cache.shape, cache)
    return keep(dy, cache)


def tanh_forward(x):
    r"""Hyperbolic tangent.

    Parameters
    ----------
    x : array
        Real floating point, any shape.

    Returns
    -------
    y : array
        In the shape and dtype of ``x``.
    cache : array
        ``y`` itself, not a copy, for :func:`tanh_backward`.
    """
    xp = arrays.namespace(x=x)
    arrays.check_real("x", x)
    y = xp.tanh(x)
    return y, y


def tanh_backward(dy, cache):
    r"""Gradient of tanh: :math:`\mathrm{dx} = \mathrm{dy}\,(1 - y^2)`.

    ``dy`` is in the shape of ``y``, and ``cache`` comes from :func:`tanh_forward`.
    """
    arrays.check_real("cache", cache)
    arrays.check_upstream(dy, cache.shape, cache)
    return dy * (1 - cache * cache)

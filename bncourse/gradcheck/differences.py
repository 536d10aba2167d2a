"""Numerical gradients in their plainest form: one step for all entries, and no second look."""

import numpy as np


def central_difference(f, x, dy=1.0, h=1e-5):
    r"""Gradient by centered differences, :math:`(L(x + h e_j) - L(x - h e_j)) / 2h`.

    Parameters
    ----------
    f : callable
        Takes an array like ``x``, returns a number or an array.
    x : numpy.ndarray
        Taken as float64 and not changed.
    dy : float or numpy.ndarray
        Upstream gradient, in the shape of ``f(x)``.
    h : float
        Step, in units of ``x``. The error is of order h² plus rounding over h: about 1e-10 of
        the loss at the default, for values near one.

    Returns
    -------
    numpy.ndarray
        In the shape of ``x``, float64.

    Raises
    ------
    ValueError
        If ``dy`` is an array, but not in the shape of ``f(x)``.
    """
    x = np.array(x, dtype=np.float64)
    dx = np.empty_like(x)
    for j in np.ndindex(x.shape):
        keep = x[j]
        x[j] = keep + h
        above = _loss(f, x, dy)
        x[j] = keep - h
        below = _loss(f, x, dy)
        x[j] = keep
        dx[j] = (above - below) / (2 * h)
    return dx


def complex_step(f, x, dy=1.0, h=1e-30):
    r"""Gradient by the complex step, :math:`\operatorname{Im} L(x + i h e_j) / h`.

    No two nearly equal numbers are subtracted, so the result is exact to rounding. The price:
    ``f`` must be analytic and accept complex numbers. Write a square as ``d * d`` (``np.var``
    and ``abs`` take the modulus, which is not analytic).

    Source: Squire and Trapp (1998). Parameters ``f, x, dy, h``, result and errors as in
    :func:`central_difference`.
    """
    x = np.array(x, dtype=np.complex128)
    dx = np.empty(x.shape)
    for j in np.ndindex(x.shape):
        x[j] += 1j * h
        dx[j] = np.imag(_loss(f, x, dy)) / h
        x[j] = x[j].real
    return dx


def _loss(f, x, dy):
    y = np.asarray(f(x.copy()))  # a copy, so that f cannot change what is being stepped
    if np.ndim(dy) and np.shape(dy) != y.shape:
        raise ValueError(f"dy has shape {np.shape(dy)}, but f(x) has {y.shape}")
    return np.sum(dy * y)

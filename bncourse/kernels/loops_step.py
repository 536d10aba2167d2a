"""What a training step of dense layers does between its matrix products, as loops for Numba.

Arrays of which no shape is told are of one length and one dtype. The results have the bits of the
functions in :mod:`bncourse.functional`, or differ by a rounding: sums are carried in float64 here.
"""

import numpy as np

from bncourse.kernels import loops_table
from bncourse.kernels.jit import jit


@jit()
def add_row(y, b):
    """``y += b``, for ``y`` of shape (N, H) and ``b`` of shape (H,)."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] += b[j]


@jit()
def sum_rows(dy, total):
    """Fills ``total``, shape (H,), with the sums of the columns of ``dy``, shape (N, H)."""
    s = np.zeros(dy.shape[1])
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            s[j] += dy[i, j]
    total[:] = s


@jit()
def negated(x, e, largest):
    """``e = -x``, but infinity where it exceeds ``largest``, so that ``exp`` need not warn."""
    least, infinity = x.dtype.type(-largest), x.dtype.type(np.inf)
    for i in range(len(x)):
        e[i] = infinity if x[i] < least else -x[i]


@jit()
def sigmoid(e):
    """``1 / (1 + e)`` in place, for ``e = exp(-x)``."""
    one = e.dtype.type(1)
    for i in range(len(e)):
        e[i] = one / (one + e[i])


@jit()
def sigmoid_gradient(dy, y, dx):
    """``dx = dy * y * (1 - y)``."""
    one = y.dtype.type(1)
    for i in range(len(y)):
        dx[i] = dy[i] * y[i] * (one - y[i])


@jit()
def tanh_gradient(dy, y, dx):
    """``dx = dy * (1 - y * y)``."""
    one = y.dtype.type(1)
    for i in range(len(y)):
        dx[i] = dy[i] * (one - y[i] * y[i])


@jit()
def relu(x, y):
    """``y = max(x, 0)``; a NaN stays one."""
    zero = x.dtype.type(0)
    for i in range(len(x)):
        y[i] = zero if x[i] <= zero else x[i]


@jit()
def relu_gradient(dy, y, dx):
    """``dx = dy`` where ``y`` is positive, else 0."""
    zero = y.dtype.type(0)
    for i in range(len(y)):
        dx[i] = dy[i] if y[i] > zero else zero


@jit()
def cross_entropy(logits, labels, gradient):
    """Mean cross-entropy of softmax, and its gradient with respect to the logits, both (m, K).

    Negative if a label is not a class. Of a hopeless class, -inf, only its own example suffers.
    """
    m, classes = logits.shape
    total = 0.0
    for i in range(m):
        label = labels[i]
        if label < 0 or label >= classes:
            return -1.0
        top = logits[i, 0]
        for j in range(1, classes):
            if logits[i, j] > top:
                top = logits[i, j]
        s = 0.0
        for j in range(classes):
            gradient[i, j] = np.exp(logits[i, j] - top)
            s += gradient[i, j]
        for j in range(classes):
            gradient[i, j] /= s * m
        gradient[i, label] = (np.exp(logits[i, label] - top) / s - 1) / m
        total += np.log(s) - (logits[i, label] - top)
    return total / m


@jit()
def running(old_mean, old_var, statistics, divisor, weight, mean, var):
    """Running ``mean`` and ``var`` after a batch, from those before it.

    ``statistics`` are those of :func:`bncourse.kernels.loops_table.forward`; its m2 is divided by
    ``divisor``.
    """
    for c in range(len(mean)):
        mean[c] = (1 - weight) * old_mean[c] + weight * statistics[0, c]
        var[c] = (1 - weight) * old_var[c] + weight * (statistics[2, c] / divisor)


@jit()
def norm_gradient(dy, x, statistics, gamma, least, most, dx, sums, dgamma, dbeta):
    """:func:`bncourse.kernels.loops_table.backward`, and its sums in the dtype of parameters.

    Returns whether that could be: not where an ``inv_std`` lies outside of ``least`` to ``most``,
    or a product overflows.
    """
    mean, rest, inv_std = statistics[0], statistics[1], statistics[3]
    for c in range(len(inv_std)):
        if inv_std[c] < least or inv_std[c] > most:
            return False
    fine = loops_table.backward(dy, x, mean, rest, inv_std, gamma, dx, sums)
    dbeta[:] = sums[0]
    dgamma[:] = sums[1]
    return fine


@jit()
def descend(parameter, gradient, rate):
    """``parameter -= rate * gradient``."""
    eta = parameter.dtype.type(rate)
    for i in range(len(parameter)):
        parameter[i] -= eta * gradient[i]

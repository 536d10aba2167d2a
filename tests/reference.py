"""Independent oracles: plain loops in extended precision, and forwards that take complex numbers.

Nothing here comes from the package. The loops go through one channel after the other, and the
gradients follow the paper's six equations, not the simplified form.
"""

import math

import numpy as np

LONG = np.longdouble


def _rows(x, axis):
    """One row per channel in extended precision, and a function that undoes it."""
    axes = tuple(a % np.ndim(x) for a in (axis if isinstance(axis, tuple) else (axis,)))
    moved = np.moveaxis(np.asarray(x, LONG), axes, range(len(axes)))
    rows = moved.reshape(math.prod(moved.shape[: len(axes)]), -1)

    def undo(result):
        result = np.array(result, LONG).reshape(moved.shape)
        return np.moveaxis(result, range(len(axes)), axes)

    return rows, undo


def _flat(value, default, channels):
    if value is None:
        return [LONG(default)] * channels
    return np.asarray(value, LONG).ravel()


def moments(row):
    """Mean and sum of squared deviations of some numbers."""
    mean = sum(row, LONG(0)) / len(row)
    return mean, sum(((v - mean) ** 2 for v in row), LONG(0))


def batch_norm_forward(x, gamma=None, beta=None, eps=1e-5, axis=1):
    rows, undo = _rows(x, axis)
    gamma, beta = _flat(gamma, 1, len(rows)), _flat(beta, 0, len(rows))
    y = []
    for row, scale, shift in zip(rows, gamma, beta, strict=True):
        mean, m2 = moments(row)
        std = np.sqrt(m2 / len(row) + LONG(eps))
        y.append([scale * ((v - mean) / std) + shift for v in row])
    return undo(y)


def batch_norm_inference(x, gamma, beta, mean, var, eps=1e-5, axis=1):
    rows, undo = _rows(x, axis)
    gamma, beta = _flat(gamma, 1, len(rows)), _flat(beta, 0, len(rows))
    y = []
    for i, row in enumerate(rows):
        center, std = LONG(np.ravel(mean)[i]), np.sqrt(LONG(np.ravel(var)[i]) + LONG(eps))
        y.append([gamma[i] * (v - center) / std + beta[i] for v in row])
    return undo(y)


def batch_norm_backward(dy, x, gamma=None, eps=1e-5, axis=1):
    """dx, dgamma, dbeta by the six equations of Ioffe and Szegedy (2015), section 3."""
    rows, undo = _rows(x, axis)
    dy_rows, _ = _rows(dy, axis)
    dx, dgamma, dbeta = [], [], []
    for row, g, scale in zip(rows, dy_rows, _flat(gamma, 1, len(rows)), strict=True):
        m = len(row)
        mean, m2 = moments(row)
        std = np.sqrt(m2 / m + LONG(eps))
        dx_hat = [scale * v for v in g]
        dvar = sum(dh * (v - mean) * (-1 / (2 * std**3)) for dh, v in zip(dx_hat, row, strict=True))
        dmean = sum(-dh / std for dh in dx_hat) + dvar * sum(-2 * (v - mean) for v in row) / m
        dx.append(
            [
                dh / std + dvar * 2 * (v - mean) / m + dmean / m
                for dh, v in zip(dx_hat, row, strict=True)
            ]
        )
        dgamma.append(sum(d * (v - mean) / std for d, v in zip(g, row, strict=True)))
        dbeta.append(sum(g, LONG(0)))
    return undo(dx), np.array(dgamma, LONG), np.array(dbeta, LONG)


# Forwards that take complex numbers: squares are d * d, and every choice looks at the real part.


def analytic_batch_norm(x, gamma=1.0, beta=0.0, eps=1e-5, axis=1):
    channel = tuple(a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
    axes = tuple(a for a in range(x.ndim) if a not in channel)
    shape = [n if a in channel else 1 for a, n in enumerate(x.shape)]
    d = x - x.mean(axis=axes, keepdims=True)
    var = (d * d).mean(axis=axes, keepdims=True)
    gamma = np.reshape(gamma, shape) if np.ndim(gamma) else gamma
    beta = np.reshape(beta, shape) if np.ndim(beta) else beta
    return gamma * d / np.sqrt(var + eps) + beta


def analytic_sigmoid(x):
    return 1 / (1 + np.exp(-x))


def analytic_relu(x):
    return np.where(np.real(x) > 0, x, 0)


def analytic_cross_entropy(logits, labels):
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(labels)), labels]).mean()

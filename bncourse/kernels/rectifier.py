"""A ReLU behind a batch norm, inside its loops; where there is none, they are compiled without."""

import numpy as np

from bncourse.kernels.jit import jit

NONE = -np.inf  # the least that a batch norm without ReLU may give


@jit()
def part(a, index):
    """``a[index]``, or ``None`` if there is no ``a``."""
    if a is None:
        return None
    return a[index]


@jit()
def summed(v, residual, i):
    """``v``, and what is to be added to it before the ReLU, if anything."""
    if residual is None:
        return v
    return v + residual[i]


@jit()
def edges(x, mean, rest, inv_std, gamma, beta):
    """A sign and an edge for each channel: ``y > 0`` where ``sign * x > edge``.

    In the dtype of ``x``, shape (2, C). So the way back need not read ``y``.
    """
    found = np.empty((2, len(mean)), x.dtype)
    for c in range(len(mean)):
        scale = gamma[c] * inv_std[c]
        sign = -1.0 if scale < 0 else 1.0
        edge = sign * (mean[c] + rest[c]) - beta[c] / abs(scale)
        found[0, c], found[1, c] = sign, edge
        if found[1, c] > edge:  # rounded down, so that the next x is on the right side
            found[1, c] = np.nextafter(found[1, c], -found.dtype.type(np.inf))
    return found


@jit()
def repeated(edges, first, last, length):
    """Those of the channels ``first`` to ``last``, for each position of a map."""
    if edges is None:
        return None
    found = np.empty((2, (last - first) * length), edges.dtype)
    for i in range(found.shape[1]):
        found[0, i], found[1, i] = edges[0, first + i // length], edges[1, first + i // length]
    return found


@jit()
def passed(dy, x, edges, c):
    """The gradient ``dy`` that comes through: 0 if ``x`` is not beyond the edge of channel c."""
    if edges is None:
        return dy
    return dy if edges[0, c] * x > edges[1, c] else edges.dtype.type(0)

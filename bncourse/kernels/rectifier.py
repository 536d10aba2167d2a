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

    In the dtype of ``x``, shape (2, C). So the way back need not read ``y``. What lies at the edge
    itself, and right behind it, is told by ``y``: in a constant channel, that is every value.
    """
    found, infinity = np.empty((2, len(mean)), x.dtype), x.dtype.type(np.inf)
    for c in range(len(mean)):
        scale = gamma[c] * inv_std[c]
        shift, sign = beta[c] - rest[c] * scale, x.dtype.type(-1 if scale < 0 else 1)
        found[1, c] = sign * (mean[c] + rest[c]) - beta[c] / abs(scale)
        edge = found[1, c]
        if x.dtype.type((sign * edge - mean[c]) * scale + shift) > 0:
            edge = np.nextafter(edge, -infinity)
        elif x.itemsize == 8:  # else the edge, rounded, is the value next to the true one
            after = np.nextafter(edge, infinity)
            if (sign * after - mean[c]) * scale + shift <= 0:
                edge = after
        found[0, c], found[1, c] = sign, edge
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

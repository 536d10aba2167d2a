"""Batch norm of a table, ``x`` of shape (R, C), as loops for Numba.

Sums and coefficients of the columns come from the cache again with each row. Four rows are added
up at a time, groups of sixteen in the dtype of ``x``, and groups to a float64 sum. Chunks of
groups have sums of their own: rounding grows with the chunks and not with the rows, and does not
depend on how many threads share the chunks.

What is scaled is ``x - center``, where the center is the mean in the dtype of ``x``, or 0 if the
mean is near enough to that; by a coefficient that is the sum of two numbers of that dtype,
``high + low``. So the arithmetic, though in float32, is off by about one unit in the last place.

Arrays of which no shape is told hold one number a column: ``center`` and coefficients in the
dtype of ``x``, all else in float64.
"""

import numpy as np

from bncourse.kernels.jit import jit
from bncourse.kernels.prefetch import prefetch
from bncourse.kernels.rectifier import NONE, part, passed, summed

GROUP = 16  # rows
CHUNK = 2**16  # values, or more: of at least 8 groups
PAGE = 1024  # values that the processor foresees by itself, in rows as long as that
LINE = 16
FAR = 2.0  # standard deviations: a center that far from the mean costs digits


@jit()
def forward(x, gamma, beta, eps, refine, y, statistics, residual=None, least=NONE):
    """Fills ``y`` and ``statistics``, shape (4, C): mean, rest, m2, inv_std; on one thread.

    As :func:`bncourse.kernels.loops_maps.forward`. Returns whether all of them are finite.
    """
    mean, rest, m2, inv_std = statistics[0], statistics[1], statistics[2], statistics[3]
    sums = no_sums(x)
    center = begin(x, m2)
    deviations(x, center, m2, 0, len(x), sums)
    if improve(sums, len(x), center, mean, rest, m2) or refine:
        center[:] = mean
        deviations(x, center, m2, 0, len(x), sums)
        improve(sums, len(x), center, mean, rest, m2)
    high, low, shift = coefficients(len(x), gamma, beta, eps, center, mean, rest, m2, inv_std)
    affine(x, center, high, low, shift, y, 0, len(x), residual, least)
    return np.isfinite(m2.sum())


@jit()
def chunk_rows(x):
    """Rows of a chunk."""
    return GROUP * max(8, CHUNK // GROUP // x.shape[1])


@jit()
def no_sums(x):
    """Room for two sums a chunk and a column."""
    return np.empty(((len(x) - 1) // chunk_rows(x) + 1, 2, x.shape[1]))


@jit()
def ahead(x, first, last):
    """Asks for the values of short rows one page before they are needed."""
    if x.shape[1] < PAGE:
        row = x[first]
        for i in range(0, (last - first) * x.shape[1], LINE):
            prefetch(row, i + PAGE)


@jit()
def begin(x, m2):
    """A center to begin with, the mean of the first rows; and an m2 to improve."""
    m2[:] = 0
    center, rows = x[0].copy(), min(GROUP, len(x))
    share = 1 / rows
    for r in range(1, rows):
        for c in range(x.shape[1]):
            center[c] += (x[r, c] - x[0, c]) * share
    return center


@jit()
def deviations(x, center, m2, first, last, sums):
    """Sums of ``d = x - center`` and of ``d * d - m2 / R``, chunk by chunk, of some rows."""
    guess = m2 / len(x)
    s, q = np.empty_like(center), np.empty_like(center)
    height = chunk_rows(x)
    sums[first // height : (last - 1) // height + 1] = 0
    for start in range(first, last, GROUP):
        rows, chunk = x[start : min(start + GROUP, last)], sums[start // height]
        s[:] = 0
        q[:] = 0
        fours = len(rows) // 4 * 4
        for r in range(0, fours, 4):
            ahead(x, start + r, start + r + 4)
            for c in range(rows.shape[1]):
                d0, d1 = rows[r, c] - center[c], rows[r + 1, c] - center[c]
                d2, d3 = rows[r + 2, c] - center[c], rows[r + 3, c] - center[c]
                s[c] += (d0 + d1) + (d2 + d3)
                q[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
        for r in range(fours, len(rows)):
            for c in range(rows.shape[1]):
                d = rows[r, c] - center[c]
                s[c] += d
                q[c] += d * d
        for c in range(rows.shape[1]):
            chunk[0, c] += s[c]
            chunk[1, c] += q[c] - len(rows) * guess[c]


@jit()
def total(sums):
    """Both sums over all chunks."""
    found = sums[0].copy()
    for chunk in range(1, len(sums)):
        for i in range(2):
            for c in range(sums.shape[2]):
                found[i, c] += sums[chunk, i, c]
    return found


@jit()
def improve(sums, count, center, mean, rest, m2):
    """Mean, and a better m2; and whether a center was too far from its mean."""
    far, sums = False, total(sums)
    for c in range(len(mean)):
        s, q = sums[0, c], sums[1, c]
        slip = s / count
        mean[c] = center[c] + slip
        rest[c] = slip - (mean[c] - center[c])
        m2[c] += q - s * slip
        if m2[c] < 0:
            m2[c] = 0
        far |= slip * s > FAR * FAR * m2[c]
    return far


@jit()
def coefficients(count, gamma, beta, eps, center, mean, rest, m2, inv_std):
    """Fills ``inv_std`` and ``center``; gives the other coefficients of :func:`affine`."""
    high, low, shift = np.empty_like(center), np.empty_like(center), np.empty_like(center)
    for c in range(len(mean)):
        var = m2[c] / count
        inv_std[c] = 1 / np.sqrt(var + eps)
        center[c] = mean[c] if mean[c] * mean[c] >= var / 4 else 0
        scale = gamma[c] * inv_std[c]
        high[c] = scale
        low[c] = scale - high[c]
        shift[c] = beta[c] - ((mean[c] - center[c]) + rest[c]) * scale
    return high, low, shift


@jit()
def affine(x, center, high, low, shift, y, first, last, residual=None, least=NONE):
    """``y = (x - center) * (high + low) + shift + residual``, but no less than ``least``.

    The last rows, which the cache still holds, come first.
    """
    height, least = chunk_rows(x), x.dtype.type(least)
    for chunk in range((last - 1) // height, first // height - 1, -1):
        start, stop = chunk * height, min((chunk + 1) * height, len(x))
        rows, out, more = x[start:stop], y[start:stop], part(residual, slice(start, stop))
        for r in range(len(rows)):
            for c in range(rows.shape[1]):
                d = rows[r, c] - center[c]
                v = summed(d * high[c] + (d * low[c] + shift[c]), more, (r, c))
                out[r, c] = least if v < least else v


@jit()
def within(inv_std, least, most):
    """As :func:`bncourse.kernels.limits.usual`, in a fifth of the time."""
    for v in inv_std:
        if v < least or v > most:
            return False
    return True


@jit()
def backward(dy, x, mean, rest, inv_std, gamma, dx, both, edges=None):
    """Fills ``dx`` and, of shape (2, C), ``both`` sums; on one thread.

    As :func:`bncourse.kernels.loops_maps.backward`. Returns whether both are finite.
    """
    sum_dy, sum_dy_x_hat = both[0], both[1]
    sums, center = no_sums(x), np.empty_like(x[0])
    center[:] = mean
    gradient_sums(dy, x, center, 0, len(x), sums, edges)
    add(sums, center, mean, rest, inv_std, sum_dy, sum_dy_x_hat)
    scale, high, low, shift = slopes(
        len(x), gamma, center, mean, rest, inv_std, sum_dy, sum_dy_x_hat
    )
    gradient(dy, x, center, scale, high, low, shift, dx, 0, len(x), edges)
    return np.isfinite(both.sum())


@jit()
def gradient_sums(dy, x, center, first, last, sums, edges=None):
    """Sums of ``dy`` and of ``dy * (x - center)``, chunk by chunk, of some rows."""
    s, q = np.empty_like(center), np.empty_like(center)
    height = chunk_rows(x)
    sums[first // height : (last - 1) // height + 1] = 0
    for start in range(first, last, GROUP):
        stop, chunk = min(start + GROUP, last), sums[start // height]
        rows, ups = x[start:stop], dy[start:stop]
        s[:] = 0
        q[:] = 0
        fours = len(rows) // 4 * 4
        for r in range(0, fours, 4):
            ahead(x, start + r, start + r + 4)
            ahead(dy, start + r, start + r + 4)
            for c in range(rows.shape[1]):
                x0, x1, x2, x3 = rows[r, c], rows[r + 1, c], rows[r + 2, c], rows[r + 3, c]
                d0, d1, d2, d3 = x0 - center[c], x1 - center[c], x2 - center[c], x3 - center[c]
                g0, g1 = passed(ups[r, c], x0, edges, c), passed(ups[r + 1, c], x1, edges, c)
                g2, g3 = passed(ups[r + 2, c], x2, edges, c), passed(ups[r + 3, c], x3, edges, c)
                s[c] += (g0 + g1) + (g2 + g3)
                q[c] += (g0 * d0 + g1 * d1) + (g2 * d2 + g3 * d3)
        for r in range(fours, len(rows)):
            for c in range(rows.shape[1]):
                g = passed(ups[r, c], rows[r, c], edges, c)
                s[c] += g
                q[c] += g * (rows[r, c] - center[c])
        for c in range(rows.shape[1]):
            chunk[0, c] += s[c]
            chunk[1, c] += q[c]


@jit()
def add(sums, center, mean, rest, inv_std, sum_dy, sum_dy_x_hat):
    """Sums of ``dy`` and of ``dy * x_hat``, over all chunks."""
    sums = total(sums)
    for c in range(len(mean)):
        s, q = sums[0, c], sums[1, c]
        sum_dy[c] = s
        sum_dy_x_hat[c] = (q - ((mean[c] - center[c]) + rest[c]) * s) * inv_std[c]


@jit()
def slopes(count, gamma, center, mean, rest, inv_std, sum_dy, sum_dy_x_hat):
    """Coefficients of ``dx = (dy - shift - (x - center) * (high + low)) * scale``."""
    scale, high = np.empty_like(center), np.empty_like(center)
    low, shift = np.empty_like(center), np.empty_like(center)
    for c in range(len(mean)):
        scale[c] = gamma[c] * inv_std[c]
        slope = inv_std[c] * sum_dy_x_hat[c] / count
        high[c] = slope
        low[c] = slope - high[c]
        shift[c] = sum_dy[c] / count - ((mean[c] - center[c]) + rest[c]) * slope
    return scale, high, low, shift


@jit()
def gradient(dy, x, center, scale, high, low, shift, dx, first, last, edges=None):
    """``dx = (dy - shift - (x - center) * (high + low)) * scale``; the last rows first.

    Scaled last, so that a ``dx`` that all but cancels keeps its digits.
    """
    height = chunk_rows(x)
    for chunk in range((last - 1) // height, first // height - 1, -1):
        start, stop = chunk * height, min((chunk + 1) * height, len(x))
        rows, ups, out = x[start:stop], dy[start:stop], dx[start:stop]
        for r in range(len(rows)):
            ahead(x, start + r, start + r + 1)
            ahead(dy, start + r, start + r + 1)
            for c in range(rows.shape[1]):
                d = rows[r, c] - center[c]
                g = passed(ups[r, c], rows[r, c], edges, c)
                out[r, c] = ((g - d * high[c]) - (d * low[c] + shift[c])) * scale[c]

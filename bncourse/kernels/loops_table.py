"""Batch norm of a table, ``x`` of shape (R, C), as loops for Numba; all arithmetic is float64.

A table is worked on in chunks of rows, whose sums are kept apart and then added, so that the
rounding grows with the chunks and not with the rows, and does not depend on how many threads
share the chunks. Four rows are taken at a time: a sum is read and written once for four values.
Arrays of which no shape is told hold one float64 a column.
"""

import numpy as np

from bncourse.kernels.jit import jit

CHUNK = 128  # rows


@jit()
def forward(x, gamma, beta, eps, refine, y, mean, rest, m2, inv_std):
    """As :func:`bncourse.kernels.loops_maps.forward`, on one thread."""
    sums = no_sums(x)
    begin(x, mean, m2)
    for _ in range(2 if refine else 1):
        deviations(x, mean, m2, 0, len(x), sums)
        improve(sums, len(x), mean, rest, m2)
    scale, shift = coefficients(len(x), gamma, beta, eps, rest, m2, inv_std)
    affine(x, mean, scale, shift, y, 0, len(x))


@jit()
def no_sums(x):
    """Room for two sums a chunk and a column."""
    return np.empty(((len(x) + CHUNK - 1) // CHUNK, 2, x.shape[1]))


@jit()
def begin(x, mean, m2):
    """Guesses to improve: any value of the column will do."""
    for c in range(x.shape[1]):
        mean[c], m2[c] = x[0, c], 0


@jit()
def deviations(x, mean, m2, first, last, sums):
    """Sums of ``d = x - mean`` and of ``d * d - var``, chunk by chunk, of some rows."""
    var = m2 / len(x)
    for chunk in range(first // CHUNK, (last + CHUNK - 1) // CHUNK):
        rows = x[chunk * CHUNK : (chunk + 1) * CHUNK]
        s, q = sums[chunk, 0], sums[chunk, 1]
        s[:] = 0
        q[:] = 0
        whole = len(rows) // 4 * 4
        for r in range(0, whole, 4):
            for c in range(rows.shape[1]):
                d0, d1 = rows[r, c] - mean[c], rows[r + 1, c] - mean[c]
                d2, d3 = rows[r + 2, c] - mean[c], rows[r + 3, c] - mean[c]
                s[c] += (d0 + d1) + (d2 + d3)
                q[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3) - 4 * var[c]
        for r in range(whole, len(rows)):
            for c in range(rows.shape[1]):
                d = rows[r, c] - mean[c]
                s[c] += d
                q[c] += d * d - var[c]


@jit()
def improve(sums, count, mean, rest, m2):
    """Better ``mean`` and ``m2`` than those given, from the sums of deviations from them."""
    for c in range(len(mean)):
        s = q = 0.0
        for chunk in range(len(sums)):
            s += sums[chunk, 0, c]
            q += sums[chunk, 1, c]
        slip = s / count
        guess, mean[c] = mean[c], mean[c] + slip
        rest[c] = slip - (mean[c] - guess)
        m2[c] += q - s * slip
        if m2[c] < 0:
            m2[c] = 0


@jit()
def coefficients(count, gamma, beta, eps, rest, m2, inv_std):
    """Fills ``inv_std``; gives scale and shift of ``y = (x - mean) * scale + shift``."""
    scale, shift = np.empty_like(m2), np.empty_like(m2)
    for c in range(len(m2)):
        inv_std[c] = 1 / np.sqrt(m2[c] / count + eps)
        scale[c] = gamma[c] * inv_std[c]
        shift[c] = beta[c] - rest[c] * scale[c]
    return scale, shift


@jit()
def affine(x, mean, scale, shift, y, first, last):
    """``y = (x - mean) * scale + shift``; the last rows, which the cache still holds, first."""
    for chunk in range((last + CHUNK - 1) // CHUNK - 1, first // CHUNK - 1, -1):
        rows = x[chunk * CHUNK : (chunk + 1) * CHUNK]
        out = y[chunk * CHUNK : (chunk + 1) * CHUNK]
        for r in range(len(rows)):
            for c in range(rows.shape[1]):
                out[r, c] = (rows[r, c] - mean[c]) * scale[c] + shift[c]


@jit()
def backward(dy, x, mean, rest, inv_std, gamma, dx, sum_dy, sum_dy_x_hat):
    """As :func:`bncourse.kernels.loops_maps.backward`, on one thread."""
    sums = no_sums(x)
    gradient_sums(dy, x, mean, 0, len(x), sums)
    add(sums, rest, inv_std, sum_dy, sum_dy_x_hat)
    scale, along, shift = slopes(len(x), rest, inv_std, gamma, sum_dy, sum_dy_x_hat)
    gradient(dy, x, mean, scale, along, shift, dx, 0, len(x))


@jit()
def gradient_sums(dy, x, mean, first, last, sums):
    """Sums of ``dy`` and of ``dy * (x - mean)``, chunk by chunk, of some rows."""
    for chunk in range(first // CHUNK, (last + CHUNK - 1) // CHUNK):
        rows, ups = x[chunk * CHUNK : (chunk + 1) * CHUNK], dy[chunk * CHUNK : (chunk + 1) * CHUNK]
        s, q = sums[chunk, 0], sums[chunk, 1]
        s[:] = 0
        q[:] = 0
        whole = len(rows) // 4 * 4
        for r in range(0, whole, 4):
            for c in range(rows.shape[1]):
                d0, d1 = rows[r, c] - mean[c], rows[r + 1, c] - mean[c]
                d2, d3 = rows[r + 2, c] - mean[c], rows[r + 3, c] - mean[c]
                g0, g1 = np.float64(ups[r, c]), np.float64(ups[r + 1, c])
                g2, g3 = np.float64(ups[r + 2, c]), np.float64(ups[r + 3, c])
                s[c] += (g0 + g1) + (g2 + g3)
                q[c] += (g0 * d0 + g1 * d1) + (g2 * d2 + g3 * d3)
        for r in range(whole, len(rows)):
            for c in range(rows.shape[1]):
                s[c] += ups[r, c]
                q[c] += ups[r, c] * (rows[r, c] - mean[c])


@jit()
def add(sums, rest, inv_std, sum_dy, sum_dy_x_hat):
    """Sums of ``dy`` and of ``dy * x_hat``, over all chunks."""
    for c in range(len(inv_std)):
        s = q = 0.0
        for chunk in range(len(sums)):
            s += sums[chunk, 0, c]
            q += sums[chunk, 1, c]
        sum_dy[c], sum_dy_x_hat[c] = s, (q - rest[c] * s) * inv_std[c]


@jit()
def slopes(count, rest, inv_std, gamma, sum_dy, sum_dy_x_hat):
    """``scale, along, shift`` of ``dx = dy * scale + (x - mean) * along + shift``."""
    scale = gamma * inv_std
    along = -scale * inv_std * sum_dy_x_hat / count
    return scale, along, -scale * sum_dy / count - rest * along


@jit()
def gradient(dy, x, mean, scale, along, shift, dx, first, last):
    """``dx = dy * scale + (x - mean) * along + shift``; the last rows first."""
    for chunk in range((last + CHUNK - 1) // CHUNK - 1, first // CHUNK - 1, -1):
        rows, ups = x[chunk * CHUNK : (chunk + 1) * CHUNK], dy[chunk * CHUNK : (chunk + 1) * CHUNK]
        out = dx[chunk * CHUNK : (chunk + 1) * CHUNK]
        for r in range(len(rows)):
            for c in range(rows.shape[1]):
                d = rows[r, c] - mean[c]
                out[r, c] = ups[r, c] * scale[c] + (d * along[c] + shift[c])

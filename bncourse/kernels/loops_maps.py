"""Batch norm of maps, ``x`` of shape (N, C, L), as loops for Numba.

Each function does the channels ``first`` to ``last``, ``width`` of them at a time: as many as
make a row long enough for the memory, and so few that they stay in the cache between the sums
and what is made of them.

Sums are taken of ``x - center``, where the center is the mean, or a guess at it, in the dtype of
``x``. Blocks of a map are added up in that dtype, and to a float64 sum; all else is float64, also
the values at the end of a map that are too few to be added side by side: one after the other,
alike ones would all be rounded the same way. The roundings of many blocks are next to nothing
together, unless one has most of the squares, as where a value lies far from all others, or the
center is far, so that they count many times. Then the sums are taken again, in float64.
Arrays of which no shape is told hold one float64 a channel.
"""

import numpy as np

from bncourse.kernels.jit import jit
from bncourse.kernels.prefetch import prefetch
from bncourse.kernels.rectifier import NONE, part, passed, repeated, summed

BLOCK = 256  # values of a map
NEAR = 4096  # values of a map that are asked for ahead; those behind them the processor foresees
LINE = 16  # values: of float32, one line of the cache
WIDE = 64  # values that are added up at a time, each to a sum of its own; so few left are not
SHORT = 128  # values of a map that is not worth a loop of its own
GROUP = 8  # maps: more than that, and squares on a grid of float32 would be rounded down
SEEN = 128  # values that a center is begun with, or up to twice as many
FAR = 0.5  # standard deviations: a center that far from the mean costs digits
HEAVY = 0.25  # share of the squares: a block that has more of them passes its rounding on


@jit()
def forward(
    x, gamma, beta, eps, refine, y, mean, rest, m2, inv_std, first, last, width, residual, least
):
    """Fills ``mean``, ``rest``, ``m2``, ``inv_std``, and ``y``, as :func:`affine` says.

    ``refine`` measures the rounding of mean and m2 in a second pass, for an ``x`` that is as
    wide as the sums; then ``rest`` is what the mean lacks, else it is next to nothing.
    """
    count = x.shape[0] * x.shape[2]
    scale, shift = np.empty_like(mean), np.empty_like(mean)
    for start in range(first, last, width):
        stop = min(start + width, last)
        center, heaviest = moments(x, mean, rest, m2, start, stop)
        for c in range(start, stop):
            slip = mean[c] - center[c - start]
            far = slip * slip * count > FAR * FAR * m2[c]
            if refine or far or heaviest[c - start] > HEAVY * m2[c]:
                improve(x, mean, rest, m2, c)
            inv_std[c] = 1 / np.sqrt(m2[c] / count + eps)
            scale[c] = gamma[c] * inv_std[c]
            shift[c] = beta[c] - rest[c] * scale[c]
        affine(x, mean, scale, shift, y, start, stop, residual, least)


@jit(reassociate=True)
def begin(x, c):
    """The mean of some values, from the head of the first example to the tail of the last."""
    step = max(1, x.shape[0] * LINE // SEEN)
    width = min(x.shape[2], max(LINE, SEEN // x.shape[0]))
    s, count = 0.0, 0
    for n in range(0, x.shape[0], step):
        start = (x.shape[2] - width) * n // x.shape[0]
        row = x[n, c, start : start + width]
        for i in range(len(row)):
            s += row[i]
        count += len(row)
    return s / count


@jit()
def moments(x, mean, rest, m2, first, last):
    """Fills ``mean``, ``rest`` and ``m2``; gives the centers, and the largest block of squares."""
    count, center = x.shape[0] * x.shape[2], np.empty(last - first, x.dtype)
    for c in range(len(center)):
        center[c] = begin(x, first + c)
    sums = np.zeros((3, len(center)))
    if x.shape[2] < SHORT:
        deviations_of_short(x, center, first, sums)
    else:
        deviations(x, center, first, sums)
    for c in range(first, last):
        s, q = sums[0, c - first], sums[1, c - first]
        slip = s / count
        mean[c] = center[c - first] + slip
        rest[c] = slip - (mean[c] - center[c - first])
        m2[c] = q - s * slip
        if m2[c] < 0:
            m2[c] = 0
    return center, sums[2]


@jit(reassociate=True)
def improve(x, mean, rest, m2, c):
    """Better moments of one channel than those given, by float64 sums of what they lack."""
    count, guess = x.shape[0] * x.shape[2], mean[c]
    var, s, q = m2[c] / count, 0.0, 0.0
    for n in range(x.shape[0]):
        row = x[n, c]
        for i in range(len(row)):
            d = row[i] - guess
            s += d
            q += d * d - var
    slip = s / count
    mean[c] = guess + slip
    rest[c] = slip - (mean[c] - guess)
    m2[c] += q - s * slip
    if m2[c] < 0:
        m2[c] = 0


@jit(reassociate=True)
def deviations(x, center, first, sums):
    """Adds sums of ``d = x - center`` and of ``d * d``, of the channels from ``first`` on.

    The third of the ``sums`` is the largest share of a block in the second.
    """
    whole = x.shape[2] // WIDE * WIDE
    for n in range(x.shape[0]):
        for c in range(len(center)):
            guess, after = center[c], x[min(n + 1, x.shape[0] - 1), first + c]
            for start in range(0, whole, BLOCK):
                block = x[n, first + c, start : min(start + BLOCK, whole)]
                if start < NEAR:
                    for i in range(0, len(block), LINE):
                        prefetch(after, start + i)
                s = q = x.dtype.type(0)
                for i in range(len(block)):
                    d = block[i] - guess
                    s += d
                    q += d * d
                sums[0, c] += s
                sums[1, c] += q
                sums[2, c] = max(sums[2, c], q)
            block, s, q = x[n, first + c, whole:], 0.0, 0.0
            for i in range(len(block)):
                d = np.float64(block[i] - guess)
                s += d
                q += d * d
            sums[0, c] += s
            sums[1, c] += q


@jit()
def deviations_of_short(x, center, first, sums):
    """As :func:`deviations`, position by position of some maps, which make a row."""
    count, length, rows = x.shape[0], x.shape[2], x.reshape(x.shape[0], -1)
    centers = each(center, length)
    a, b = first * length, (first + len(center)) * length
    s, q = np.zeros_like(centers), np.zeros_like(centers)
    for start in range(0, count, GROUP):
        for n in range(start, min(start + GROUP, count)):
            row = rows[n, a:b]
            for i in range(len(row)):
                d = row[i] - centers[i]
                s[i] += d
                q[i] += d * d
        before = sums[1].copy()
        add(s, sums[0], length)
        add(q, sums[1], length)
        sums[2] = np.maximum(sums[2], sums[1] - before)


@jit()
def each(values, length):
    """Those of the channels, for each position of their maps."""
    found = np.empty(len(values) * length, values.dtype)
    for i in range(len(found)):
        found[i] = values[i // length]
    return found


@jit(reassociate=True)
def add(positions, sums, length):
    """Adds up what the positions of each map hold, and leaves zeros there."""
    for c in range(len(sums)):
        s, part = 0.0, positions[c * length : (c + 1) * length]
        for i in range(length):
            s += part[i]
            part[i] = 0
        sums[c] += s


@jit()
def affine(x, mean, scale, shift, y, first, last, residual=None, least=NONE):
    """``y = (x - mean) * scale + shift + residual``, but no less than ``least``.

    Centered before it is scaled. A NaN stays one.
    """
    for n in range(x.shape[0]):
        for c in range(first, last):
            row, out, more = x[n, c], y[n, c], part(residual, (n, c))
            for i in range(len(row)):
                v = summed((row[i] - mean[c]) * scale[c] + shift[c], more, i)
                out[i] = least if v < least else v


@jit()
def backward(
    dy, x, mean, rest, inv_std, gamma, dx, sum_dy, sum_dy_x_hat, first, last, width, edges
):
    """``dx = gamma * inv_std * (dy - sum_dy / n - x_hat * sum_dy_x_hat / n)``, and both sums.

    Behind a ReLU, ``dy`` counts where :func:`bncourse.kernels.rectifier.edges` lets it pass.
    """
    count = x.shape[0] * x.shape[2]
    for start in range(first, last, width):
        stop = min(start + width, last)
        gradient_sums(dy, x, mean, rest, inv_std, sum_dy, sum_dy_x_hat, start, stop, edges)
        scale = gamma[start:stop] * inv_std[start:stop]
        along = -scale * inv_std[start:stop] * sum_dy_x_hat[start:stop] / count
        shift = -scale * sum_dy[start:stop] / count - rest[start:stop] * along
        for n in range(x.shape[0]):
            for c in range(start, stop):
                a, b, s, center = scale[c - start], along[c - start], shift[c - start], mean[c]
                row, up, out = x[n, c], dy[n, c], dx[n, c]
                for i in range(len(row)):
                    g = passed(up[i], row[i], edges, c)
                    out[i] = g * a + ((row[i] - center) * b + s)


@jit()
def gradient_sums(dy, x, mean, rest, inv_std, sum_dy, sum_dy_x_hat, first, last, edges=None):
    """Sums of ``dy``, as :func:`backward` counts it, and of ``dy * x_hat``."""
    center, sums = mean[first:last].astype(x.dtype), np.zeros((2, last - first))
    if x.shape[2] < SHORT:
        products_of_short(dy, x, center, first, sums, edges)
    else:
        products(dy, x, center, first, sums, edges)
    for c in range(first, last):
        sum_dy[c] = sums[0, c - first]
        slip = (mean[c] - center[c - first]) + rest[c]
        sum_dy_x_hat[c] = (sums[1, c - first] - slip * sum_dy[c]) * inv_std[c]


@jit(reassociate=True)
def products(dy, x, center, first, sums, edges):
    """Adds sums of ``dy`` and of ``dy * (x - center)``, of the channels from ``first`` on."""
    whole = x.shape[2] // WIDE * WIDE
    for n in range(x.shape[0]):
        after = min(n + 1, x.shape[0] - 1)
        for c in range(len(center)):
            guess, x_after, dy_after = center[c], x[after, first + c], dy[after, first + c]
            for start in range(0, whole, BLOCK):
                stop = min(start + BLOCK, whole)
                block, up = x[n, first + c, start:stop], dy[n, first + c, start:stop]
                if start < NEAR:
                    for i in range(0, len(block), LINE):
                        prefetch(x_after, start + i)
                        prefetch(dy_after, start + i)
                s = q = x.dtype.type(0)
                for i in range(len(block)):
                    g = passed(up[i], block[i], edges, first + c)
                    s += g
                    q += g * (block[i] - guess)
                sums[0, c] += s
                sums[1, c] += q
            block, up = x[n, first + c, whole:], dy[n, first + c, whole:]
            s, q = 0.0, 0.0
            for i in range(len(block)):
                g = np.float64(passed(up[i], block[i], edges, first + c))
                s += g
                q += g * (block[i] - guess)
            sums[0, c] += s
            sums[1, c] += q


@jit()
def products_of_short(dy, x, center, first, sums, edges):
    """As :func:`products`, position by position of some maps, which make a row."""
    count, length = x.shape[0], x.shape[2]
    rows, ups = x.reshape(count, -1), dy.reshape(count, -1)
    centers, edges = each(center, length), repeated(edges, first, first + len(center), length)
    a, b = first * length, (first + len(center)) * length
    s, q = np.zeros_like(centers), np.zeros_like(centers)
    for start in range(0, count, GROUP):
        for n in range(start, min(start + GROUP, count)):
            row, up = rows[n, a:b], ups[n, a:b]
            for i in range(len(row)):
                g = passed(up[i], row[i], edges, i)
                s[i] += g
                q[i] += g * (row[i] - centers[i])
        add(s, sums[0], length)
        add(q, sums[1], length)

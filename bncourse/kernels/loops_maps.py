"""Batch norm of maps, ``x`` of shape (N, C, L), as loops for Numba; all arithmetic is float64.

Each function does the channels ``first`` to ``last``, ``width`` of them at a time: as many as
make a row long enough for the memory, and so few that they stay in the cache between the sums
and what is made of them. Arrays of which no shape is told hold one float64 a channel.
"""

import numpy as np

from bncourse.kernels.jit import jit


@jit()
def forward(x, gamma, beta, eps, refine, y, mean, rest, m2, inv_std, first, last, width):
    """Fills ``mean``, ``rest``, ``m2``, ``inv_std``, and ``y = gamma * x_hat + beta``.

    ``refine`` measures the rounding of mean and m2 in a second pass, for an ``x`` that is as
    wide as the sums; then ``rest`` is what the mean lacks, else it is next to nothing.
    """
    count = x.shape[0] * x.shape[2]
    scale, shift = np.empty_like(mean), np.empty_like(mean)
    for start in range(first, last, width):
        stop = min(start + width, last)
        for c in range(start, stop):
            mean[c], m2[c] = x[0, c, 0], 0  # any value of the channel will do to begin with
        improve(x, mean, rest, m2, start, stop)
        if refine:
            improve(x, mean, rest, m2, start, stop)
        for c in range(start, stop):
            inv_std[c] = 1 / np.sqrt(m2[c] / count + eps)
            scale[c] = gamma[c] * inv_std[c]
            shift[c] = beta[c] - rest[c] * scale[c]
        affine(x, mean, scale, shift, y, start, stop)


@jit(reassociate=True)
def improve(x, mean, rest, m2, first, last):
    """Better ``mean`` and ``m2`` than those given, of which ``m2`` may be 0."""
    count = x.shape[0] * x.shape[2]
    sums, squares = np.zeros(last - first), np.zeros(last - first)
    for n in range(x.shape[0]):
        for c in range(first, last):
            guess, var = mean[c], m2[c] / count
            s = q = 0.0
            for i in range(x.shape[2]):
                d = x[n, c, i] - guess
                s += d
                q += d * d - var
            sums[c - first] += s
            squares[c - first] += q
    for c in range(first, last):
        slip = sums[c - first] / count
        guess, mean[c] = mean[c], mean[c] + slip
        rest[c] = slip - (mean[c] - guess)
        m2[c] += squares[c - first] - sums[c - first] * slip
        if m2[c] < 0:
            m2[c] = 0


@jit()
def affine(x, mean, scale, shift, y, first, last):
    """``y = (x - mean) * scale + shift``, centered before it is scaled."""
    for n in range(x.shape[0]):
        for c in range(first, last):
            for i in range(x.shape[2]):
                y[n, c, i] = (x[n, c, i] - mean[c]) * scale[c] + shift[c]


@jit()
def backward(dy, x, mean, rest, inv_std, gamma, dx, sum_dy, sum_dy_x_hat, first, last, width):
    """``dx = gamma * inv_std * (dy - sum_dy / n - x_hat * sum_dy_x_hat / n)``, and both sums."""
    count = x.shape[0] * x.shape[2]
    for start in range(first, last, width):
        stop = min(start + width, last)
        gradient_sums(dy, x, mean, rest, inv_std, sum_dy, sum_dy_x_hat, start, stop)
        scale = gamma[start:stop] * inv_std[start:stop]
        along = -scale * inv_std[start:stop] * sum_dy_x_hat[start:stop] / count
        shift = -scale * sum_dy[start:stop] / count - rest[start:stop] * along
        for n in range(x.shape[0]):
            for c in range(start, stop):
                a, b, s, center = scale[c - start], along[c - start], shift[c - start], mean[c]
                for i in range(x.shape[2]):
                    dx[n, c, i] = dy[n, c, i] * a + ((x[n, c, i] - center) * b + s)


@jit(reassociate=True)
def gradient_sums(dy, x, mean, rest, inv_std, sum_dy, sum_dy_x_hat, first, last):
    """Sums of ``dy`` and of ``dy * x_hat``: the gradients of beta and gamma."""
    for c in range(first, last):
        sum_dy[c] = sum_dy_x_hat[c] = 0
    for n in range(x.shape[0]):
        for c in range(first, last):
            center = mean[c]
            s = q = 0.0
            for i in range(x.shape[2]):
                s += dy[n, c, i]
                q += dy[n, c, i] * (x[n, c, i] - center)
            sum_dy[c] += s
            sum_dy_x_hat[c] += q
    for c in range(first, last):
        sum_dy_x_hat[c] = (sum_dy_x_hat[c] - rest[c] * sum_dy[c]) * inv_std[c]

"""Batch norm of large float32 arrays in NumPy, in float32 but for what is added up.

A block of rows is worked on in place while the cache holds it, and blocks are shared among
threads, for NumPy's functions let go of Python's lock. Within a block sums are float32, many at a
time; sums of blocks are float64. What is summed and scaled is ``x - center``, with a float32
number near the mean of each channel, so that a far mean costs no digits; what this center lacks
of the mean is made up for in float64. The results are off by two units in the last place at most,
where the other kernels are off by half a one.
"""

from functools import cache

import numpy as np

from bncourse.kernels import aligned, limits, threads

_BLOCK = 2**18  # values: 1 MiB, so that three such blocks stay in the cache
_LEAST = 2**16  # values: below, the cache holds all, and float64 is as fast
_LONG = 128  # values: a shorter row is not worth a dot product of its own
_LONGEST = 2**13  # values: in a longer one a float32 sum is seen to lose digits
# Rows that are added up in float32. Far from 0 the values lie on a grid, and so do their squares:
# on every fourth place of one four times as fine. What sticks out of a sum is cut off, never
# rounded up, and in a long sum that is seen.
_DEEP = 16
_HIGH = 128  # rows that are added up in float32 where no squares are summed
_NEAR = 1.0  # standard deviations: a mean that far from 0 does not spoil the variance
_QUIET = np.errstate(over="ignore", invalid="ignore")  # the general form shall warn


def supports(x, shape):
    """Whether ``x`` is a float32 array in NumPy of some size, and maps can be cut into rows."""
    return (
        type(x) is np.ndarray
        and x.size > _LEAST
        and x.dtype == np.float32
        and x.dtype.isnative
        and x.flags.c_contiguous
        and (len(shape) == 2 or shape[2] // _rows_a_map(shape[2]) <= _LONGEST)
    )


@_QUIET
def forward(x, gamma, beta, eps, shape):
    """``y`` in the shape of ``x``; ``mean, rest, m2, inv_std``, each float64 of shape (C,).

    ``None`` where squares overflow, or might underflow: the general form knows what to do.
    """
    if eps < limits.TINY:
        return None
    y, rows, count = aligned.empty(x.shape, x.dtype), _Rows(shape), x.size // shape[1]
    x, out = x.reshape(rows.shape), y.reshape(rows.shape)
    center = None
    mean, m2 = _moments(x, center, rows, count)
    slip = mean
    for _ in range(2):  # the first mean may be off by more than a very small deviation
        if np.all(slip * slip <= _NEAR**2 * m2 / count):
            break
        center = mean.astype(np.float32)
        slip, m2 = _moments(x, center, rows, count)
        mean = center + slip
    if not np.all(np.isfinite(m2)):
        return None
    inv_std = 1 / np.sqrt(m2 / count + eps)
    scale = inv_std if gamma is None else inv_std * gamma.reshape(-1)
    shift = -_offset(mean, center) * scale
    if beta is not None:
        shift += beta.reshape(-1)
    _affine(x, center, scale, shift, out, rows)
    return y, mean, np.zeros_like(mean), m2, inv_std


def backward(dy, x, mean, rest, inv_std, gamma, shape):
    """``dx`` in the shape of ``x``; sums of ``dy`` and of ``dy * x_hat``, float64, (C,).

    ``None`` where products overflow, or might underflow.
    """
    if not limits.usual(inv_std, x.dtype):
        return None
    dx, rows, count = aligned.empty(x.shape, x.dtype), _Rows(shape), x.size // shape[1]
    dy, x, out = dy.reshape(rows.shape), x.reshape(rows.shape), dx.reshape(rows.shape)
    sum_dy, sum_dy_x_hat, center = _gradient_sums(dy, x, mean, inv_std, rows)
    if not np.all(np.isfinite(sum_dy_x_hat)):
        return None
    scale = inv_std if gamma is None else inv_std * gamma.reshape(-1)
    along = inv_std * sum_dy_x_hat / count
    shift = sum_dy / count - _offset(mean, center) * along
    scale, along, shift, near = (rows.spread(v) for v in (scale, along, shift, center))

    def block(part, _):  # scaled last: a dx that all but cancels keeps the most of its digits
        d = _less(x[part], near, part, out[part])
        d = np.multiply(d, along[part], out=out[part])
        np.subtract(dy[part], d, out=d)
        d -= shift[part]
        d *= scale[part]

    rows.each(block)
    return dx, sum_dy, sum_dy_x_hat


def affine(x, mean, scale, shift, shape):
    """``(x - mean) * scale + shift`` in the shape of ``x``: batch norm by given statistics."""
    y, rows = aligned.empty(x.shape, x.dtype), _Rows(shape)
    center = mean.astype(np.float32)
    shift = shift - _offset(mean, center) * scale
    _affine(x.reshape(rows.shape), center, scale, shift, y.reshape(rows.shape), rows)
    return y


def gradient_sums(dy, x, mean, inv_std, shape):
    """Sums of ``dy`` and of ``dy * (x - mean) * inv_std``, float64, (C,).

    ``None`` where products overflow.
    """
    rows = _Rows(shape)
    sums = _gradient_sums(dy.reshape(rows.shape), x.reshape(rows.shape), mean, inv_std, rows)[:2]
    return sums if np.all(np.isfinite(sums[1])) else None


def _moments(x, center, rows, count):
    """Mean and m2 of ``x - center``."""
    near = rows.spread(center)

    def block(part, scratch):
        d = _less(x[part], near, part, scratch)
        return rows.sum(d), rows.dot(d, d)

    total, square = rows.each(block)
    mean = total / count
    return mean, np.maximum(square - total * mean, 0)  # NaN stays NaN


@_QUIET
def _gradient_sums(dy, x, mean, inv_std, rows):
    """Sums of ``dy`` and of ``dy * x_hat``, and the center that was used."""
    near_zero = np.all(np.abs(mean) * inv_std <= _NEAR)
    center = None if near_zero else mean.astype(np.float32)
    near = rows.spread(center)

    def block(part, scratch):
        d = _less(x[part], near, part, scratch)
        return rows.sum(dy[part]), rows.dot(dy[part], d)

    sum_dy, sum_dy_x = rows.each(block)
    return sum_dy, (sum_dy_x - sum_dy * _offset(mean, center)) * inv_std, center


def _affine(x, center, scale, shift, y, rows):
    near, scale, shift = rows.spread(center), rows.spread(scale), rows.spread(shift)

    def block(part, _):
        d = _less(x[part], near, part, y[part])
        d = np.multiply(d, scale[part], out=y[part])
        d += shift[part]

    rows.each(block)


def _less(x, center, part, out):
    return x if center is None else np.subtract(x, center[part], out=out)


def _offset(mean, center):
    return mean if center is None else mean - center


@cache
def _rows_a_map(length):
    """As many as keep a float32 sum short; 1 if the length, a prime perhaps, allows no such cut."""
    return next((q for q in range(-(-length // 1024), length // _LONG) if length % q == 0), 1)


class _Rows:
    """An array with channels as rows of one channel each, or as rows of all channels.

    In rows of one channel a sum is a dot product, and a coefficient one number a row. Where the
    channels are too short for that, sums run down the columns, and a coefficient is a row.

    Attributes
    ----------
    shape : (int, int)
        That of the array to work on.
    """

    def __init__(self, shape):
        n, self.channels, length = shape if len(shape) == 3 else (*shape, 1)
        self.by_row = length >= _LONG
        if self.by_row:
            self.per = _rows_a_map(length)
            self.shape = n * self.channels * self.per, length // self.per
            self.ones = np.ones(self.shape[1], np.float32)
        else:  # as many examples a row as make it long
            self.per = length
            most = max(1, 2048 // (self.channels * length))
            together = next(k for k in range(min(most, n), 0, -1) if n % k == 0)
            self.shape = n // together, together * self.channels * length
        self.block = max(1, _BLOCK // self.shape[1])

    def spread(self, coefficients):
        """One number a channel, as a float32 array of ``shape``; ``None`` remains."""
        if coefficients is None:
            return None
        times = self.shape[0 if self.by_row else 1] // (self.channels * self.per)
        line = np.tile(np.repeat(coefficients.astype(np.float32), self.per), times)
        return np.broadcast_to(line[:, None] if self.by_row else line, self.shape)

    def sum(self, a):
        """Sums of a block: one a row, or one a column and few rows."""
        if self.by_row:
            return _vecdot(a, self.ones)
        cuts = range(0, len(a), _HIGH)
        return np.concatenate([np.add.reduce(a[i : i + _HIGH], 0) for i in cuts])

    def dot(self, a, b):
        """Sums of the product of two blocks: one a row, or one a column and few rows."""
        if self.by_row:
            return _vecdot(a, b)
        cuts = range(0, len(a), _DEEP)
        return np.concatenate(
            [np.einsum("rc,rc->c", a[i : i + _DEEP], b[i : i + _DEEP]) for i in cuts]
        )

    def each(self, f):
        """``f(part, scratch)`` for all blocks, the last one first.

        What it gives, such as sums of rows or columns, is added up to float64 sums, one a channel.
        """
        starts = range(0, self.shape[0], self.block)
        found = [None] * len(starts)

        @_QUIET  # here too, for a thread does not take over what others ignore
        def work(first, last):
            before = np.setbufsize(16)  # else short rows are copied into a buffer of 8192 values
            scratch = aligned.empty((self.block, self.shape[1]), np.float32)
            try:
                for i in range(last - 1, first - 1, -1):
                    part = slice(starts[i], min(starts[i] + self.block, self.shape[0]))
                    found[i] = f(part, scratch[: part.stop - part.start])
            finally:
                np.setbufsize(before)

        parts = threads.count(self.shape[0] * self.shape[1])
        threads.share(work, threads.cuts(len(starts), parts))
        if found[0] is None:
            return None
        sums = (np.concatenate(s) for s in zip(*found, strict=True))
        return [s.reshape(-1, self.channels, self.per).sum((0, 2), np.float64) for s in sums]


def _dot_of_rows(a, b):
    return np.einsum("rc,rc->r" if b.ndim == 2 else "rc,c->r", a, b)


_vecdot = getattr(np, "vecdot", _dot_of_rows)  # new in NumPy 2; a product of the BLAS

"""Count, mean and sum of squared deviations: every statistic in the course comes from here."""

from math import prod
from numbers import Integral
from typing import Any, NamedTuple

from bncourse import arrays


class Moments(NamedTuple):
    r"""Count, mean and second central moment sum of some values, channel by channel.

    .. math::

        n, \qquad \mu = \frac1n \sum_i x_i, \qquad M_2 = \sum_i (x_i - \mu)^2

    The sum :math:`M_2` is kept, not a variance, because sums of disjoint sets can be merged
    exactly, and because it commits to neither :math:`1/n` nor :math:`1/(n-1)`.

    Attributes
    ----------
    count : int
        Number of values per channel.
    mean : array
        Their mean, in the widest precision of the device.
    m2 : array
        Sum of squared deviations from that mean, in the same shape and dtype.
    """

    count: int
    mean: Any
    m2: Any

    @classmethod
    def of(cls, x, axis=0, keepdims=False):
        """Moments of a real array over the given axis or axes.

        Parameters
        ----------
        x : array
            Real floating point values of any shape.
        axis : int or tuple of int
            The axes to reduce.
        keepdims : bool
            Keep the reduced axes with length one.

        Returns
        -------
        Moments
            An empty selection has count 0, mean 0 and m2 0.

        Raises
        ------
        TypeError
            If ``x`` is not an array of real floating point numbers, or ``axis`` no int or tuple.
        ValueError
            If ``x`` has no such axis, or an axis is named twice.
        """
        return cls.centered(x, axis, keepdims)[0]

    @classmethod
    def centered(cls, x, axis=0, keepdims=False, mask=None):
        """Moments of ``x``, the deviations ``x - mean``, and what the mean lacks.

        Who normalizes needs the deviations, in the accumulation precision. They are more
        precise than subtracting ``mean`` afterwards: the rounding error of the mean itself,
        the third value, is taken out of them. It is ``None`` where the accumulation precision
        is wider than that of ``x``, so that nothing is lacking.
        ``axis``, ``keepdims`` and errors are those of :meth:`of`; the deviations are in the shape
        of ``x``.

        ``mask``, an array of bool that broadcasts against ``x`` and has length one along the
        axes that are kept, chooses the values that count; the deviation of the others is 0,
        even where they are NaN.
        """
        arrays.check_real("x", x)
        xp = arrays.namespace(x=x, mask=mask)
        axes = _axes(axis, x.ndim)
        wide = arrays.cast(x, arrays.accumulator(x))
        count = prod(x.shape[a] for a in axes)
        if mask is not None:
            count = int(xp.count_nonzero(xp.broadcast_to(mask, _spread(mask.shape, x.shape, axes))))

        def chosen(values):
            return values if mask is None else xp.where(mask, values, xp.zeros_like(values))

        mean = xp.sum(chosen(wide), axis=axes, keepdims=True) / max(count, 1)
        d, rest = chosen(wide - mean), None
        if wide.dtype == x.dtype:
            # No wider type to hide the rounding of the sum: measure it, and take it out.
            slip = xp.sum(d, axis=axes, keepdims=True) / max(count, 1)
            mean, guess, d = mean + slip, mean, chosen(d - slip)
            rest = slip - (mean - guess)
        square = d * d
        m2 = xp.sum(square, axis=axes, keepdims=True)
        if wide.dtype == x.dtype:  # the same for this sum, unless it has overflowed
            var = xp.where(xp.isfinite(m2), m2 / max(count, 1), xp.zeros_like(m2))
            m2 = m2 + xp.sum(chosen(square - var), axis=axes, keepdims=True)
        if not keepdims:
            mean, m2 = xp.squeeze(mean, axis=axes), xp.squeeze(m2, axis=axes)
        return cls(count, mean, m2), d, rest

    @classmethod
    def about_zero(cls, x, axis=0, keepdims=False):
        """As :meth:`centered`, but about 0 instead of the mean: for norms that do not center."""
        arrays.check_real("x", x)
        xp = arrays.namespace(x=x)
        axes = _axes(axis, x.ndim)
        wide = arrays.cast(x, arrays.accumulator(x))
        m2 = xp.sum(wide * wide, axis=axes, keepdims=keepdims)
        return cls(prod(x.shape[a] for a in axes), xp.zeros_like(m2), m2), wide

    @property
    def var(self):
        """Biased variance ``m2 / n``, by which batch norm normalizes; 0 where nothing was seen."""
        return self.m2 / max(self.count, 1)

    @property
    def var_unbiased(self):
        """Unbiased variance ``m2 / (n - 1)``, for the running statistics; needs two values."""
        if self.count < 2:
            raise ValueError(
                f"an unbiased variance needs at least 2 values, but count is {self.count}"
            )
        return self.m2 / (self.count - 1)


def merge(a, b):
    r"""Moments of the union of two disjoint sets of values.

    .. math::

        \mu = \mu_a + \delta\,\frac{n_b}{n}, \qquad
        M_2 = M_{2,a} + M_{2,b} + \delta^2\,\frac{n_a n_b}{n}, \qquad
        \delta = \mu_b - \mu_a,\; n = n_a + n_b

    Averaging two variances drops the last term. Source: Chan, Golub and LeVeque (1983).

    Parameters
    ----------
    a, b : Moments
        Of the same channels, in the same library. A count of 0 is neutral.

    Raises
    ------
    TypeError
        If one is not a :class:`Moments`, or the two live in different libraries.
    ValueError
        If the two differ in shape.
    """
    for name, value in (("a", a), ("b", b)):
        if not isinstance(value, Moments):
            raise TypeError(f"{name} must be Moments, not {type(value).__name__}")
    arrays.namespace(a=a.mean, b=b.mean)
    if tuple(a.mean.shape) != tuple(b.mean.shape):
        raise ValueError(
            f"a and b describe different channels: a.mean has shape {tuple(a.mean.shape)}, "
            f"b.mean {tuple(b.mean.shape)}"
        )
    if a.count == 0:
        return b
    if b.count == 0:
        return a
    count = a.count + b.count
    delta = b.mean - a.mean
    mean = a.mean + delta * (b.count / count)
    return Moments(count, mean, a.m2 + b.m2 + delta * delta * (a.count * (b.count / count)))


def _spread(mask, x, axes):
    """Shape of a mask stretched along the reduced axes, where alone it may stand for several."""
    return tuple(n if a in axes else m for a, (m, n) in enumerate(zip(mask, x, strict=True)))


def _axes(axis, ndim):
    """``axis`` as a sorted tuple of non-negative ints, checked against ``ndim``."""
    given = tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
    if not all(isinstance(a, Integral) and not isinstance(a, bool) for a in given):
        raise TypeError(f"axis must be an int or a tuple of ints, not {axis!r}")
    if any(not -ndim <= a < ndim for a in given):
        raise ValueError(f"axis {axis} does not exist: x has {ndim} axes")
    axes = tuple(sorted(int(a) % ndim for a in given))
    if len(set(axes)) != len(axes):
        raise ValueError(f"axis {axis} names the same axis twice")
    return axes

"""Dropout: each number is kept or set to zero by chance."""

from typing import Any, NamedTuple

import numpy as np

from bncourse import arrays, checks
from bncourse.functional.masking import keep


class DropoutCache(NamedTuple):
    """What :func:`dropout_forward` hands to :func:`dropout_backward`.

    Attributes
    ----------
    mask : array of bool
        In the shape of ``x``: what was kept.
    scale : float
        What it was multiplied by.
    dtype : dtype
        That of ``x``.
    """

    mask: Any
    scale: float
    dtype: Any


def dropout_forward(x, p, rng):
    r"""Inverted dropout: zero with probability ``p``, else scaled up, so that the mean stays.

    .. math::

        y_i = \frac{m_i}{1 - p}\, x_i, \qquad m_i \sim \mathrm{Bernoulli}(1 - p)

    Nothing is left to do at inference: there, leave it out.

    Parameters
    ----------
    x : array
        Real floating point, any shape. It is not changed.
    p : float in [0, 1]
        Probability of a zero, for each element on its own.
    rng : numpy.random.Generator
        Source of the mask. It is drawn by NumPy, so that one seed gives one mask whatever
        library and dtype ``x`` has, and moved to where ``x`` lives.

    Returns
    -------
    y : array
        In the shape and dtype of ``x``. A NaN that is dropped is 0.
    cache : DropoutCache
        For :func:`dropout_backward`.

    Raises
    ------
    TypeError
        If ``x`` is not real floating point, ``p`` no number, or ``rng`` no generator: a seed
        would draw the same mask each time.
    ValueError
        If ``p`` is not in [0, 1].

    Notes
    -----
    Source: Srivastava et al. (2014). After a batch norm, it makes the variance at inference
    another than in training (Li et al. 2019).
    """
    xp = arrays.namespace(x=x)
    arrays.check_real("x", x)
    p = checks.number("p", p, 0, 1)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator, e.g. np.random.default_rng(0), not {rng!r}"
        )
    mask = rng.random(tuple(x.shape), dtype=np.float32) >= p
    mask = xp.asarray(mask, device=arrays.compat.device(x))
    scale = 1 / (1 - p) if p < 1 else 0.0
    return keep(x * scale, mask), DropoutCache(mask, scale, x.dtype)


def dropout_backward(dy, cache):
    r"""Gradient of :func:`dropout_forward`: the same mask and scale, applied to ``dy``.

    ``dy`` is in the shape of ``y``, and ``cache`` comes from :func:`dropout_forward`.
    """
    arrays.check_cache(cache, DropoutCache, "dropout_forward")
    mask, scale, dtype = cache
    xp = arrays.check_upstream(dy, mask.shape, mask)
    return keep(xp.astype(dy, dtype, copy=False) * scale, mask)

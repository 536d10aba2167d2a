"""How far two arrays are apart, in one number."""

import numpy as np


def relative_error(a, b):
    r"""Largest deviation, relative to the largest entry: :math:`\max|a - b| / \max(|a|, |b|)`.

    One scale for the whole array, so that entries that are zero but for rounding do not count
    as 100 % wrong. Returns 0.0 for two arrays of zeros, and NaN if either holds NaN or infinity.

    Parameters
    ----------
    a, b : array_like
        Of one shape.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ValueError(f"a has shape {a.shape}, b has {b.shape}")
    scale = np.maximum(np.max(np.abs(a), initial=0.0), np.max(np.abs(b), initial=0.0))
    if not np.isfinite(scale):
        return float("nan")
    return float(np.max(np.abs(a - b), initial=0.0) / scale) if scale > 0 else 0.0

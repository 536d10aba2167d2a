"""Series of numbers as strict JSON: short, the same bytes each time, NaN and infinity included."""

import json
import math

import numpy as np

DIGITS = 6
"""Significant digits that are kept: more than float32 has to tell, and half the size."""


def to_json(series):
    """Arrays by name as lists of numbers, rounded; what JSON has no number for becomes text.

    Parameters
    ----------
    series : dict
        Numbers, or arrays of numbers, by name: bool, integer or real.

    Returns
    -------
    dict
        Nested lists of int, bool and float, and of ``"nan"``, ``"inf"``, ``"-inf"``.

    Raises
    ------
    TypeError
        If it is no dict of numbers; the message names the series.
    """
    if not isinstance(series, dict) or not all(isinstance(name, str) for name in series):
        raise TypeError(f"an experiment must return a dict of series, not {_short(series)}")
    return {name: _plain(_checked(name, values).tolist()) for name, values in series.items()}


def to_arrays(series):
    """NumPy arrays by name from what :func:`to_json` made of a dict ``series``."""
    return {name: _array(values) for name, values in series.items()}


def dumps(value):
    """``value`` as one line of strict JSON; names keep their order, the same each time."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _checked(name, values):
    try:
        a = np.asarray(values)
    except ValueError:  # lists of different lengths
        a = np.asarray(None)
    if a.dtype.kind not in "biuf":
        raise TypeError(f"the series {name!r} must hold real numbers, not {_short(values)}")
    return a


def _short(value):
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}..."


def _plain(value):
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)


def _array(values):
    a = np.array(values)
    return a if a.dtype.kind in "biuf" else np.array(values, float)

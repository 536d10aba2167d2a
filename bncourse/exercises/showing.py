"""How an input and two outputs that differ are written down, so that the difference is seen."""

import numpy as np

LARGEST = 20  # entries of an array that is shown in full


def difference(name, yours, wanted, arguments):
    """Lines that show the input, and the output ``name`` where it is not what is wanted.

    Parameters
    ----------
    name : str
    yours, wanted : numpy.ndarray
    arguments : dict
        By name, what the function was given.
    """
    yours, wanted = np.asarray(yours), np.asarray(wanted)
    index = _worst(yours, wanted)
    lines = [f"  {_argument(a, value, index)}" for a, value in arguments.items()]
    if wanted.ndim <= 2 and wanted.size <= LARGEST and _seen(yours, wanted, index):
        return [
            *lines,
            f"  yours:  {name} = {_digits(yours)}",
            f"  wanted: {name} = {_digits(wanted)}",
        ]
    entry = f"{name}[{', '.join(map(str, index))}]" if index else name
    a, b = _told_apart(float(yours[index]), float(wanted[index]))
    note = "  where the two differ most:"
    return [*lines, note, f"  yours:  {entry} = {a}", f"  wanted: {entry} = {b}"]


def _worst(yours, wanted):
    """Index of the largest difference; what is not finite on one side only is the largest."""
    finite = np.isfinite(yours), np.isfinite(wanted)
    with np.errstate(all="ignore"):
        gap = np.abs(yours.astype(float) - wanted.astype(float))
    gap = np.where(finite[0] & finite[1], gap, np.where(finite[0] == finite[1], 0.0, np.inf))
    return tuple(int(i) for i in np.unravel_index(np.argmax(gap), gap.shape))


def _argument(name, value, index):
    array = np.asarray(value)
    if array.dtype == object:
        return f"{name} = a {type(value).__name__}"
    if array.ndim == 0:
        return f"{name} = {array.item()!r}"
    if array.size <= LARGEST:
        return f"{name} = {_digits(array)}"
    if array.ndim > 2 and _has(array, index) and array[:, index[1]].size <= LARGEST:
        return f"{name}[:, {index[1]}] = {_digits(array[:, index[1]])}"
    return f"{name} = an array of shape {array.shape}{_feature(array, index)}"


def _feature(array, index):
    """Mean and spread of the feature that ``index`` is in."""
    if array.ndim < 2 or not _has(array, index) or array.dtype.kind != "f":
        return ""
    values = array[:, index[1]]
    return f"; feature {index[1]} has mean {values.mean():.3g} and spread {values.std():.3g}"


def _has(array, index):
    """Whether the result's second axis may count features of the argument: it is no longer."""
    return len(index) > 1 and index[1] < array.shape[1]


def _seen(yours, wanted, index):
    """Whether four decimals show the difference, and by more than a unit of the last."""
    gap = abs(float(yours[index]) - float(wanted[index]))
    return not gap < 5e-4 and _digits(yours) != _digits(wanted)


def _digits(array):
    if array.ndim == 0:
        return repr(array.item())
    if array.dtype.kind != "f":
        return str(array.tolist())
    with np.printoptions(threshold=LARGEST + 1):
        text = np.array2string(array, separator=", ", formatter={"float_kind": _short})
    return " ".join(text.split())


def _short(value):
    """Four decimals at most, and none that are zero."""
    text = f"{value:.4f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _told_apart(a, b):
    """Two numbers with one digit more than it takes to see that they differ, 4 at least."""
    for digits in range(3, 17):
        if f"{a:.{digits}g}" != f"{b:.{digits}g}":
            break
    return f"{a:.{digits + 1}g}", f"{b:.{digits + 1}g}"

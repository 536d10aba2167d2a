"""Windows that slide over the spatial axes: their sizes, their number, and padding around them.

Shared by convolution and pooling. An array is (N, C, *spatial*), with one, two or three spatial
axes; whatever holds one number per spatial axis may be given as one number for all of them.
"""

from numbers import Integral

from bncourse import arrays, checks


def per_axis(name, value, rank, low=0):
    """``value``, an int or one int per spatial axis, as a tuple of ``rank`` Python ints.

    Raises
    ------
    TypeError
        If it is neither an int nor a tuple or list of ints.
    ValueError
        If there are not ``rank`` of them, or one is less than ``low``.
    """
    if isinstance(value, Integral):
        return (checks.integer(name, value, low),) * rank
    if not isinstance(value, (tuple, list)):
        raise TypeError(
            f"{name} must be a whole number or {rank} of them, one per spatial axis, not {value!r}"
        )
    if len(value) != rank:
        raise ValueError(f"{name} must hold {rank} numbers, one per spatial axis, not {value!r}")
    return tuple(checks.integer(name, v, low) for v in value)


def counts(shape, kernel, stride, padding):
    r"""How many windows fit along each spatial axis of ``shape``, that is (N, C, *spatial*).

    .. math:: \lfloor (\mathrm{size} + 2\,\mathrm{padding} - \mathrm{kernel}) /
        \mathrm{stride} \rfloor + 1

    Raises
    ------
    ValueError
        If a window is larger than the padded array.
    """
    spatial = tuple(shape[2:])
    padded = tuple(n + 2 * p for n, p in zip(spatial, padding, strict=True))
    if any(k > n for k, n in zip(kernel, padded, strict=True)):
        raise ValueError(
            f"x has spatial shape {spatial}, with padding {padded}: a window of {kernel} does "
            "not fit into it"
        )
    return tuple((n - k) // s + 1 for n, k, s in zip(padded, kernel, stride, strict=True))


def at(offset, stride, count):
    """Index of the elements at ``offset`` in all windows: slices after an ellipsis."""
    return (
        ...,
        *(slice(o, o + s * (n - 1) + 1, s) for o, s, n in zip(offset, stride, count, strict=True)),
    )


def pad(x, padding, value=0.0):
    """``x`` in a frame of ``value``, ``padding`` wide on both sides of each spatial axis.

    A ``padding`` of zeros gives ``x`` itself, not a copy.
    """
    if not any(padding):
        return x
    xp = arrays.namespace(x=x)
    spatial = tuple(n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True))
    shape = (*x.shape[:2], *spatial)
    framed = xp.full(shape, value, dtype=x.dtype, device=arrays.compat.device(x))
    framed[inner(padding, x.shape[2:])] = x
    return framed


def inner(padding, size):
    """Index of what is inside a frame: ``size`` elements from ``padding`` on."""
    return (..., *(slice(p, p + n) for p, n in zip(padding, size, strict=True)))

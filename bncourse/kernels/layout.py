"""Any place of the channels as one of two: maps, (N, C, L), or a table, (R, C)."""

from functools import lru_cache
from math import prod


@lru_cache(1024)
def view(shape, axes):
    """The shape in which the channels of ``x`` are one axis, reduced over all others.

    Parameters
    ----------
    shape : tuple of int
        That of a contiguous ``x``.
    axes : tuple of int
        The reduced ones, in order.

    Returns
    -------
    tuple of int, or None
        (N, C, L), or (R, C) where nothing follows the channels; ``None`` if other axes lie
        between them.
    """
    channels = [a for a in range(len(shape)) if a not in axes]
    if not channels or len(channels) != channels[-1] - channels[0] + 1:
        return None
    n, c = prod(shape[: channels[0]]), prod(shape[a] for a in channels)
    length = prod(shape[channels[-1] + 1 :])
    return (n, c) if length == 1 else (n, c, length)

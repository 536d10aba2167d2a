"""Any place of the channels as one of two: maps, (N, C, L), or a table, (R, C)."""

from functools import lru_cache
from math import prod
from typing import NamedTuple


class Layout(NamedTuple):
    """How a contiguous ``x`` looks to a kernel, and its statistics to others.

    Attributes
    ----------
    shape : tuple of int
        (N, C, L), or (R, C) where nothing follows the channels: that of ``x`` with its channels
        on one axis.
    broadcast, kept : tuple of int
        The shape of statistics beside ``x``, and by themselves.
    count : int
        Values a channel.
    """

    shape: tuple
    broadcast: tuple
    kept: tuple
    count: int


@lru_cache(1024)
def of(shape, axes, channels):
    """The layout of an array of that ``shape``, reduced over ``axes``, with given channel axes.

    ``None`` if the two are not all axes, or there are others between the channel axes.
    """
    if set(channels) != set(range(len(shape))).difference(axes) or not channels:
        return None
    if len(channels) != channels[-1] - channels[0] + 1:
        return None
    kept = tuple(shape[a] for a in channels)
    n, length = prod(shape[: channels[0]]), prod(shape[channels[-1] + 1 :])
    return Layout(
        (n, prod(kept)) if length == 1 else (n, prod(kept), length),
        tuple(1 if a in axes else size for a, size in enumerate(shape)),
        kept,
        n * length,
    )

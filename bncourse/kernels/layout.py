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
def of(shape, axes):
    """The layout of an array of that ``shape``, reduced over ``axes``, which are in order.

    ``None`` if there are reduced axes between the channel axes.
    """
    channels = [a for a in range(len(shape)) if a not in axes]
    if not channels or len(channels) != channels[-1] - channels[0] + 1:
        return None
    kept = tuple(shape[a] for a in channels)
    n, length = prod(shape[: channels[0]]), prod(shape[channels[-1] + 1 :])
    return Layout(
        (n, prod(kept)) if length == 1 else (n, prod(kept), length),
        tuple(1 if a in axes else size for a, size in enumerate(shape)),
        kept,
        n * length,
    )

"""How other libraries lay out the arrays of a layer."""

import numpy as np

from bncourse.nn.conv import Conv2d, ConvTranspose2d
from bncourse.nn.layers import Dense
from bncourse.nn.pool import Flatten, GlobalAvgPool2d


class Layout:
    """From and to another library's arrays for one layer.

    Parameters
    ----------
    library : {"torch", "keras", "flax"}
    layer : Module
    channels : int or None
        Of the maps that were flattened into the features which ``layer`` takes. Where channels
        come last, these features are in another order.
    """

    def __init__(self, library, layer, channels=None):
        self.channels = None if library == "torch" else channels
        self.axes, self.flipped = None, False
        if isinstance(layer, Dense) and library == "torch":
            self.axes = (1, 0)
        if isinstance(layer, (Conv2d, ConvTranspose2d)) and library != "torch":
            self.axes = (2, 3, 1, 0)
        if isinstance(layer, ConvTranspose2d) and library == "flax":
            # Not a convolution's gradient, but one over spread inputs: the mirrored weights.
            self.axes, self.flipped = (2, 3, 0, 1), True
        self.features = ("b",) if isinstance(layer, Dense) else ()  # made here, not taken in

    def there(self, name, a):
        """Our array ``name`` as theirs."""
        if name == "w":
            a = a[:, :, ::-1, ::-1] if self.flipped else a
            a = a if self.axes is None else np.transpose(a, self.axes)
        if self.channels and name not in self.features:
            a = np.swapaxes(a.reshape(self.channels, -1, *a.shape[1:]), 0, 1).reshape(a.shape)
        return np.ascontiguousarray(a)

    def back(self, name, a):
        """Their array as our ``name``."""
        if self.channels and name not in self.features:
            a = np.swapaxes(a.reshape(-1, self.channels, *a.shape[1:]), 0, 1).reshape(a.shape)
        if name == "w":
            a = a if self.axes is None else np.transpose(a, np.argsort(self.axes))
            a = a[:, :, ::-1, ::-1] if self.flipped else a
        return a


def laid_out(net, library):
    """All layers of ``net`` that hold something, as (prefix, layer, :class:`Layout`)."""
    maps = flattened = None
    for prefix, layer in net.modules():
        if layer.children():
            continue
        if isinstance(layer, (Conv2d, ConvTranspose2d)):
            transposed = isinstance(layer, ConvTranspose2d)
            maps = layer.w.shape[1] * layer.groups if transposed else layer.w.shape[0]
        if isinstance(layer, GlobalAvgPool2d):
            maps = None
        if isinstance(layer, Flatten):
            maps, flattened = None, maps
        yield prefix, layer, Layout(library, layer, flattened)
        if isinstance(layer, Dense):
            maps = flattened = None

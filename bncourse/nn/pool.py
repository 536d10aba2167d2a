"""Pooling layers, and the step from maps to rows."""

from bncourse import arrays
from bncourse import functional as F
from bncourse.functional.windows import per_axis
from bncourse.nn.module import Module


class MaxPool2d(Module):
    """Largest element of each window: :func:`~bncourse.functional.max_pool_forward`.

    Parameters
    ----------
    kernel : int or (int, int)
        Height and width of the window.
    stride : int or (int, int), optional
        Step between windows; by default that of ``kernel``.
    padding : int or (int, int)
        At most half of ``kernel``.
    """

    def __init__(self, kernel, stride=None, padding=0):
        super().__init__()
        self.kernel = per_axis("kernel", kernel, 2, 1)
        self.stride = self.kernel if stride is None else per_axis("stride", stride, 2, 1)
        self.padding = _at_most_half(padding, self.kernel)

    def forward(self, x):
        """``x`` of shape (N, C, H, W) to ``y`` of shape (N, C, P, Q), and the cache."""
        _check_images(x)
        return F.max_pool_forward(x, self.kernel, self.stride, self.padding)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``: to the first of the largest elements."""
        return F.max_pool_backward(dy, cache)


class AvgPool2d(Module):
    """Mean of each window: :func:`~bncourse.functional.avg_pool_forward`.

    Parameters
    ----------
    kernel, stride, padding
        As in :class:`MaxPool2d`; the zeros of the padding are counted.
    """

    def __init__(self, kernel, stride=None, padding=0):
        super().__init__()
        self.kernel = per_axis("kernel", kernel, 2, 1)
        self.stride = self.kernel if stride is None else per_axis("stride", stride, 2, 1)
        self.padding = _at_most_half(padding, self.kernel)

    def forward(self, x):
        """``x`` of shape (N, C, H, W) to ``y`` of shape (N, C, P, Q), and the cache."""
        _check_images(x)
        return F.avg_pool_forward(x, self.kernel, self.stride, self.padding)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``."""
        return F.avg_pool_backward(dy, cache)


class GlobalAvgPool2d(Module):
    """Mean of each map, (N, C, H, W) to (N, C): ``global_avg_pool_forward``."""

    def forward(self, x):
        """``x`` of shape (N, C, H, W) to ``y`` of shape (N, C), and the cache."""
        _check_images(x)
        return F.global_avg_pool_forward(x)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``."""
        return F.global_avg_pool_backward(dy, cache)


class Flatten(Module):
    """One row for each example: :func:`~bncourse.functional.flatten_forward`."""

    def forward(self, x):
        """``x`` of shape (N, ...) to ``y`` of shape (N, D), and the cache."""
        return F.flatten_forward(x)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``, in its shape."""
        return F.flatten_backward(dy, cache)


def _at_most_half(padding, kernel):
    padding = per_axis("padding", padding, 2)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(f"padding must be at most half of kernel, {kernel}, but it is {padding}")
    return padding


def _check_images(x):
    arrays.check_real("x", x)
    if x.ndim != 4:
        raise ValueError(f"x has shape {tuple(x.shape)}, but this layer takes (N, C, H, W)")

"""Convolution and transposed convolution as layers: their weights, and how these are drawn."""

import copy
from math import prod

import numpy as np

from bncourse import checks
from bncourse import functional as F
from bncourse.functional.windows import per_axis
from bncourse.nn.module import Module


class Conv2d(Module):
    r"""Convolution over images: :func:`~bncourse.functional.conv_forward`.

    Parameters
    ----------
    n_in, n_out : int
        Channels in and out, both multiples of ``groups``.
    kernel : int or (int, int)
        Height and width of the weights.
    stride, padding : int or (int, int)
        Step between windows, and zeros around the image.
    groups : int
        In so many parts the channels are divided; ``groups=n_in`` makes it depthwise.
    bias : bool
        Whether there is a ``b``; before a batch norm it would have no effect.
    std : float, optional
        Standard deviation of the Gaussian that the weights are drawn from; by default
        :math:`\sqrt{2 / n}`, for the :math:`n = kh\,kw\,n_\mathrm{in} / \mathrm{groups}` numbers
        that each output adds up, which suits ReLU (He et al. 2015).
    rng : numpy.random.Generator or int
        Source of the weights, or a seed.
    dtype : str
        Floating dtype of the parameters.

    Attributes
    ----------
    w : array, shape (n_out, n_in/groups, kh, kw)
        Weights.
    b : array, shape (n_out,), or None
        Bias, zero at first.

    Raises
    ------
    TypeError, ValueError
        If a number is not what it must be, or ``groups`` does not divide the channels.
    """

    parameter_names = ("w", "b")

    def __init__(
        self,
        n_in,
        n_out,
        kernel,
        stride=1,
        padding=0,
        groups=1,
        bias=True,
        std=None,
        rng=0,
        dtype="float32",
    ):
        super().__init__()
        n_in, n_out, groups = _channels(n_in, n_out, groups)
        kernel = per_axis("kernel", kernel, 2, 1)
        self.stride = per_axis("stride", stride, 2, 1)
        self.padding = per_axis("padding", padding, 2)
        self.groups = groups
        shape = (n_out, n_in // groups, *kernel)
        self.w = _gaussian(shape, prod(shape[1:]), std, rng, dtype)
        self.b = np.zeros(n_out, self.w.dtype) if bias else None

    def forward(self, x):
        """``x`` of shape (N, n_in, H, W) to ``y`` of shape (N, n_out, P, Q), and the cache."""
        _check_images(x, self.w.shape[1] * self.groups)
        return F.conv_forward(x, self.w, self.b, self.stride, self.padding, self.groups)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``; adds those of ``w`` and ``b`` to ``grads``."""
        dx, dw, db = F.conv_backward(dy, cache)
        self.add_gradients(w=dw, b=db)
        return dx

    def accumulate(self, dy, cache):
        """As :meth:`backward`, without the gradient with respect to ``x``."""
        _, dw, db = F.conv_backward(dy, cache, input_gradient=False)
        self.add_gradients(w=dw, b=db)

    def folded(self, norm):
        """A layer that does the :class:`BatchNorm` after this one as well; see :func:`fold`."""
        new = copy.copy(self)
        statistics = (norm.running_mean, norm.running_var, norm.eps)
        new.w, new.b = F.fold_conv(self.w, self.b, norm.gamma, norm.beta, *statistics)
        new.grads = {}
        return new


class ConvTranspose2d(Module):
    r"""Transposed convolution over images: :func:`~bncourse.functional.conv_transpose_forward`.

    Parameters
    ----------
    n_in, n_out, kernel, stride, padding, groups, bias, rng, dtype
        As in :class:`Conv2d`; the options are those of the convolution whose gradient it is.
    output_padding : int or (int, int)
        Rows and columns more at the end of the output, less than ``stride``.
    std : float, optional
        As in :class:`Conv2d`; by default for the
        :math:`n = kh\,kw\,n_\mathrm{in} / (\mathrm{groups}\; sh\, sw)` numbers that each output
        adds up, on average over the strides :math:`sh, sw`.

    Attributes
    ----------
    w : array, shape (n_in, n_out/groups, kh, kw)
        Weights.
    b : array, shape (n_out,), or None
        Bias, zero at first.

    Raises
    ------
    TypeError, ValueError
        As :class:`Conv2d`; also if ``output_padding`` is not less than ``stride``.
    """

    parameter_names = ("w", "b")

    def __init__(
        self,
        n_in,
        n_out,
        kernel,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        std=None,
        rng=0,
        dtype="float32",
    ):
        super().__init__()
        n_in, n_out, groups = _channels(n_in, n_out, groups)
        kernel = per_axis("kernel", kernel, 2, 1)
        self.stride = per_axis("stride", stride, 2, 1)
        self.padding = per_axis("padding", padding, 2)
        self.output_padding = per_axis("output_padding", output_padding, 2)
        if any(o >= s for o, s in zip(self.output_padding, self.stride, strict=True)):
            raise ValueError(
                f"output_padding must be less than stride, {self.stride}, but it is "
                f"{self.output_padding}"
            )
        self.groups = groups
        shape = (n_in, n_out // groups, *kernel)
        fan_in = prod(kernel) * (n_in // groups) / prod(self.stride)
        self.w = _gaussian(shape, fan_in, std, rng, dtype)
        self.b = np.zeros(n_out, self.w.dtype) if bias else None

    def forward(self, x):
        """``x`` of shape (N, n_in, H, W) to ``y`` of shape (N, n_out, P, Q), and the cache."""
        _check_images(x, self.w.shape[0])
        options = self.stride, self.padding, self.output_padding, self.groups
        return F.conv_transpose_forward(x, self.w, self.b, *options)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``; adds those of ``w`` and ``b`` to ``grads``."""
        dx, dw, db = F.conv_transpose_backward(dy, cache)
        self.add_gradients(w=dw, b=db)
        return dx

    def folded(self, norm):
        """A layer that does the :class:`BatchNorm` after this one as well; see :func:`fold`."""
        new = copy.copy(self)
        statistics = (norm.running_mean, norm.running_var, norm.eps)
        new.w, new.b = F.fold_conv_transpose(
            self.w, self.b, norm.gamma, norm.beta, *statistics, self.groups
        )
        new.grads = {}
        return new


def _channels(n_in, n_out, groups):
    n_in, n_out = checks.integer("n_in", n_in, 1), checks.integer("n_out", n_out, 1)
    groups = checks.integer("groups", groups, 1)
    if n_in % groups or n_out % groups:
        raise ValueError(f"groups must divide n_in={n_in} and n_out={n_out}, but it is {groups}")
    return n_in, n_out, groups


def _gaussian(shape, fan_in, std, rng, dtype):
    std = (2 / fan_in) ** 0.5 if std is None else checks.number("std", std, 0)
    dtype = checks.floating("dtype", dtype)
    return (std * np.random.default_rng(rng).standard_normal(shape)).astype(dtype)


def _check_images(x, channels):
    """Tell the shape that is wanted in the words of the layer: its user has not made a ``w``."""
    shape = tuple(getattr(x, "shape", ()))
    if shape and (len(shape) != 4 or shape[1] != channels):
        raise ValueError(f"x has shape {shape}, but this layer was made for (N, {channels}, H, W)")

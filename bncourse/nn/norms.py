"""Layer, group, instance and RMS norm as layers: a scale and a shift, and nothing to remember."""

import numpy as np

from bncourse import checks
from bncourse import functional as F
from bncourse.nn.module import Module


class _PerExample(Module):
    """What the norms share that look at one example at a time."""

    parameter_names = ("gamma", "beta")

    def __init__(self, shape, eps, affine, dtype, shift=True):
        super().__init__()
        self.eps = checks.positive("eps", eps)
        dtype = checks.floating("dtype", dtype)
        self.gamma = np.ones(shape, dtype) if affine else None
        self.beta = np.zeros(shape, dtype) if affine and shift else None


class LayerNorm(_PerExample):
    """Layer norm over the last axes: :func:`~bncourse.functional.layer_norm_forward`.

    Parameters
    ----------
    shape : int or tuple of int
        Of the features of one example: the last axis, or the last axes.
    eps : float
        Added to the variance, inside the root.
    affine : bool
        Whether there are ``gamma`` and ``beta``, in that shape.
    dtype : str
        Floating dtype of the parameters.

    Attributes
    ----------
    gamma, beta : array or None
        Learned scale and shift; ones and zeros at first.
    """

    def __init__(self, shape, eps=1e-5, affine=True, dtype="float32"):
        sizes = shape if isinstance(shape, tuple) else (shape,)
        self.shape = tuple(checks.integer("shape", n, 1) for n in sizes)
        super().__init__(self.shape, eps, affine, dtype)

    def forward(self, x):
        """Normalized ``x``, and the cache."""
        k = len(self.shape)
        if tuple(getattr(x, "shape", self.shape)[-k:]) != self.shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, but this layer was made for {self.shape} at its end"
            )
        axis = tuple(range(-k, 0))
        return F.layer_norm_forward(x, self.gamma, self.beta, self.eps, axis)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``; adds those of ``gamma`` and ``beta`` to ``grads``."""
        dx, dgamma, dbeta = F.layer_norm_backward(dy, cache)
        self.add_gradients(gamma=dgamma, beta=dbeta)
        return dx


class RMSNorm(_PerExample):
    """RMS norm over the last axis: :func:`~bncourse.functional.rms_norm_forward`.

    Parameters
    ----------
    num_features : int
        Length of the last axis.
    eps : float
        Added to the mean square, inside the root.
    affine : bool
        Whether there is a ``gamma``.
    dtype : str
        Floating dtype of the parameter.

    Attributes
    ----------
    gamma : array or None
        Learned scale; ones at first.
    """

    def __init__(self, num_features, eps=1e-5, affine=True, dtype="float32"):
        self.num_features = checks.integer("num_features", num_features, 1)
        super().__init__((self.num_features,), eps, affine, dtype, shift=False)

    def forward(self, x):
        """Normalized ``x``, and the cache."""
        return F.rms_norm_forward(x, self.gamma, self.eps)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``; adds that of ``gamma`` to ``grads``."""
        dx, dgamma = F.rms_norm_backward(dy, cache)
        self.add_gradients(gamma=dgamma)
        return dx


class GroupNorm(_PerExample):
    """Group norm: :func:`~bncourse.functional.group_norm_forward`.

    Parameters
    ----------
    groups, num_features : int
        Groups, and channels (axis 1), which they divide.
    eps : float
        Added to the variance, inside the root.
    affine : bool
        Whether there are ``gamma`` and ``beta``.
    dtype : str
        Floating dtype of the parameters.

    Attributes
    ----------
    gamma, beta : array, shape (num_features,), or None
        Learned scale and shift; ones and zeros at first.
    """

    def __init__(self, groups, num_features, eps=1e-5, affine=True, dtype="float32"):
        self.groups = checks.integer("groups", groups, 1)
        self.num_features = checks.integer("num_features", num_features, 1)
        if num_features % groups:
            raise ValueError(
                f"groups must divide num_features, but they are {groups} and {num_features}"
            )
        super().__init__((self.num_features,), eps, affine, dtype)

    def forward(self, x):
        """Normalized ``x``, and the cache."""
        self._check_channels(x)
        return F.group_norm_forward(x, self.groups, self.gamma, self.beta, self.eps)

    def backward(self, dy, cache):
        """Gradient with respect to ``x``; adds those of ``gamma`` and ``beta`` to ``grads``."""
        dx, dgamma, dbeta = F.group_norm_backward(dy, cache)
        self.add_gradients(gamma=dgamma, beta=dbeta)
        return dx

    def _check_channels(self, x):
        if getattr(x, "ndim", 0) > 1 and x.shape[1] != self.num_features:
            raise ValueError(
                f"x has {x.shape[1]} channels on axis 1, but this layer was made for "
                f"num_features={self.num_features}"
            )


class InstanceNorm(GroupNorm):
    """Instance norm: a group norm whose groups have one channel each.

    Unlike PyTorch's, it has ``gamma`` and ``beta`` unless told otherwise, as all norms here.

    Parameters
    ----------
    num_features : int
        Channels, axis 1.
    eps, affine, dtype
        As in :class:`GroupNorm`.
    """

    def __init__(self, num_features, eps=1e-5, affine=True, dtype="float32"):
        super().__init__(num_features, num_features, eps, affine, dtype)

    def forward(self, x):
        """Normalized ``x``, and the cache."""
        self._check_channels(x)
        return F.instance_norm_forward(x, self.gamma, self.beta, self.eps)

"""Batch norm as a layer: scale, shift, and statistics that run along."""

from numbers import Integral

import numpy as np

from bncourse import arrays, checks
from bncourse import functional as F
from bncourse.moments import Moments, _axes
from bncourse.nn.running import RunningStatistics


class BatchNorm(RunningStatistics):
    r"""Batch normalization with PyTorch's semantics.

    In training, :func:`~bncourse.functional.batch_norm_forward`, and after each batch

    .. math::

        \mathrm{running} \leftarrow (1 - \mathrm{momentum})\,\mathrm{running}
        + \mathrm{momentum}\cdot\mathrm{batch}

    for the mean and for the *unbiased* variance. In evaluation,
    :func:`~bncourse.functional.batch_norm_inference` with the running statistics.

    Parameters
    ----------
    num_features : int, tuple of int, or None
        Channels: the length of ``axis``, or the lengths of several axes. ``None`` takes them
        from the first input.
    eps : float
        Added to the variance, inside the root.
    momentum : float in [0, 1], or None
        Weight of the *new* batch (Keras and Flax: of the old). ``None`` gives the plain average
        over all batches seen.
    affine : bool, "gamma" or "beta"
        Whether there are ``gamma`` and ``beta``, or only one of them.
    track_running_stats : bool
        If not, there are no running statistics, and the batch's own are used in evaluation too.
    axis : int or tuple of int
        The channel axis, or axes; negative ones count from the end.
    variance : {"unbiased", "biased"}
        Which one is kept: with n - 1 (the paper, PyTorch) or with n (Keras, Flax).
    virtual_batch_size : int, optional
        Normalize slices of so many examples each by their own statistics: ghost batches.
    on_nonfinite : {"propagate", "raise", "skip"}
        What NaN or infinity in a channel's batch statistics does to its running statistics:
        enter them; raise ``ValueError`` before anything changes; or leave that channel's as
        they were, as if it had not been in this batch.
    dtype : str
        Floating dtype of parameters and running statistics.

    Attributes
    ----------
    gamma, beta : array, shape (num_features,), or None
        Learned scale and shift; ones and zeros at first.
    running_mean, running_var : array, shape (num_features,), or None
        Zeros and ones at first. Never changed in place, so that what you hold stays as it was.
    num_batches_tracked : int
        Non-empty batches seen in training.
    num_batches_skipped : array, shape (num_features,), or None
        How many of them ``on_nonfinite="skip"`` kept out of a channel's statistics.
    population : Moments or None
        What :meth:`observe` has seen so far.
    frozen : bool
        Whether the layer is as in evaluation for good; see :meth:`freeze`.
    """

    parameter_names = ("gamma", "beta")

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        *,
        axis=1,
        variance="unbiased",
        virtual_batch_size=None,
        on_nonfinite="propagate",
        dtype="float32",
    ):
        super().__init__(momentum, variance, on_nonfinite)
        if affine not in (True, False, "gamma", "beta"):
            raise ValueError(f"affine must be True, False, 'gamma' or 'beta', not {affine!r}")
        if virtual_batch_size is not None:
            virtual_batch_size = checks.integer("virtual_batch_size", virtual_batch_size, 1)
        self.eps = checks.positive("eps", eps)
        self.affine = affine
        self.track_running_stats = bool(track_running_stats)
        self.axis = _checked_axis(axis)
        self.virtual_batch_size = virtual_batch_size
        self.dtype = checks.floating("dtype", dtype)
        self.gamma = self.beta = None
        self.frozen = False
        self.num_features = None
        if num_features is not None:
            self._make(num_features)

    def _make(self, num_features):
        sizes = num_features if isinstance(num_features, tuple) else (num_features,)
        shape = tuple(checks.integer("num_features", n, 1) for n in sizes)
        axes = 1 if isinstance(self.axis, int) else len(self.axis)
        if len(shape) != axes:
            raise ValueError(f"num_features is {num_features}, but axis is {self.axis}")
        self.num_features = shape if isinstance(num_features, tuple) else shape[0]
        if self.affine in (True, "gamma"):
            self.gamma = np.ones(shape, self.dtype)
        if self.affine in (True, "beta"):
            self.beta = np.zeros(shape, self.dtype)
        if self.track_running_stats:
            self.reset_running_stats(shape, self.dtype)

    def forward(self, x, mask=None):
        """Normalized ``x``, and the cache; in training mode the running statistics move on.

        ``mask`` is that of :func:`~bncourse.functional.batch_norm_forward`; it matters only where
        the batch's own statistics are used.

        Raises
        ------
        TypeError, ValueError
            As the functions; then the running statistics are as they were.
        """
        arrays.check_real("x", x)
        self._check_channels(x)
        by_batch = self.training and not self.frozen
        if not by_batch and self.track_running_stats:
            return F.batch_norm_inference_forward(
                x, self.gamma, self.beta, self.running_mean, self.running_var, self.eps, self.axis
            )
        if self.virtual_batch_size is None:
            y, cache = F.batch_norm_forward(x, self.gamma, self.beta, self.eps, self.axis, mask)
        elif mask is not None:
            raise ValueError("mask and virtual_batch_size do not go together")
        else:
            size = self.virtual_batch_size
            y, cache = F.ghost_batch_norm_forward(
                x, size, self.gamma, self.beta, self.eps, self.axis
            )
        if by_batch and self.track_running_stats:
            self._track(cache.moments)
        return y, cache

    def backward(self, dy, cache):
        """Gradient with respect to ``x``; adds those of ``gamma`` and ``beta`` to ``grads``."""
        if isinstance(cache, F.InferenceCache):
            dx, dgamma, dbeta, *_ = F.batch_norm_inference_backward(dy, cache)
        elif isinstance(cache, F.GhostCache):
            dx, dgamma, dbeta = F.ghost_batch_norm_backward(dy, cache)
        else:
            dx, dgamma, dbeta = F.batch_norm_backward(dy, cache)
        if not self.frozen:
            self.add_gradients(gamma=dgamma, beta=dbeta)
        return dx

    def observe(self, x):
        """Take an input into exact statistics of a population; see :class:`RunningStatistics`.

        ``x`` may hold any number of examples, also one; it may be :class:`Moments` as well.
        """
        if not self.track_running_stats:
            raise ValueError("track_running_stats is False: there is nothing to observe with")
        if not isinstance(x, Moments):
            arrays.check_real("x", x)
            self._check_channels(x)
            kept = _axes(self.axis, x.ndim)
            x = Moments.of(x, tuple(a for a in range(x.ndim) if a not in kept))
        super().observe(x)

    def freeze(self):
        """Use the running statistics in training too, and learn nothing; returns the layer."""
        if not self.track_running_stats:
            raise ValueError("track_running_stats is False: there are no statistics to freeze")
        self.frozen = True
        return self

    def unfreeze(self):
        """Undo :meth:`freeze`; returns the layer."""
        self.frozen = False
        return self

    def _check_channels(self, x):
        one = isinstance(self.axis, int)
        axes = (self.axis,) if one else self.axis
        if not all(-x.ndim <= a < x.ndim for a in axes) or x.ndim < 2:
            return  # the function says so
        shape = (x.shape[self.axis],) if one else tuple(x.shape[a] for a in _axes(axes, x.ndim))
        if self.num_features is None:
            self._make(shape if isinstance(self.axis, tuple) else shape[0])
            self._follow(x)
        wanted = self.num_features if isinstance(self.num_features, tuple) else (self.num_features,)
        if shape != wanted:
            raise ValueError(
                f"x has {shape if len(shape) > 1 else shape[0]} channels on axis {self.axis}, "
                f"but this layer was made for num_features={self.num_features}"
            )
        # Told here, so that a layer without parameters says it as well.
        arrays.namespace(x=x, running_mean=self.running_mean)

    def _follow(self, x):
        """Move what was just made to where ``x`` lives."""
        if arrays.library(x) == "cupy":
            self.to("cupy")


def _checked_axis(axis):
    given = tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
    if not given or not all(isinstance(a, Integral) and not isinstance(a, bool) for a in given):
        raise TypeError(f"axis must be an int or a tuple of ints, not {axis!r}")
    return tuple(int(a) for a in given) if isinstance(axis, (list, tuple)) else int(axis)

"""Batch norm as a layer: scale, shift, and statistics that run along."""

from numbers import Integral

import numpy as np

from bncourse import arrays, checks
from bncourse import functional as F
from bncourse.nn.module import Module


class BatchNorm(Module):
    r"""Batch normalization with PyTorch's semantics.

    In training, :func:`~bncourse.functional.batch_norm_forward`, and after each batch

    .. math::

        \mathrm{running} \leftarrow (1 - \mathrm{momentum})\,\mathrm{running}
        + \mathrm{momentum}\cdot\mathrm{batch}

    for the mean and for the *unbiased* variance. In evaluation,
    :func:`~bncourse.functional.batch_norm_inference` with the running statistics.

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float
        Added to the variance, inside the root.
    momentum : float in [0, 1], or None
        Weight of the *new* batch (Keras and Flax: of the old). ``None`` gives the plain average
        over all batches seen.
    affine : bool
        Whether there are ``gamma`` and ``beta``.
    axis : int
        The channel axis; negative ones count from the end.
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
    running_mean, running_var : array, shape (num_features,)
        Zeros and ones at first. Never changed in place, so that what you hold stays as it was.
    num_batches_tracked : int
        Non-empty batches seen in training.
    num_batches_skipped : array, shape (num_features,)
        How many of them ``on_nonfinite="skip"`` kept out of a channel's statistics.
    """

    parameter_names = ("gamma", "beta")
    buffer_names = ("running_mean", "running_var", "num_batches_skipped")

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        axis=1,
        on_nonfinite="propagate",
        dtype="float32",
    ):
        super().__init__()
        num_features = checks.integer("num_features", num_features, 1)
        eps = checks.positive("eps", eps)
        if momentum is not None:
            momentum = checks.number("momentum", momentum, 0, 1)
        if isinstance(axis, bool) or not isinstance(axis, Integral):
            raise TypeError(f"axis must be an int, not {axis!r}")
        dtype = checks.floating("dtype", dtype)
        if on_nonfinite not in ("propagate", "raise", "skip"):
            raise ValueError(
                f"on_nonfinite must be 'propagate', 'raise' or 'skip', not {on_nonfinite!r}"
            )
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.axis = int(axis)
        self.on_nonfinite = on_nonfinite
        self.gamma = np.ones(num_features, dtype) if affine else None
        self.beta = np.zeros(num_features, dtype) if affine else None
        self.running_mean = np.zeros(num_features, dtype)
        self.running_var = np.ones(num_features, dtype)
        self.num_batches_tracked = 0
        self.num_batches_skipped = np.zeros(num_features, dtype)

    def forward(self, x):
        """Normalized ``x``, and the cache; in training mode the running statistics move on.

        Raises
        ------
        TypeError, ValueError
            As the functions; then the running statistics are as they were.
        """
        # `running_mean` comes along so that a wrong number of channels is told even without gamma.
        arrays.check_real("x", x)
        arrays.namespace(x=x, running_mean=self.running_mean)
        known = -x.ndim <= self.axis < x.ndim  # if not, the function says so
        if known and x.shape[self.axis] != self.num_features:
            raise ValueError(
                f"x has {x.shape[self.axis]} channels on axis {self.axis}, but this layer was "
                f"made for num_features={self.num_features}"
            )
        if not self.training:
            y = F.batch_norm_inference(
                x, self.gamma, self.beta, self.running_mean, self.running_var, self.eps, self.axis
            )
            return y, None
        y, cache = F.batch_norm_forward(x, self.gamma, self.beta, self.eps, self.axis)
        self._track(cache.moments)
        return y, cache

    def backward(self, dy, cache):
        """Gradient with respect to ``x``; adds those of ``gamma`` and ``beta`` to ``grads``."""
        if cache is None:
            raise ValueError(
                "this cache comes from a forward pass in evaluation mode, which keeps nothing "
                "for gradients: call train() before forward()"
            )
        dx, dgamma, dbeta = F.batch_norm_backward(dy, cache)
        self.add_gradients(gamma=dgamma, beta=dbeta)
        return dx

    def _track(self, moments):
        if moments.count == 0:
            return
        mean, var = moments.mean, moments.var_unbiased
        xp = arrays.namespace(mean=mean)
        keep = None if self.on_nonfinite == "propagate" else xp.isfinite(mean) & xp.isfinite(var)
        if self.on_nonfinite == "raise" and not bool(xp.all(keep)):
            raise ValueError(
                "x holds NaN or infinity (or its variance overflows), and on_nonfinite='raise': "
                "clean x, or choose on_nonfinite='skip' to keep such channels out of the running "
                "statistics"
            )
        batches = self.num_batches_tracked + 1
        skipped = self.num_batches_skipped
        if keep is not None:
            skipped = skipped + xp.astype(~keep, skipped.dtype)
        weight = self.momentum
        if weight is None:  # a count of 0 belongs to a channel without a single batch to weigh
            weight = 1 / xp.clip(batches - xp.astype(skipped, mean.dtype), 1)

        def blend(old, new):
            wide = xp.astype(old, new.dtype, copy=False)
            moved = (1 - weight) * wide + weight * new
            return xp.astype(moved if keep is None else xp.where(keep, moved, wide), old.dtype)

        running = blend(self.running_mean, mean), blend(self.running_var, var)
        self.running_mean, self.running_var = running
        self.num_batches_tracked, self.num_batches_skipped = batches, skipped

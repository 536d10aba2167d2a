"""Batch norm, then perhaps a residual, then ReLU, as one function; by one kernel, if there is."""

from typing import Any, NamedTuple

from bncourse import arrays, kernels
from bncourse.functional.activations import relu_forward
from bncourse.functional.batch_norm import batch_norm_backward, batch_norm_forward, layout
from bncourse.functional.masking import keep
from bncourse.functional.normalization import (
    NormCache,
    check_enough,
    checked_eps,
    fused_backward,
    fused_forward,
    parameter,
)


class BatchNormReluCache(NamedTuple):
    """What :func:`batch_norm_relu_forward` hands to :func:`batch_norm_relu_backward`.

    Attributes
    ----------
    norm : NormCache
        Of the batch norm.
    y : array
        The output itself, not a copy; where it is positive, the gradient passes.
    added : bool
        Whether there was a residual.
    """

    norm: NormCache
    y: Any
    added: bool


def batch_norm_relu_forward(x, gamma=None, beta=None, eps=1e-5, axis=1, residual=None):
    r"""Batch norm, the sum with a residual, and ReLU, in one.

    .. math::

        y = \max(\gamma \hat x + \beta + r,\; 0)

    Each of the three alone would read and write the whole batch. By a kernel, which there is on a
    GPU and for large arrays where Numba is installed, together they cost no more than the batch
    norm, and reading :math:`r`.

    Parameters
    ----------
    x, gamma, beta, eps, axis
        As in :func:`batch_norm_forward`.
    residual : array, optional
        :math:`r`, in the shape of ``x``; ``None`` leaves the sum out.

    Returns
    -------
    y : array
        In the shape and dtype of ``x``. A NaN stays a NaN.
    cache : BatchNormReluCache
        For :func:`batch_norm_relu_backward`.

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_forward`; also if ``residual`` is not real, lives elsewhere or is of
        another shape than ``x``.

    Notes
    -----
    Source: the residual block of He et al. (2016), whose batch norm stands before the sum.
    """
    arrays.namespace(x=x, gamma=gamma, beta=beta, residual=residual)
    arrays.check_real("x", x)
    axes, channel_axes = layout(x, axis)
    if residual is not None:
        arrays.check_real("residual", residual)
        if tuple(residual.shape) != tuple(x.shape):
            raise ValueError(
                f"residual has shape {residual.shape}, but x {x.shape}: add alike ones"
            )
    done = None
    if _rectifies(kernels.choose(x, axes, channel_axes)[0]):
        per_channel = tuple(x.shape[a] for a in channel_axes)
        gamma = parameter("gamma", gamma, x, per_channel)
        beta = parameter("beta", beta, x, per_channel)
        then = {"residual": None if residual is None else arrays.cast(residual, x.dtype)}
        done = fused_forward(
            x, gamma, beta, checked_eps(eps, x), axes, channel_axes, relu=True, **then
        )
    if done is None:
        y, norm = batch_norm_forward(x, gamma, beta, eps, axis)
        if residual is not None:
            y = y + arrays.cast(residual, x.dtype)
        y, _ = relu_forward(y)
    else:
        y, norm = done
        check_enough(x, norm.moments.count)
    return y, BatchNormReluCache(norm, y, residual is not None)


def batch_norm_relu_backward(dy, cache):
    r"""Gradients of :func:`batch_norm_relu_forward`: those of batch norm at
    :math:`\mathrm{dr} = \mathrm{dy}` where :math:`y > 0`, else 0.

    Parameters
    ----------
    dy : array
        Upstream gradient, in the shape of ``x``; real floating point. It is not changed.
    cache : BatchNormReluCache

    Returns
    -------
    dx, dgamma, dbeta
        As :func:`batch_norm_backward`.
    dresidual : array or None
        In the shape of ``x``; ``None`` if there was no residual.

    Raises
    ------
    TypeError, ValueError
        As :func:`batch_norm_backward`.
    """
    arrays.check_cache(cache, BatchNormReluCache, "batch_norm_relu_forward")
    norm, y, added = cache
    arrays.check_upstream(dy, y.shape, y)
    kernel, found = kernels.choose(norm.x, norm.axes, norm.parameter_axes)
    if hasattr(kernel, "gradients") and norm.rest is not None:
        statistics = (a.reshape(-1) for a in (norm.moments.mean, norm.rest, norm.inv_std))
        how = {"y": y if added else None, "relu": True}
        given = norm.x, *statistics, norm.gamma, norm.beta, found.shape
        return kernel.gradients(dy, *given, **how)[:4]
    if _rectifies(kernel) and not added:
        done = fused_backward(dy, norm, beta=norm.beta, relu=True)
        if done is not None:
            return *done, None
    passed = keep(dy, y > 0)
    return *batch_norm_backward(passed, norm), passed if added else None


def _rectifies(kernel):
    """Whether a kernel can do the ReLU as well: all on a GPU can."""
    return hasattr(kernel, "gradients") or hasattr(kernel, "RELU")

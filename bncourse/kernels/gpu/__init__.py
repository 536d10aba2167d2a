"""Batch norm in CUDA, on arrays of CuPy.

The general form makes half a dozen passes over float64 copies of the batch. These kernels read it
twice and write the result: 3 passes forward, 5 backward, 2 and 3 where a channel stays in the
cache between the two readings. ``forward.cu`` and ``backward.cu`` count them kernel by kernel.

Nothing here waits for the device: counts are known from shapes, no number is fetched, and all is
launched on CuPy's current stream. Sums have the same order on every device and at every call.

Sums and arithmetic are in float32 unless the batch is float64, or :func:`carried_in` says so. A
channel's values are shifted by one of them before anything is summed, and its mean is kept in
float64, so that a large mean costs no digits. What float32 cannot do is square deviations beyond
1e19. Float64 can, as fast where the device is made for it (data centers, mostly), and up to
several times slower elsewhere. Numbers below 1e-38 count as 0, as in all that CuPy compiles.
"""

import array_api_compat as compat

from bncourse.kernels.gpu.launch import Launch, carried_in
from bncourse.kernels.gpu.module import KINDS
from bncourse.kernels.gpu.passes import (
    Gradients,
    affine,
    forward,
    gradient_sums,
    gradients,
    inference,
)
from bncourse.kernels.gpu.plan import layout

__all__ = [
    "Gradients",
    "Launch",
    "affine",
    "backward",
    "carried_in",
    "forward",
    "gradient_sums",
    "gradients",
    "inference",
    "supports",
]


def supports(x, shape):
    """Whether ``x`` is a batch on a GPU, real, not empty, without gaps, its channels together."""
    return (
        compat.is_cupy_array(x)
        and x.dtype.char in KINDS
        and x.size > 0
        and layout(x.shape, x.strides, x.itemsize, shape) is not None
    )


def backward(dy, x, mean, rest, inv_std, gamma, shape):
    """``dx`` and the sums of ``dy`` and of ``dy * x_hat``: in the dtype of ``gamma``, if any."""
    found = gradients(dy, x, mean, rest, inv_std, gamma, gamma, shape)
    if gamma is None:
        return found.dx, found.sum_dy, found.sum_dy_x_hat
    return found.dx, found.dbeta, found.dgamma

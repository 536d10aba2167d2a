"""Pure functions, one idea a file: ``y, cache = f_forward(x)``, ``dx = f_backward(dy, cache)``.

They keep no state and change none of their arguments. An upstream gradient is called ``dy``:
it holds, in the shape of ``y``, the derivative of a scalar loss with respect to ``y``.
"""

from bncourse.functional.activations import (
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from bncourse.functional.batch_norm import (
    BatchNormCache,
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_inference,
)
from bncourse.functional.dense import dense_backward, dense_forward
from bncourse.functional.losses import (
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)

__all__ = [
    "BatchNormCache",
    "batch_norm_backward",
    "batch_norm_forward",
    "batch_norm_inference",
    "dense_backward",
    "dense_forward",
    "relu_backward",
    "relu_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_forward",
    "tanh_backward",
    "tanh_forward",
]

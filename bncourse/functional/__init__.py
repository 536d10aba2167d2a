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
from bncourse.functional.batch_norm import batch_norm_backward, batch_norm_forward
from bncourse.functional.batch_norm_inference import (
    InferenceCache,
    batch_norm_inference,
    batch_norm_inference_backward,
    batch_norm_inference_forward,
)
from bncourse.functional.batch_norm_relu import (
    BatchNormReluCache,
    batch_norm_relu_backward,
    batch_norm_relu_forward,
)
from bncourse.functional.conv import (
    ConvCache,
    conv_backward,
    conv_forward,
)
from bncourse.functional.conv_transpose import (
    ConvTransposeCache,
    conv_transpose_backward,
    conv_transpose_forward,
)
from bncourse.functional.dense import DenseCache, dense_backward, dense_forward
from bncourse.functional.double_backward import batch_norm_double_backward
from bncourse.functional.dropout import (
    DropoutCache,
    dropout_backward,
    dropout_forward,
)
from bncourse.functional.flatten import (
    flatten_backward,
    flatten_forward,
)
from bncourse.functional.fold import fold_conv, fold_conv_transpose, fold_dense
from bncourse.functional.ghost import (
    GhostCache,
    ghost_batch_norm_backward,
    ghost_batch_norm_forward,
)
from bncourse.functional.losses import (
    CrossEntropyCache,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from bncourse.functional.normalization import NormCache
from bncourse.functional.norms import (
    GroupNormCache,
    group_norm_backward,
    group_norm_forward,
    instance_norm_backward,
    instance_norm_forward,
    layer_norm_backward,
    layer_norm_forward,
    rms_norm_backward,
    rms_norm_forward,
)
from bncourse.functional.pool import (
    AvgPoolCache,
    MaxPoolCache,
    avg_pool_backward,
    avg_pool_forward,
    global_avg_pool_backward,
    global_avg_pool_forward,
    max_pool_backward,
    max_pool_forward,
)

__all__ = [
    "AvgPoolCache",
    "BatchNormReluCache",
    "ConvCache",
    "ConvTransposeCache",
    "CrossEntropyCache",
    "DenseCache",
    "DropoutCache",
    "GhostCache",
    "GroupNormCache",
    "InferenceCache",
    "MaxPoolCache",
    "NormCache",
    "avg_pool_backward",
    "avg_pool_forward",
    "batch_norm_backward",
    "batch_norm_double_backward",
    "batch_norm_forward",
    "batch_norm_inference",
    "batch_norm_inference_backward",
    "batch_norm_inference_forward",
    "batch_norm_relu_backward",
    "batch_norm_relu_forward",
    "conv_backward",
    "conv_forward",
    "conv_transpose_backward",
    "conv_transpose_forward",
    "dense_backward",
    "dense_forward",
    "dropout_backward",
    "dropout_forward",
    "flatten_backward",
    "flatten_forward",
    "fold_conv",
    "fold_conv_transpose",
    "fold_dense",
    "ghost_batch_norm_backward",
    "ghost_batch_norm_forward",
    "global_avg_pool_backward",
    "global_avg_pool_forward",
    "group_norm_backward",
    "group_norm_forward",
    "instance_norm_backward",
    "instance_norm_forward",
    "layer_norm_backward",
    "layer_norm_forward",
    "max_pool_backward",
    "max_pool_forward",
    "relu_backward",
    "relu_forward",
    "rms_norm_backward",
    "rms_norm_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_forward",
    "tanh_backward",
    "tanh_forward",
]

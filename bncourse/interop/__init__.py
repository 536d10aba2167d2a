"""Exchange with other libraries: their names, layouts, defaults and rules, from and to ours.

Arrays go in and come out as NumPy arrays; none of those libraries is imported or needed, except
``onnx`` by :func:`to_onnx`. What differs, and is mapped:

======================  ==================  =====================  ================  ==========
what                    here                PyTorch                Keras, Flax       ONNX
======================  ==================  =====================  ================  ==========
weight of a new batch   ``momentum``, 0.1   the same               1 - 0.99          1 - 0.9
``eps``                 1e-5                1e-5                   1e-3, 1e-5        1e-5
variance that is kept   unbiased            unbiased               biased            biased
channel axis            1                   1                      -1                1
dense weights           (in, out)           (out, in)              (in, out)         (in, out)
weights of images       (out, in, h, w)     the same               (h, w, in, out)   as PyTorch
======================  ==================  =====================  ================  ==========

A running variance is handed over as it is, so that both networks give the same outputs in
evaluation, although the one library means the unbiased and the other the biased. ``count``, the
number of values that a channel had in each batch, converts it to what the receiver means:
unbiased is biased times ``count / (count - 1)``.
"""

from bncourse.interop.batch_norm import batch_norm_from, batch_norm_to
from bncourse.interop.flax_variables import from_flax, to_flax
from bncourse.interop.keras_weights import from_keras, to_keras
from bncourse.interop.onnx_file import to_onnx
from bncourse.interop.torch_state import from_torch, to_torch

__all__ = [
    "batch_norm_from",
    "batch_norm_to",
    "from_flax",
    "from_keras",
    "from_torch",
    "to_flax",
    "to_keras",
    "to_onnx",
    "to_torch",
]

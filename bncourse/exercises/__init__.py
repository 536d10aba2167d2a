"""Exercises of the course, each with a ``check`` that names the mistake.

>>> from bncourse.exercises import backward
>>> backward.check(my_function)      # what is right, what is not, and which mistake it is
>>> backward.hint()                  # one step further each time
>>> backward.solution()              # a solution to read

``EXERCISES`` holds all of them in the order of the course. One file a chapter; what an exercise
knows of wrong answers are functions that give them. What was solved is kept in a file of the
reader's own, see :mod:`bncourse.exercises.progress`.
"""

from bncourse.exercises.exercise import Exercise
from bncourse.exercises.mistake import Mistake
from bncourse.exercises.quantity import Quantity
from bncourse.exercises.report import Report
from bncourse.exercises.transform_backward import (
    backward,
    backward_by_hand,
    backward_inference,
    centering,
    pair,
)
from bncourse.exercises.transform_convolution import (
    effective_values,
    fold_before,
    kernel_gradient,
    parameter_gradients,
    values_per_map,
)
from bncourse.exercises.transform_forward import (
    forward,
    forward_by_hand,
    forward_images,
    identity,
    room,
)
from bncourse.exercises.transform_geometry import (
    double_backward,
    jacobian,
    kept_by_hand,
    leaking_spread,
    longer_by_hand,
)
from bncourse.exercises.transform_gradient_check import (
    best_step,
    centered_by_hand,
    gradient_checker,
    numerical_gradient,
    read_paths,
)
from bncourse.exercises.transform_inference import (
    averaged_batches,
    fold,
    population,
    start_left,
    without_start,
)
from bncourse.exercises.transform_layer import (
    bias_left,
    keras_momentum,
    layer,
    running_statistics,
    trainable_layer,
)
from bncourse.exercises.transform_numerics import (
    averaged_variance,
    far_variance,
    merged,
    no_digit_left,
    one_pass_by_hand,
    welford,
)
from bncourse.exercises.why_covariate_shift import (
    distribution_shift,
    noise_floor,
    probe_inputs,
    shift_by_hand,
    stretched,
)
from bncourse.exercises.why_depth import (
    fifty_layers,
    layer_sizes,
    leaky_weights,
    norm_threshold,
    thirty_layers,
)
from bncourse.exercises.why_inputs import (
    best_rate,
    conditioning,
    excess_loss,
    rate_for_bytes,
    standardized,
)
from bncourse.exercises.why_two_nets import (
    initial_weights,
    logit_gradient,
    neutral_spread,
    probabilities,
    untrained_loss,
)
from bncourse.exercises.why_whitening import (
    flat_directions,
    inverse_root,
    marching_bias,
    partly_whitened,
    zca,
)

EXERCISES = (
    # why/two-nets
    untrained_loss,
    neutral_spread,
    initial_weights,
    logit_gradient,
    probabilities,
    # why/inputs
    best_rate,
    rate_for_bytes,
    excess_loss,
    conditioning,
    standardized,
    # why/depth
    thirty_layers,
    layer_sizes,
    leaky_weights,
    fifty_layers,
    norm_threshold,
    # why/covariate-shift
    shift_by_hand,
    distribution_shift,
    noise_floor,
    stretched,
    probe_inputs,
    # why/whitening
    marching_bias,
    flat_directions,
    zca,
    partly_whitened,
    inverse_root,
    # transform/forward
    forward_by_hand,
    forward,
    identity,
    room,
    forward_images,
    # transform/backward
    backward_by_hand,
    centering,
    backward,
    pair,
    backward_inference,
    # transform/gradient-check
    centered_by_hand,
    best_step,
    numerical_gradient,
    gradient_checker,
    read_paths,
    # transform/geometry
    kept_by_hand,
    jacobian,
    leaking_spread,
    longer_by_hand,
    double_backward,
    # transform/layer
    keras_momentum,
    bias_left,
    running_statistics,
    layer,
    trainable_layer,
    # transform/inference
    start_left,
    averaged_batches,
    without_start,
    population,
    fold,
    # transform/convolution
    values_per_map,
    effective_values,
    parameter_gradients,
    kernel_gradient,
    fold_before,
    # transform/numerics
    one_pass_by_hand,
    no_digit_left,
    averaged_variance,
    welford,
    merged,
    far_variance,
)

__all__ = [
    "EXERCISES",
    "Exercise",
    "Mistake",
    "Quantity",
    "Report",
    "averaged_batches",
    "averaged_variance",
    "backward",
    "backward_by_hand",
    "backward_inference",
    "best_rate",
    "best_step",
    "bias_left",
    "centered_by_hand",
    "centering",
    "conditioning",
    "distribution_shift",
    "double_backward",
    "effective_values",
    "excess_loss",
    "far_variance",
    "fifty_layers",
    "flat_directions",
    "fold",
    "fold_before",
    "forward",
    "forward_by_hand",
    "forward_images",
    "gradient_checker",
    "identity",
    "initial_weights",
    "inverse_root",
    "jacobian",
    "kept_by_hand",
    "keras_momentum",
    "kernel_gradient",
    "layer",
    "layer_sizes",
    "leaking_spread",
    "leaky_weights",
    "logit_gradient",
    "longer_by_hand",
    "marching_bias",
    "merged",
    "neutral_spread",
    "no_digit_left",
    "noise_floor",
    "norm_threshold",
    "numerical_gradient",
    "one_pass_by_hand",
    "pair",
    "parameter_gradients",
    "partly_whitened",
    "population",
    "probabilities",
    "probe_inputs",
    "rate_for_bytes",
    "read_paths",
    "room",
    "running_statistics",
    "shift_by_hand",
    "standardized",
    "start_left",
    "stretched",
    "thirty_layers",
    "trainable_layer",
    "untrained_loss",
    "values_per_map",
    "welford",
    "without_start",
    "zca",
]

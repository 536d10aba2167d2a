"""The experiments of the course, by name."""

from bncourse.experiments import (
    convolution,
    covariate_shift,
    depth,
    depth_training,
    inference,
    inputs,
    inputs_cost,
    inputs_nets,
    layer,
    two_nets,
    whitening,
    whitening_cost,
)

EXPERIMENTS = {
    e.name: e
    for e in (
        two_nets.EXPERIMENT,
        inputs.EXPERIMENT,
        inputs_nets.EXPERIMENT,
        inputs_cost.EXPERIMENT,
        depth.EXPERIMENT,
        depth_training.EXPERIMENT,
        covariate_shift.EXPERIMENT,
        whitening.EXPERIMENT,
        whitening_cost.EXPERIMENT,
        inference.EXPERIMENT,
        convolution.EXPERIMENT,
        layer.EXPERIMENT,
    )
}
"""Every :class:`~bncourse.experiments.Experiment` that has a command and may be recorded."""


def find(name):
    """The experiment ``name``; a ``ValueError`` that lists all if there is none of that name."""
    if name not in EXPERIMENTS:
        raise ValueError(f"name must be one of {', '.join(EXPERIMENTS)}, not {name!r}")
    return EXPERIMENTS[name]

"""Optimizers, which change the parameters of a network in place, and schedules of their rate."""

from bncourse.optim.methods import NORM_AND_BIAS, SGD, Adam
from bncourse.optim.optimizer import Optimizer

__all__ = ["NORM_AND_BIAS", "SGD", "Adam", "Optimizer"]

"""Layers: parameters and running statistics around the functions of :mod:`bncourse.functional`.

``y, cache = layer.forward(x)``, then ``dx = layer.backward(dy, cache)``. A layer keeps nothing
between the two but what it learns: the cache is yours, so a layer may be applied twice before
going back. Gradients of parameters are added up in ``layer.grads`` until ``zero_grad()``.
"""

from bncourse.nn.batch_norm import BatchNorm
from bncourse.nn.conv import Conv2d, ConvTranspose2d
from bncourse.nn.dropout import Dropout
from bncourse.nn.files import load_into, save_file
from bncourse.nn.fold import fold
from bncourse.nn.layers import Dense, ReLU, Sequential, Sigmoid, Tanh
from bncourse.nn.module import Module
from bncourse.nn.norms import GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from bncourse.nn.pool import AvgPool2d, Flatten, GlobalAvgPool2d, MaxPool2d
from bncourse.nn.precise import precise
from bncourse.nn.residual import Identity, Residual
from bncourse.nn.running import RunningStatistics

__all__ = [
    "AvgPool2d",
    "BatchNorm",
    "Conv2d",
    "ConvTranspose2d",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "GroupNorm",
    "Identity",
    "InstanceNorm",
    "LayerNorm",
    "MaxPool2d",
    "Module",
    "RMSNorm",
    "ReLU",
    "Residual",
    "RunningStatistics",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "fold",
    "load_into",
    "precise",
    "save_file",
]

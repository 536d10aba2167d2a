"""What stages of compiled loops share; see :mod:`bncourse.training.stages`."""

from functools import cache

import numpy as np

from bncourse import arrays


class Stage:
    """What stages of compiled loops share: input, output and their gradients, of one shape.

    Parameters
    ----------
    layer : bncourse.nn.Module
    x : array
        An input like those that are to come.
    y : array
        Where to put the output.
    """

    def __init__(self, layer, x, y):
        self.layer, self.x, self.y = layer, x, y
        self.dx = np.empty_like(x)
        self.dy = y  # until one has come

    def is_another(self, x):
        """Whether ``x``, which is not the last one, is unlike it as well."""
        return not alike(x, self.dx)

    def upstream(self, dy):
        """``dy`` as the loops take it; an error if it is not of the shape of ``y``."""
        if not alike(dy, self.y):
            arrays.check_upstream(dy, self.y.shape, self.y)
            dy = np.ascontiguousarray(dy, self.y.dtype)
        self.dy = dy
        return dy

    def leave(self, gradients):
        """Add ``gradients``, a dict, to those of the layer: mostly there are none."""
        if self.layer.grads:
            self.layer.add_gradients(**gradients)
        else:
            self.layer.grads = gradients.copy()


def beside(a, x):
    """Whether ``a`` is an array that loops take together with ``x``: of its dtype, contiguous."""
    return type(a) is np.ndarray and a.dtype == x.dtype and a.flags.c_contiguous


def alike(a, x):
    """Whether ``a`` is also of the shape of ``x``."""
    return beside(a, x) and a.shape == x.shape


@cache
def loops():
    """The loops of a training step."""
    from bncourse.kernels import loops_step  # which imports Numba

    return loops_step


@cache
def table():
    """The loops of batch norm of a table."""
    from bncourse.kernels import loops_table

    return loops_table

r"""Numerical gradients: what an analytic gradient is held against.

:func:`gradcheck` does it with care and says what it finds, :func:`gradcheck_module` does it for
all parameters of a network. :func:`central_difference` and :func:`complex_step` are the plain
tools, to look at the numbers yourself.

All differentiate the scalar :math:`\langle \mathrm{dy}, f(x)\rangle`, for an upstream gradient
``dy`` of your choice. Take a random one: with all ones, the gradient of a batch norm is zero, and
a wrong answer looks right.
"""

from bncourse.gradcheck.check import gradcheck
from bncourse.gradcheck.deviation import relative_error
from bncourse.gradcheck.differences import central_difference, complex_step
from bncourse.gradcheck.modules import ModuleReport, gradcheck_module
from bncourse.gradcheck.report import GradientReport

__all__ = [
    "GradientReport",
    "ModuleReport",
    "central_difference",
    "complex_step",
    "gradcheck",
    "gradcheck_module",
    "relative_error",
]

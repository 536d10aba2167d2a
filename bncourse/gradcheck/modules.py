"""The check for a whole network: its input and every parameter."""

import copy
import textwrap
from dataclasses import dataclass, replace

import numpy as np

from bncourse import checks
from bncourse.gradcheck.check import gradcheck, random_upstream, stream
from bncourse.gradcheck.function import finite_array
from bncourse.gradcheck.report import GradientReport, below


@dataclass(frozen=True)
class ModuleReport:
    """The answers of :func:`gradcheck_module`; printed, a table with one line an array.

    Attributes
    ----------
    reports : dict
        A :class:`GradientReport` for ``"x"`` and for each parameter, by its dotted name.
    shapes : dict
        The shapes of these arrays.
    """

    reports: dict
    shapes: dict

    @property
    def passed(self):
        """Whether all gradients are right."""
        return all(report.passed for report in self.reports.values())

    def __getitem__(self, name):
        return self.reports[name]

    def __repr__(self):
        rows = [("", "shape", "relative error", "verdict")]
        for name, report in self.reports.items():
            error = "" if np.isnan(report.relative_error) else below(report.relative_error)
            rows.append((name, str(self.shapes[name]), error, report.verdict))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        said = [
            f"{name}: {report.reason}"
            for name, report in self.reports.items()
            if report.zero or not report.passed
        ]
        weak = (w for report in self.reports.values() if not report.zero for w in report.warnings)
        said += [f"beware: {warning}" for warning in dict.fromkeys(weak)]
        return "\n".join([*lines, *(textwrap.fill(s, 80, subsequent_indent="  ") for s in said)])


def gradcheck_module(
    module, x, *, dy=None, training=True, dtype="float64", seed=0, entries=None, tol=None
):
    """Check the gradients of a layer or network: of its input and of each of its parameters.

    All is done on a copy, from one and the same state. Parameters, gradients, running
    statistics, mode and random numbers of ``module`` stay as they are, and dropout draws the
    same mask each time.

    Parameters
    ----------
    module : bncourse.nn.Module
        On NumPy.
    x : numpy.ndarray
        Input.
    dy : numpy.ndarray, optional
        Upstream gradient, the same for all; by default a random one.
    training : bool
        Which mode to check: in evaluation a batch norm has other gradients than in training.
    dtype : {"float64", "float32"} or None
        What the copies of input, parameters and running statistics are cast to; ``None`` leaves
        them as they are. Mistakes are the same in float64, and seen far more sharply.
    seed, entries, tol
        As for :func:`gradcheck`; ``entries`` is the number for each array.

    Returns
    -------
    ModuleReport
        A parameter for which no gradient comes back is taken to have one of zeros.

    Raises
    ------
    TypeError, ValueError
        As :func:`gradcheck` does; also if ``module`` is no module, or lives elsewhere.
    """
    if not all(hasattr(module, name) for name in ("forward", "backward", "load_state_dict")):
        raise TypeError(f"module must be a bncourse.nn.Module, not {type(module).__name__}")
    x = finite_array("x", x)
    for name, value in module.parameters().items():
        finite_array(name, value)
    net = copy.deepcopy(module).train(training)
    net.forward(x)  # a layer may make its parameters only now
    if dtype is not None:
        x = x.astype(checks.floating("dtype", dtype))
        _cast(net, x.dtype)
    state = net.state_dict()

    def forward(name, value):
        given = {} if name == "x" else {name: value}
        net.load_state_dict(state | given)  # rewinds statistics and random numbers, too
        return net.forward(value if name == "x" else x)

    net.zero_grad()
    y, cache = forward("x", x)
    if dy is None:
        dy = random_upstream(y, stream(seed))
    gradients = {"x": net.backward(dy, cache)} | net.gradients()
    arrays = {"x": x} | {name: state[name] for name in net.parameters()}
    reports = {
        name: _checked(
            lambda value, name=name: forward(name, value)[0],
            value,
            gradients.get(name),
            dy,
            {"seed": seed, "entries": entries, "tol": tol},
        )
        for name, value in arrays.items()
    }
    return ModuleReport(reports, {name: value.shape for name, value in arrays.items()})


def _cast(net, dtype):
    for _, module in net.modules():
        for name in (*module.parameter_names, *module.buffer_names):
            value = getattr(module, name)
            if value is not None and value.dtype.kind == "f":
                setattr(module, name, value.astype(dtype))


def _checked(f, value, gradient, dy, options):
    if gradient is None:
        report = gradcheck(f, value, np.zeros_like(value), dy, **options)
        reason = "No gradient came back, and it is not zero."
        return report if report.passed else replace(report, reason=reason)
    if np.shape(gradient) != value.shape:
        reason = f"The gradient has shape {np.shape(gradient)}, but the array {value.shape}."
        return GradientReport("wrong", reason)
    return gradcheck(f, value, gradient, dy, **options)

"""The functions of :mod:`bncourse.functional` made fast: same mathematics, other memory traffic.

A kernel says with ``supports`` what it takes; whatever none takes goes the general way, and each
is tested against that. A module of kernels has

- ``supports(x, shape)``, where ``shape`` is (N, C, L) or (R, C), see :class:`.Layout`;
- ``forward(x, gamma, beta, eps, shape)``, which gives ``y, mean, rest, m2, inv_std``, or ``None``
  where it finds that it cannot; perhaps with ``residual=`` and ``relu=True``;
- ``backward(dy, x, mean, rest, inv_std, gamma, shape)``, which gives ``dx, sum_dy,
  sum_dy_x_hat``, or ``None``;
- ``affine(x, mean, scale, shift, shape)`` and ``gradient_sums(dy, x, mean, inv_std, shape)``,
  which may give ``None`` too: of them batch norm by given statistics is made;
- perhaps ``inference(x, gamma, beta, mean, var, eps, shape)``, all of its forward pass.

Statistics, sums and parameters are of shape (C,), in the precision of :func:`arrays.accumulator`.
"""

import os
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from bncourse import checks
from bncourse.kernels import blocks, compiled, gpu, lanes, layout
from bncourse.kernels import threads as _threads

MODULES = {"numba": (compiled,), "numpy": (lanes, blocks), "cuda": (gpu,)}  # the faster first

_fused = ContextVar("fused", default=None)


def choose(x, axes, channels):
    """The fastest kernels that take ``x``, reduced over ``axes``, and its :class:`.Layout`.

    ``channels`` are the axes along which there are parameters: all others, for a batch norm.

    ``None, None`` if there are none, or none are wanted; see :func:`using`.
    """
    fused = _fused.get() or _from_environment()
    if fused == "never":
        return None, None
    found = layout.of(x.shape, axes, channels)
    for name, modules in MODULES.items() if found else ():
        if fused in ("auto", "always", name):
            for kernels in modules:
                if kernels.supports(x, found.shape):
                    return kernels, found
    if fused != "always":
        return None, None
    raise ValueError(
        f"fused='always', but no kernel takes x of shape {tuple(x.shape)} and dtype {x.dtype}, "
        f"reduced over axes {axes}: it must be contiguous and not tiny, and its channels on one "
        "axis"
    )


def wanted(name):
    """Whether kernels of this name may be chosen now, if they can; see :func:`using`."""
    return (_fused.get() or _from_environment()) in ("auto", "always", name)


@contextmanager
def using(fused="auto", threads=None):
    """Choose kernels, and their threads, for what is called inside ``with``.

    A thread that is started there does not know of it, and chooses for itself.

    Parameters
    ----------
    fused : {"auto", "never", "always", "numba", "numpy", "cuda"}
        The fastest kernels that take the array; none, but the general form; an error where none
        take it; or only the kernels of that name, and the general form for what they do not
        take. The environment variable ``BNCOURSE_FUSED`` does the same for a whole program.
    threads : int, optional
        How many threads a kernel may use; if it is not given, as many as the BLAS may.

    Raises
    ------
    ValueError
        If ``fused`` is none of these, or ``"numba"`` where Numba cannot be used.
    """
    fused = _checked("fused", fused)
    if threads is not None:
        threads = checks.integer("threads", threads, 1)
    before = _fused.set(fused), _threads.chosen.set(threads)
    try:
        yield
    finally:
        _fused.reset(before[0])
        _threads.chosen.reset(before[1])


def _checked(name, fused):
    choices = ("auto", "never", "always", *MODULES)
    if fused not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {fused!r}")
    if fused == "numba" and not compiled.available():
        raise ValueError(f"{name} is 'numba', but Numba cannot be used: see the extra 'fast'")
    return fused


@cache
def _from_environment():
    return _checked("BNCOURSE_FUSED", os.environ.get("BNCOURSE_FUSED", "auto"))

"""The CUDA sources, compiled when they are first used, and the types that they know."""

from functools import cache
from pathlib import Path

from bncourse.kernels.gpu.plan import vectors

SOURCES = ("tile.cu", "moments.cu", "forward.cu", "backward.cu")
OPTIONS = ("-std=c++17",)
TYPES = {"float16": "__half", "float32": "float", "float64": "double"}
# By dtype.char, which is told at once; dtype.name takes two microseconds.
NAMES = {"e": "float16", "f": "float32", "d": "float64"}
KINDS = {"e": 1, "f": 2, "d": 3}  # as in tile.cu
TYPED = ("gather_moments", "normalize", "forward", "gather_sums", "gradient", "backward")
UNTYPED = ("merge_moments", "given_moments", "merge_sums")


@cache
def source():
    """All of the CUDA source, as one text."""
    here = Path(__file__).parent
    return "\n".join((here / name).read_text(encoding="utf-8") for name in SOURCES)


def expression(name, dtype, statistics, vector, across):
    """What C++ calls the kernel ``name`` for these types, e.g. ``forward<float, float, 4, true>``.

    ``dtype`` and ``statistics`` are names of dtypes, the others as in :class:`plan.Plan`.
    """
    if name in UNTYPED:
        return name
    across = "true" if across else "false"
    return f"{name}<{TYPES[dtype]}, {TYPES[statistics]}, {vector}, {across}>"


def instantiations():
    """Every ``(dtype, statistics, vector, across)`` that can be asked for."""
    for dtype, itemsize in (("float16", 2), ("float32", 4), ("float64", 8)):
        for statistics in ("float64",) if dtype == "float64" else ("float32", "float64"):
            along, across = vectors(itemsize)
            for vector in ((1, False), (along, False), (across, True)):
                yield dtype, statistics, *vector


@cache
def kernel(name, device, dtype, statistics, vector, across):
    """The compiled kernel, for a launch on ``device``.

    CuPy keeps what NVRTC has compiled in a folder, so that only the first program on a machine
    waits for it: about a second, the first time that a combination of types is used.
    """
    return _module(device, dtype, statistics, vector, across).get_function(
        expression(name, dtype, statistics, vector, across)
    )


@cache
def _module(device, *types):
    import cupy

    names = [expression(name, *types) for name in (*TYPED, *UNTYPED)]
    return cupy.RawModule(code=source(), options=OPTIONS, name_expressions=names)

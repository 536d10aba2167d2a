"""What each kernel takes of a GPU's registers and shared memory, as NVRTC compiles it.

    python tests/cuda/resources.py --record   # writes resources.json, which tests compare with

No GPU is needed for that. A kernel that needs more registers than it can have spills them into
memory, and is as slow as the memory is.
"""

import json
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

from bncourse.kernels.gpu import module, plan

RESULT = Path(__file__).with_name("resources.json")
ARCHITECTURES = ("75", "80", "90")  # Turing, Ampere, Hopper
# As CuPy compiles: it adds the first, and the folder of cuda_fp16.h.
OPTIONS = ("-ftz=true", *module.OPTIONS, "--ptxas-options=-v")


def compiled(architecture, expressions=None):
    """Kernels of all types for one architecture, and what is said about each.

    Returns
    -------
    dict
        From the name in C++ to ``registers`` (a thread), ``spilled`` (bytes that a thread keeps
        in memory for want of them) and ``shared`` (bytes a block, at most).
    """
    from cupy_backends.cuda.libs import nvrtc

    found = types() if expressions is None else expressions
    program = nvrtc.createProgram(module.source(), "kernels.cu", (), ())
    try:
        for expression in found:
            nvrtc.addNameExpression(program, expression)
        options = (*OPTIONS, f"-arch=sm_{architecture}", *_includes())
        try:
            nvrtc.compileProgram(program, options)
        except nvrtc.NVRTCError:
            raise AssertionError(nvrtc.getProgramLog(program)[:3000]) from None
        names = {nvrtc.getLoweredName(program, e): e for e in found}
        log = nvrtc.getProgramLog(program)
    finally:
        nvrtc.destroyProgram(program)
    resources = {}
    for part in log.split("Compiling entry function '")[1:]:
        expression = names[part.split("'")[0]]
        own = part.split("Function properties for ")[1]
        resources[expression] = {
            "registers": int(re.search(r"Used (\d+) registers", own)[1]),
            "spilled": sum(map(int, re.findall(r"(\d+) bytes (?:stack|spill)", own))),
            "shared": found[expression] + sum(map(int, re.findall(r"(\d+) bytes smem", own))),
        }
    return dict(sorted(resources.items()))


def types():
    """Every kernel that can be asked for, and the most shared memory it is launched with."""
    found = dict.fromkeys(module.UNTYPED, 0)
    quantities = {"gather_moments": 3, "forward": 3, "gather_sums": 2, "backward": 2}
    for dtype, statistics, vector, across in module.instantiations():
        itemsize = {"float16": 2, "float32": 4, "float64": 8}[dtype]
        many = plan.Layout(1000, 1024 + (vector == 1), 1) if across or vector == 1 else None
        widest = plan.plan(many or plan.Layout(1000, 8, 64), itemsize, True)
        assert (widest.vector, widest.across) == (vector, across)
        for name in module.TYPED:
            expression = module.expression(name, dtype, statistics, vector, across)
            wide = 8 if statistics == "float64" else 4
            found[expression] = widest.shared(quantities.get(name, 0), wide)
    return found


def everything():
    """What :func:`compiled` finds, for each architecture."""
    # Processes, for threads would wait for one another.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return dict(zip(ARCHITECTURES, pool.map(compiled, ARCHITECTURES), strict=True))


def version():
    """Which NVRTC this is, e.g. ``"12.9"``."""
    from cupy_backends.cuda.libs import nvrtc

    return ".".join(map(str, nvrtc.getVersion()))


def _includes():
    spec = find_spec("nvidia.cuda_runtime") or find_spec("nvidia.cu13")
    folders = [Path(p) / "include" for p in spec.submodule_search_locations] if spec else []
    return tuple(f"-I{folder}" for folder in [*folders, Path("/usr/local/cuda/include")])


if __name__ == "__main__":
    result = {"nvrtc": version(), "kernels": everything()}
    spilled = [
        k for kernels in result["kernels"].values() for k in kernels if kernels[k]["spilled"]
    ]
    print(f"{sum(map(len, result['kernels'].values()))} kernels, {len(spilled)} spill: {spilled}")
    if "--record" in sys.argv:
        lines = [
            f"  {json.dumps(a)}: {{\n"
            + ",\n".join(f"   {json.dumps(k)}: {json.dumps(v)}" for k, v in kernels.items())
            + "\n  }"
            for a, kernels in result["kernels"].items()
        ]
        text = (
            f'{{\n "nvrtc": "{result["nvrtc"]}",\n "kernels": {{\n'
            + ",\n".join(lines)
            + "\n }\n}\n"
        )
        RESULT.write_text(text)

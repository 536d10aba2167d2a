"""How fast batch norm is in training on a GPU: ours beside PyTorch, and beside a copy.

Times are medians between CUDA events, the contenders in turn in one process, on buffers that
together do not fit into the cache. `share` is the speed at which the bytes were moved that the
kernels have to move, as a part of that of a copy on the same GPU: see bncourse/kernels/gpu. Of
small shapes one sees the time of the calls, not that of the kernels.

    python benchmarks/gpu.py            # prints a table
    python benchmarks/gpu.py --record   # and writes benchmarks/results/gpu-NAME.json

Where CuPy finds no GPU it says so and measures nothing. Goals, none of which has been measured
yet: a share of 0.85 on every tensor of more than 100 MB, and faster than PyTorch on every shape.
"""

import argparse
import json
import re
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bncourse.arrays import why_no_cupy
from bncourse.bench import gpu

RESULTS = Path(__file__).parent / "results"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float16"])
    options = parser.parse_args(arguments)
    reason = why_no_cupy()
    if reason:
        print(f"no GPU, so nothing was measured: CuPy: {reason}")
        return
    speed, rows = gpu.copy_speed(), []
    print(f"{gpu.device_name()}; a copy moves {speed / 1e9:.0f} GB/s")
    for dtype in options.dtypes:
        for shape, axis in gpu.SHAPES.items():
            found = gpu.race(shape, axis, dtype, options.rounds)
            print("\n".join(gpu.lines(shape, axis, found, speed)), flush=True)
            rows.append(row(shape, axis, dtype, found, speed))
    if options.record:
        record(rows, speed)


def row(shape, axis, dtype, found, speed):
    """One shape as it is recorded."""
    times = {}
    for (name, way), t in found.times.items():
        times.setdefault(name, {})[way] = {"seconds": quartiles(t)}
        if name == "bncourse":
            times[name][way]["share"] = quartiles(found.bytes[way] / t / speed)
        if ("PyTorch", way) in found.times:
            times[name][way]["ratio"] = quartiles(found.times["PyTorch", way] / t)
    return {"shape": shape, "axis": axis, "dtype": dtype, "bytes": found.bytes, "times": times}


def quartiles(values):
    return [float(f"{q:.4g}") for q in np.percentile(values, [25, 50, 75])]


def record(rows, speed):
    name = gpu.device_name()
    path = RESULTS / f"gpu-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}.json"
    libraries = [n for n in ("numpy", "cupy-cuda12x", "torch") if find_spec(n.split("-")[0])]
    result = {
        "device": name,
        "date": date.today().isoformat(),
        "versions": {n: version(n) for n in libraries},
        "copy": float(f"{speed:.4g}"),
        "rows": rows,
    }
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()

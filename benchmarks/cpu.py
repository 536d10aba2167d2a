"""How fast batch norm is in training on a CPU: ours beside PyTorch, JAX and the textbook.

All run in one process, in turn, in float32, on one thread and on two; PyTorch by its kernel, and by
autograd. A ratio is PyTorch's kernel's time divided by another's in the same round: above 1 is
faster. A copy of the input on the same number of threads is the measure of the memory.

Fresh memory is part of what is measured, for each library allocates its results. The C library
gives large arrays back to the system and asks for them anew, which costs a fault for each page;
`kept` are the same runs where it is told to keep them.

    python benchmarks/cpu.py                      # prints a table; 15 minutes
    python benchmarks/cpu.py --record             # and writes benchmarks/results/cpu.json
    python benchmarks/cpu.py --rounds 5 --only 3  # a quick look at the third shape
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / "results" / "cpu.json"
SHAPES = [  # and the channel axis
    ((60, 100), 1),
    ((256, 1024), 1),
    ((8192, 1024), 1),
    ((32, 64, 56, 56), 1),
    ((64, 128, 28, 28), 1),
    ((64, 256, 14, 14), 1),
    ((128, 512, 7, 7), 1),
    ((8, 32, 224, 224), 1),
    ((32, 56, 56, 64), -1),
    ((64, 14, 14, 256), -1),
]
OURS = ("NumPy", "Numba")
THEIRS = "PyTorch"  # its kernel, which all ratios are to
KEPT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}


def environment(threads, memory):
    """Variables of a process in which every library has so many threads."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")
    found = {**os.environ, **dict.fromkeys(names, str(threads)), "JAX_PLATFORMS": "cpu"}
    if threads == 1:
        found["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return found | (KEPT if memory == "kept" else {})


def race(shape, axis, threads, rounds):
    """Times of one shape: for each contender and pass the quartiles of seconds and of ratios."""
    from bncourse.bench.contenders import arrays, contenders
    from bncourse.bench.rounds import measure

    a = arrays(shape, axis)
    racing = contenders(a, threads)
    functions = {(name, "both"): c.both for name, c in racing.items()}
    for name in {*OURS, THEIRS} & set(racing):
        contender = racing[name]
        with contender.around():
            given = contender.forward()
        functions[name, "forward"] = contender.forward
        functions[name, "backward"] = lambda c=contender, given=given: c.backward(given)
        functions[name, "with ReLU"] = contender.rectified
    functions["copy", "both"] = copy(a.x, threads)

    def around(name):
        return racing[name[0]].around() if name[0] in racing else nothing()

    times = measure(functions, rounds, around=around)
    found = {}
    for (name, way), t in times.items():
        found.setdefault(name, {})[way] = {
            "seconds": quartiles(t),
            "ratio": quartiles(times[THEIRS, way] / t) if (THEIRS, way) in times else None,
            "copies": quartiles(t / times["copy", "both"]),
        }
    return found


def nothing():
    from contextlib import nullcontext

    return nullcontext()


def copy(x, count):
    """A function that copies ``x`` on so many threads."""
    from bncourse.kernels import threads

    x, y = x.reshape(-1), np.empty(x.size, x.dtype)
    parts = threads.cuts(len(x), count)
    return lambda: threads.share(lambda i, j: np.copyto(y[i:j], x[i:j]), parts)


def quartiles(values):
    return [float(f"{q:.4g}") for q in np.percentile(values, [25, 50, 75])]


def errors(shape, axis):
    """The worst error of ``y`` and, beside the largest gradient, of ``dx``, at a near and a far
    mean, against the same in float64."""
    from bncourse.bench.contenders import arrays, contenders

    found = {}
    for mean in (0.5, 1e4):
        a = arrays(shape, axis, mean)
        y_true, dx_true = truth(a)
        for name, contender in contenders(a, 1).items():
            if name in (*OURS, THEIRS):
                with contender.around():
                    given = contender.forward()
                    y, dx = contender.result(given, contender.backward(given))
                off = float(np.max(np.abs(y - y_true)))
                off_dx = float(np.max(np.abs(dx - dx_true)) / np.max(np.abs(dx_true)))
                found.setdefault(f"{mean:g}", {})[name] = [off, off_dx]
    return found


def truth(a):
    """``y`` and ``dx`` by the formula, in float64."""
    x, dy = a.x.astype(float), a.dy.astype(float)
    gamma, beta = (p.reshape(a.broadcast).astype(float) for p in (a.gamma, a.beta))

    def mean(v):
        return v.mean(axis=a.axes, keepdims=True)

    d = x - mean(x)
    std = np.sqrt(mean(d * d) + 1e-5)
    x_hat = d / std
    dx = gamma / std * (dy - mean(dy) - x_hat * mean(dy * x_hat))
    return gamma * x_hat + beta, dx


def memory(shape, axis):
    """Megabytes that a step adds to the most that the process ever held; Linux only."""
    from bncourse.bench.contenders import arrays, contenders

    found, a = {}, arrays(shape, axis)
    for name, contender in contenders(a, 1).items():
        if name in (*OURS, THEIRS):
            with contender.around():
                contender.both()
                before = held("VmRSS")
                try:
                    Path("/proc/self/clear_refs").write_text("5")  # forget the most so far
                except OSError:
                    return {}
                contender.both()
                found[name] = round((held("VmHWM") - before) / 1e6, 1)
    return found


def held(what):
    (line,) = (
        row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(what)
    )
    return int(line.split()[1]) * 1024


def one_process(options):
    """All shapes on one number of threads, as JSON on standard output."""
    rows = []
    for number, (shape, axis) in enumerate(SHAPES, 1):
        if options.only and number not in options.only:
            continue
        print(f"{shape}, {options.threads} threads, memory {options.memory}", file=sys.stderr)
        row = {"shape": shape, "axis": axis, "threads": options.threads, "memory": options.memory}
        row["times"] = race(shape, axis, options.threads, options.rounds)
        if options.threads == 1:
            row["megabytes"] = memory(shape, axis)
            row["errors"] = errors(shape, axis) if options.memory == "default" else None
        rows.append(row)
    print(json.dumps(rows))


def all_processes(options):
    rows = []
    for threads in (1, 2):
        for kind in ("default", "kept"):
            command = [sys.executable, __file__, "--threads", str(threads), "--memory", kind]
            command += ["--rounds", str(options.rounds)]
            if options.only:
                command += ["--only", *map(str, options.only)]
            done = subprocess.run(
                command, env=environment(threads, kind), stdout=subprocess.PIPE, check=True
            )
            rows += json.loads(done.stdout.splitlines()[-1])
    return rows


def table(rows):
    """Lines of Markdown: ratios to PyTorch's kernel of forward plus backward, and of each; and with
    a ReLU, for which it has two more kernels."""
    names = "shape", "threads, memory", *OURS, "forward, backward", "with ReLU"
    names = *names, "autograd", "JAX", "textbook"
    yield f"| {' | '.join(names)} |"
    yield "| --- " * len(names) + "|"
    for row in rows:
        times = row["times"]

        def ratio(name, way="both", times=times):
            found = times.get(name, {}).get(way)
            if not (found and found["ratio"]):
                return "-"
            low, middle, high = found["ratio"]
            return f"{middle:.2f}" + (f" ({low:.2f}-{high:.2f})" if way == "both" else "")

        cells = [
            f"{tuple(row['shape'])}{' NHWC' if row['axis'] == -1 else ''}",
            f"{row['threads']}, {row['memory']}",
            *(ratio(name) for name in OURS),
            f"{ratio('Numba', 'forward')}, {ratio('Numba', 'backward')}",
            ratio("Numba", "with ReLU"),
            *(ratio(name).split(" ")[0] for name in ("PyTorch autograd", "JAX jit", "textbook")),
        ]
        yield f"| {' | '.join(cells)} |"


def provenance(seconds, load):
    names = ("numpy", "numba", "torch", "jax")
    return {
        "date": date.today().isoformat(),
        "seconds": round(seconds),
        "machine": machine(),
        "load": load,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in names},
    }


def machine():
    """What the CPU calls itself, and how many cores there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help=f"write results/{RESULT.name}")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of shapes, from 1")
    parser.add_argument("--threads", type=int, help="one process only")
    parser.add_argument("--memory", choices=("default", "kept"), default="default")
    options = parser.parse_args()
    if options.threads:
        return one_process(options)
    start, load = time.perf_counter(), [round(v, 2) for v in os.getloadavg()]
    rows = all_processes(options)
    print("\n".join(table(rows)))
    if options.record:
        seconds = time.perf_counter() - start
        result = {"provenance": provenance(seconds, load), "rounds": options.rounds, "rows": rows}
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
        print(f"recorded in {RESULT}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

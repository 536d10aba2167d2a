"""``python -m bncourse bench cpu``: batch norm in training, on this machine."""

import argparse
import os
from pathlib import Path

import numpy as np

from bncourse.bench.contenders import arrays, contenders
from bncourse.bench.rounds import measure
from bncourse.kernels import compiled, threads

HELP = "on the CPU"

TEXT = """\
Time a training step of batch norm, forward and backward in float32: NumPy as
in a textbook; this package with NumPy alone, and with Numba (extra "fast");
and PyTorch and JAX where they are installed. All take turns in one process.
Times are medians; a bar of twice the length is twice as fast.

examples:
  python -m bncourse bench cpu
  python -m bncourse bench cpu --quick          three shapes, half a minute
  python -m bncourse bench cpu --threads 1
  python -m bncourse bench cpu --save mine.png  a bar chart"""

SHAPES = {  # and the channel axis
    (60, 100): 1,
    (256, 1024): 1,
    (8192, 1024): 1,
    (32, 64, 56, 56): 1,
    (64, 256, 14, 14): 1,
    (32, 56, 56, 64): -1,
}
QUICK = [(60, 100), (256, 1024), (64, 256, 14, 14)]
WIDTH = 40  # characters of the longest bar


def add_arguments(parser):
    """Options of this command."""
    parser.add_argument("--quick", action="store_true", help="fewer shapes and rounds")
    parser.add_argument(
        "--threads", type=_count, metavar="N", help="threads of each (default: as the BLAS)"
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="draw the bars into a picture")


def run(options):
    """Measure and print; returns an exit code."""
    count = options.threads or threads.limit()
    print(f"forward and backward, float32, on {count} of {os.cpu_count()} cores")
    if not compiled.available():
        print("Numba is not installed: see the extra 'fast'")
    found = {}
    for shape in QUICK if options.quick else SHAPES:
        found[shape] = _race(shape, count, rounds=7 if options.quick else 15)
        print("\n" + "\n".join(_bars(shape, found[shape])), flush=True)
    if options.save:
        _draw(found, options.save)
        print(f"\nsaved {options.save}")
    return 0


def _race(shape, count, rounds):
    """Seconds of each contender, by name."""
    racing = contenders(arrays(shape, SHAPES[shape]), count)
    times = measure(
        {name: c.both for name, c in racing.items()},
        rounds,
        seconds=10,
        around=lambda name: racing[name].around(),
    )
    return {name: float(np.median(t)) for name, t in times.items()}


def _bars(shape, seconds):
    """Lines of text: a bar for each, as long as it is fast beside the textbook."""
    fastest = min(seconds.values())
    yield f"{'x'.join(map(str, shape))}{'' if SHAPES[shape] == 1 else ', channels last'}"
    for name, s in seconds.items():
        bar = "#" * max(1, round(WIDTH * fastest / s))
        times = seconds["textbook"] / s
        yield f"  {name:17}{1e3 * s:9.3f} ms {times:6.1f} x  {bar}"


def _draw(found, path):
    from matplotlib.figure import Figure

    names = list(next(iter(found.values())))
    figure = Figure(figsize=(8, 1.2 + 0.9 * len(found)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(names)
    for i, name in enumerate(names):
        speeds = [s["textbook"] / s[name] for s in found.values()]
        places = np.arange(len(found)) + (i - (len(names) - 1) / 2) * height
        axes.barh(places, speeds, height, label=name)
    axes.set_yticks(range(len(found)), ["x".join(map(str, shape)) for shape in found])
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as the textbook's NumPy")
    axes.legend()
    figure.savefig(path)


def _count(text):
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1, not {text!r}")
    return number

"""``python -m bncourse bench gpu``: batch norm in training on a GPU, beside PyTorch and a copy."""

import random
from importlib.util import find_spec
from itertools import cycle
from math import prod
from typing import NamedTuple

import numpy as np

from bncourse import functional as F
from bncourse import kernels
from bncourse.arrays import why_no_cupy
from bncourse.kernels.gpu import Launch

HELP = "on a GPU, with CuPy"

TEXT = """\
Time batch norm in training on a GPU, forward and backward: the CUDA kernels of
this package, and PyTorch's where it is installed. A copy on the same GPU says
how fast its memory is; "of the copy" is how much of that speed was reached.

examples:
  python -m bncourse bench gpu
  python -m bncourse bench gpu --quick
  python -m bncourse bench gpu --dtype float16"""

SHAPES = {  # and the channel axis
    (60, 100): 1,
    (256, 1024): 1,
    (8192, 1024): 1,
    (32, 64, 56, 56): 1,
    (64, 128, 28, 28): 1,
    (64, 256, 14, 14): 1,
    (128, 512, 7, 7): 1,
    (8, 32, 224, 224): 1,
    (32, 56, 56, 64): -1,
    (64, 14, 14, 256): -1,
    (256, 64, 112, 112): 1,
    (256, 256, 56, 56): 1,
    (64, 2048, 7, 7): 1,
}
QUICK = [(60, 100), (8192, 1024), (32, 64, 56, 56)]
_ENOUGH = 2.0  # milliseconds: what is shorter is called several times, and the calls are averaged
_CACHE = 256e6  # bytes: buffers take turns, so that none is still in the cache when it is due


def add_arguments(parser):
    """Options of this command."""
    parser.add_argument("--quick", action="store_true", help="fewer shapes and rounds")
    parser.add_argument("--dtype", choices=("float16", "float32", "float64"), default="float32")


def run(options):
    """Measure and print; returns an exit code."""
    reason = why_no_cupy()
    if reason:
        print(f"nothing was measured: CuPy: {reason}")
        return 1
    speed = copy_speed()
    print(f"{device_name()}, {options.dtype}; a copy moves {speed / 1e9:.0f} GB/s\n")
    for shape in QUICK if options.quick else SHAPES:
        found = race(shape, SHAPES[shape], options.dtype, 7 if options.quick else 30)
        print("\n".join(lines(shape, SHAPES[shape], found, speed)), flush=True)
    return 0


def lines(shape, axis, found, speed):
    """What :func:`race` found, for a reader; ``speed`` of a copy in bytes a second."""
    yield f"{'x'.join(map(str, shape))}{'' if axis == 1 else ', channels last'}"
    for (name, way), t in found.times.items():
        share = found.bytes[way] / np.median(t) / speed
        text = f"  {name:10}{way:10}{1e6 * np.median(t):10.1f} us"
        if name == "bncourse":
            text += f"{100 * share:6.0f}% of the copy"
            if ("PyTorch", way) in found.times:
                ratio = np.median(found.times["PyTorch", way] / t)
                text += f"{ratio:8.2f} times as fast as PyTorch"
        yield text


class Found(NamedTuple):
    """Seconds by (name, pass), one a round, and the bytes that a pass has to move."""

    times: dict
    bytes: dict


def race(shape, axis, dtype, rounds):
    """Time the contenders in turn, on arrays of that shape; a :class:`Found`."""
    batches = [Batch(shape, axis, dtype, seed) for seed in range(copies(shape, dtype))]
    functions = ours(batches)
    if find_spec("torch"):
        functions |= theirs(batches)
    return Found(measure(functions, rounds), least_bytes(batches[0]))


def copies(shape, dtype):
    """How many buffers of that shape must take turns."""
    size = prod(shape) * np.dtype(dtype).itemsize
    return int(min(64, max(2, -(-_CACHE // size))))


class Batch:
    """Input, upstream gradient and parameters on the GPU; channels on ``axis``."""

    def __init__(self, shape, axis, dtype, seed):
        rng = np.random.default_rng(seed)
        self.axis = axis
        self.x, self.dy = (on_gpu(rng.standard_normal(shape, "float32"), dtype) for _ in range(2))
        self.gamma, self.beta = (on_gpu(rng.uniform(0.5, 2, shape[axis])) for _ in range(2))


def on_gpu(a, dtype="float32"):
    """A NumPy array, on the GPU."""
    import cupy

    return cupy.asarray(a.astype(dtype))


def least_bytes(batch):
    """Bytes that our kernels have to move, for each pass; see ``forward.cu``, ``backward.cu``."""
    c = batch.axis % batch.x.ndim
    view = prod(batch.x.shape[:c]), batch.x.shape[c], prod(batch.x.shape[c + 1 :])
    alone = Launch(batch.x, view if view[2] > 1 else view[:2]).plan.alone
    return {
        "forward": batch.x.nbytes * (2 if alone else 3),
        "backward": batch.x.nbytes * (3 if alone else 5),
    }


def ours(batches):
    """Our two passes, by name; each call takes the next batch."""

    def forward(batch):
        return F.batch_norm_forward(batch.x, batch.gamma, batch.beta, axis=batch.axis)

    with kernels.using("always"):
        caches = [forward(batch)[1] for batch in batches]
    turns, back = cycle(batches), cycle(zip(batches, caches, strict=True))

    def backward():
        batch, cache = next(back)
        return F.batch_norm_backward(batch.dy, cache)

    return {
        ("bncourse", "forward"): lambda: forward(next(turns)),
        ("bncourse", "backward"): backward,
    }


def theirs(batches):
    """PyTorch's kernels without its autograd, on the same memory."""
    import torch

    if not torch.cuda.is_available():
        return {}
    op = torch.ops.aten
    inputs = []
    for batch in batches:
        x, dy, gamma, beta = map(torch.from_dlpack, (batch.x, batch.dy, batch.gamma, batch.beta))
        if batch.axis == -1 and x.ndim == 4:  # PyTorch calls it channels_last
            x, dy = x.permute(0, 3, 1, 2), dy.permute(0, 3, 1, 2)
        running = torch.zeros_like(gamma), torch.ones_like(gamma)
        inputs.append((x, dy, gamma, beta, *running))

    def forward(x, dy, gamma, beta, mean, var):
        return op.native_batch_norm(x, gamma, beta, mean, var, True, 0.1, 1e-5)

    saved = [forward(*given)[1:] for given in inputs]
    turns, back = cycle(inputs), cycle(zip(inputs, saved, strict=True))

    def backward():
        (x, dy, gamma, _, *running), statistics = next(back)
        return op.native_batch_norm_backward(
            dy, x, gamma, *running, *statistics, True, 1e-5, [True] * 3
        )

    return {
        ("PyTorch", "forward"): lambda: forward(*next(turns)),
        ("PyTorch", "backward"): backward,
    }


def measure(functions, rounds):
    """Seconds a call of each, one number a round, as the GPU's own clock has it.

    All are measured in each round, in a new order. Both libraries launch on the default stream,
    and so their work lies between the two events.
    """
    repeats = {}
    for name, function in functions.items():
        for _ in range(3):  # the first call may compile
            function()
        repeats[name] = max(1, round(_ENOUGH / max(1e3 * seconds(function, 1), 1e-3)))
    order, times = list(functions), {name: [] for name in functions}
    shuffle = random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            times[name].append(seconds(functions[name], repeats[name]))
    return {name: np.array(t) for name, t in times.items()}


def seconds(function, repeats):
    """Time of a call between two CUDA events."""
    import cupy

    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    for _ in range(repeats):
        function()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(start, end) / 1e3 / repeats


def copy_speed(size=2**28):
    """Bytes a second that a copy on the GPU reads and writes."""
    import cupy

    source, target = cupy.zeros(size, "uint8"), cupy.empty(size, "uint8")
    stream = cupy.cuda.Stream.null

    def copy():
        target.data.copy_from_device_async(source.data, size, stream)

    return 2 * size / float(np.median(measure({"copy": copy}, 15)["copy"]))


def device_name():
    """What the GPU calls itself."""
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"]
    return name.decode()

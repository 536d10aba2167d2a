"""How fast a small convolutional network trains, beside PyTorch on the same CPU.

Conv 3x3x16, batch norm, ReLU, conv 3x3x32, batch norm, ReLU, max pooling, dense; images of
1x28x28 in batches of 64; float32; plain SGD. Both train in one process, in turns of a few steps,
so that whatever else the machine does hits both alike. A process has one number of threads, so each
number runs in a process of its own.

    python benchmarks/conv_net.py                     # 1 and 2 threads, prints a table
    python benchmarks/conv_net.py --record            # and writes benchmarks/results/conv_net.json

Needs the extra 'peers'.
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
from importlib.util import find_spec
from pathlib import Path

XLA = ["--xla_cpu_multi_thread_eigen=false", "--xla_cpu_multi_thread_eigen=true"]  # JAX's threads
TURN, SETTLE = 5, 0.15  # calls, and seconds before them
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def our_step(rng):
    """A function that trains ours by one step, and the layers to time apart."""
    from bncourse import nn
    from bncourse.optim import SGD
    from bncourse.training import Step

    layers = {
        "conv 1": nn.Conv2d(1, 16, 3, padding=1, bias=False, rng=1),
        "norm 1": nn.BatchNorm(16),
        "relu 1": nn.ReLU(),
        "conv 2": nn.Conv2d(16, 32, 3, padding=1, bias=False, rng=2),
        "norm 2": nn.BatchNorm(32),
        "relu 2": nn.ReLU(),
        "pool": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "dense": nn.Dense(32 * 14 * 14, 10, rng=3),
    }
    net = nn.Sequential(*layers.values())
    one = Step(net, SGD(net, 0.05))
    x = rng.standard_normal((64, 1, 28, 28)).astype("float32")
    labels = rng.integers(10, size=64)

    def step():
        return one(x, labels)

    return step, layers, x


def their_step(layers, x):
    """The same for PyTorch, from the same parameters."""
    import torch
    from torch import nn

    theirs = {
        "conv 1": nn.Conv2d(1, 16, 3, padding=1, bias=False),
        "norm 1": nn.BatchNorm2d(16),
        "relu 1": nn.ReLU(),
        "conv 2": nn.Conv2d(16, 32, 3, padding=1, bias=False),
        "norm 2": nn.BatchNorm2d(32),
        "relu 2": nn.ReLU(),
        "pool": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "dense": nn.Linear(32 * 14 * 14, 10),
    }
    net = nn.Sequential(*theirs.values())
    with torch.no_grad():
        for name in ("conv 1", "conv 2"):
            theirs[name].weight.copy_(torch.from_numpy(layers[name].w))
        theirs["dense"].weight.copy_(torch.from_numpy(layers["dense"].w.T))
        theirs["dense"].bias.zero_()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    x = torch.from_numpy(x)
    labels = torch.zeros(64, dtype=torch.long)

    def step(targets=labels):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, theirs, x


def layer_steps(ours, theirs, x, tx):
    """For each layer, forward and backward of both, on what reaches it in the network."""
    import numpy as np
    import torch

    pairs = {}
    for name, layer in ours.items():
        y, _ = layer.forward(x)
        dy = np.ones_like(y) / 1000
        given = tx.detach().clone().requires_grad_(name != "conv 1")
        tdy = torch.from_numpy(dy)
        back = layer.accumulate if name == "conv 1" else layer.backward  # nobody asks for its dx

        def our_layer(layer=layer, back=back, x=x, dy=dy):
            layer.zero_grad()
            back(dy, layer.forward(x)[1])

        def their_layer(layer=theirs[name], given=given, tdy=tdy):
            layer.zero_grad()
            given.grad = None
            out = layer(given)
            out.backward(tdy)

        pairs[name] = our_layer, their_layer
        x, tx = y, theirs[name](tx)
    return pairs


def quartiles(values):
    import numpy as np

    return [round(float(v), 3) for v in np.quantile(values, [0.25, 0.5, 0.75])]


def race(ours, theirs, repeats):
    """Milliseconds of both, and the ratio theirs / ours, in turns of a few calls each.

    Before each turn the same function runs for a while unmeasured: the threads of a BLAS, or of
    OpenMP, keep a core busy for a tenth of a second after their last work, and what the other
    library has left behind is not to be measured. Beside the time on the clock, that of the
    processor: it does not count waiting for a core that another process has.
    """
    clock, cpu = ([], []), ([], [])
    for i in range(-(-repeats // TURN)):
        for which, f in ((0, ours), (1, theirs))[:: 1 if i % 2 else -1]:
            end = time.perf_counter() + SETTLE
            while time.perf_counter() < end:
                f()
            for _ in range(TURN):
                start = time.perf_counter(), time.process_time()
                f()
                clock[which].append(1e3 * (time.perf_counter() - start[0]))
                cpu[which].append(1e3 * (time.process_time() - start[1]))
    result = {}
    for name, (mine, other) in (("", clock), ("cpu_", cpu)):
        ratios = [b / max(a, 1e-6) for a, b in zip(mine, other, strict=True)]
        result[f"{name}ratio"] = quartiles(ratios)
        result[f"{name}ours_ms"] = quartiles(mine)
        result[f"{name}torch_ms"] = quartiles(other)
    return result


def measure(threads, repeats):
    """One process's part of the result."""
    import numpy as np
    import torch

    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    ours, layers, x = our_step(rng)
    theirs, their_layers, tx = their_step(layers, x)
    labels = torch.from_numpy(np.random.default_rng(0).integers(10, size=64))
    result = {"step": race(ours, lambda: theirs(labels), repeats)}
    pairs = layer_steps(layers, their_layers, x, tx)
    result["layers"] = {name: race(*pair, max(5, repeats // 3)) for name, pair in pairs.items()}
    return result


def machine():
    """What the figures depend on."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [s for s in cpuinfo.read_text().splitlines() if s.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    versions = {"python": platform.python_version()}
    for name in ("numpy", "torch", "numba"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load_before": load and [round(v, 2) for v in load],
        "versions": versions,
        "date": date.today().isoformat(),
    }


def show(result):
    """The table: ratios first; above 1, ours is faster."""
    where = result["machine"]
    print(f"{where['cpu']}, {where['cores']} cores, load {where['load_before']}, {where['date']}")
    print("torch's time / ours (above 1 ours is faster): median and quartiles, medians in ms,")
    print("and the same ratio in processor time")
    for threads, found in result["threads"].items():
        for name, row in {"whole step": found["step"], **found["layers"]}.items():
            low, middle, high = row["ratio"]
            print(
                f"  {threads} thread(s)  {name:10s}  {middle:5.2f}  ({low:.2f} to {high:.2f})"
                f"  ours {row['ours_ms'][1]:8.2f}  torch {row['torch_ms'][1]:8.2f}"
                f"  processor {row['cpu_ratio'][1]:5.2f}"
            )


def main(script, text, what, rounds, measure, show):
    """The command line of a benchmark that measures each number of threads in its own process.

    ``measure(threads, rounds)`` gives one process's part of the result, ``show(result)`` prints
    all of it. ``script`` is the file that was started, ``text`` what it says of itself, ``what``
    what it measures; the record has the script's name.
    """
    record = Path(script).parent / "results" / f"{Path(script).stem}.json"
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--record", action="store_true", help=f"write {record.name}")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if find_spec("torch") is None:
        sys.exit("PyTorch is not installed: it is what we compare with; see the extra 'peers'")
    if options.worker:
        print(json.dumps(measure(options.worker, options.rounds)))
        return
    result = {"what": what, "machine": machine(), "rounds": options.rounds, "threads": {}}
    for threads in options.threads:
        done = subprocess.run(
            [sys.executable, script, "--worker", str(threads), "--rounds", str(options.rounds)],
            env=os.environ | dict.fromkeys(THREADS, str(threads)) | {"XLA_FLAGS": XLA[threads > 1]},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        result["threads"][str(threads)] = json.loads(done.stdout)
    show(result)
    if options.record:
        record.parent.mkdir(exist_ok=True)
        record.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    what = "training step of a small convolutional network"
    main(__file__, __doc__, what, 60, measure, show)

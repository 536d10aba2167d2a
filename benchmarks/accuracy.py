"""How far batch norms are from the truth, ours beside those of others, on the same hostile inputs.

The truth is worked out in extended precision. Each row is one input; each number is the worst
error over all of its values:

    y        absolute; y is of order one, so this is in standard deviations
    dx       relative to the largest gradient of its channel
    variance relative, of the running variance after one batch that counts fully; absolute where
             the true variance is 0

`rounding` is the error of the truth itself once it is stored in the dtype of the result, half a
unit in the last place: nobody can be better. A row in which another is better than ours by more
than one unit is marked as lost. NaN or infinity in a result, where the input is finite, shows as
nan. Libraries that are not installed are left out; PyTorch comes with the extra 'peers', Keras
and Flax do not.

    python benchmarks/accuracy.py                 # prints a table
    python benchmarks/accuracy.py --record        # and writes benchmarks/results/accuracy.json
    python benchmarks/accuracy.py --most 100000   # leaves out inputs of more values a channel
"""

import argparse
import json
import os
import platform
import time
import warnings
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np

RESULT = Path(__file__).parent / "results" / "accuracy.json"
LONG = np.longdouble
QUANTITIES = ("y", "dx", "variance")


class Case(NamedTuple):
    """One input of shape (N, 2), in words, and the eps it is normalized with.

    The upstream gradient is noise; or, if it is ``along`` the output, all but normal to what
    a batch norm lets through, so that dx is a small difference.
    """

    name: str
    x: np.ndarray
    eps: float = 1e-5
    along: bool = False


def cases(most):
    """Inputs that other implementations are known to lose digits on; N up to ``most``."""
    rng = np.random.default_rng(20150211)

    def normal(n, mean=0.0, std=1.0, dtype="float32"):
        return (mean + std * rng.standard_normal((n, 2))).astype(dtype)

    for n in (256, 65_536, 4_000_000):
        if n > most:
            continue
        for mean in (0, 1e2, 1e4, 1e6):
            yield Case(f"float32, N {n}, mean {mean:g}", normal(n, mean))
    yield Case("float32, constant 3", np.full((4096, 2), 3, "float32"))
    yield Case("float32, constant 0.1, N prime", np.full((4099, 2), 0.1, "float32"))
    yield Case("float32, variance 1e-12", normal(4096, 0, 1e-6))
    yield Case("float32, variance 1e-12, eps 1e-12", normal(4096, 0, 1e-6), 1e-12)
    yield Case("float32, mean 1, variance 1e-10, eps 1e-12", normal(4096, 1, 1e-5), 1e-12)
    yield Case("float32, variance 1e12", normal(4096, 0, 1e6))
    yield Case("float32, mean 1e6, variance 1e12", normal(4096, 1e6, 1e6))
    outlier = normal(4096, 0, 1e-3)
    outlier[17] = 1e6
    yield Case("float32, one value of 1e6 among small ones", outlier)
    yield Case(
        "float32, the largest values", 3e38 * rng.uniform(-1, 1, (4096, 2)).astype("float32")
    )
    yield Case("float32, N 4096, dy along y", normal(4096), along=True)
    yield Case("float16, N 4096, dy along y", normal(4096, 0, 1, "float16"), along=True)
    yield Case("float16, N 4096", normal(4096, 0, 1, "float16"))
    yield Case("float16, N 70001, mean 4", normal(70_001, 4, 1, "float16"))
    yield Case("float16, N 4096, mean 300", normal(4096, 300, 1, "float16"))
    yield Case(
        "float16, the largest values", (6e4 * rng.uniform(-1, 1, (4096, 2))).astype("float16")
    )
    for mean in (0, 1e6):
        yield Case(f"float64, N 65536, mean {mean:g}", normal(65_536, mean, 1, "float64"))
    yield Case("float64, values of 1e200", normal(4096, 0, 1e200, "float64"))


def truth(x, dy, eps):
    """``y``, ``dx``, and both variances (unbiased, biased), in extended precision."""
    n = len(x)
    x, dy = x.astype(LONG), dy.astype(LONG)
    d = x - x.mean(axis=0)
    d -= d.mean(axis=0)  # a sum of far values is rounded even here
    biased = (d * d).mean(axis=0)
    std = np.sqrt(biased + LONG(eps))
    y = d / std
    dx = (dy - dy.mean(axis=0) - y * (dy * y).mean(axis=0)) / std
    return y, dx, {"unbiased": biased * n / (n - 1), "biased": biased}


def rounded(exact, dtype):
    """The truth as a result of that dtype; float16 has statistics of float32."""
    y, dx, variances = exact
    wide = np.result_type(dtype, np.float32)
    with np.errstate(over="ignore"):
        var = variances["unbiased"].astype(wide)
    return y.astype(dtype), dx.astype(dtype), var, "unbiased"


def errors(result, exact):
    """The worst error of each quantity."""
    y, dx, var, rule = result
    y_exact, dx_exact, variances = exact
    var_exact = variances[rule]
    with np.errstate(all="ignore"):
        size = np.max(np.abs(dx_exact), axis=0)
        by = (
            np.max(np.abs(y - y_exact)),
            np.max(np.abs(dx - dx_exact) / size),
            np.max(np.abs(var - var_exact) / np.where(var_exact > 0, var_exact, 1)),
        )
    found = {name: float(e) for name, e in zip(QUANTITIES, by, strict=True)}
    if not representable(var_exact, var.dtype):
        found["variance"] = None  # no number can stand for it, so none is asked for
    return {name: e if e is None or np.isfinite(e) else float("nan") for name, e in found.items()}


def representable(var, dtype):
    return bool(np.all(var <= np.finfo(dtype).max))


# One function for each implementation: y, dx, the running variance, and which variance that is.


def ours(x, dy, eps):
    from bncourse import nn

    wide = "float64" if x.dtype == np.float64 else "float32"
    layer = nn.BatchNorm(2, eps=eps, momentum=1, dtype=wide)
    y, cache = layer.forward(x)
    return y, layer.backward(dy, cache), layer.running_var, "unbiased"


def textbook(x, dy, eps):
    eps, n = x.dtype.type(eps), len(x)
    mean, var = x.mean(axis=0), x.var(axis=0)
    std = np.sqrt(var + eps)
    y = (x - mean) / std
    dx = (dy - dy.mean(axis=0) - y * (dy * y).mean(axis=0)) / std
    return y, dx, var * x.dtype.type(n / (n - 1)), "unbiased"


def pytorch(x, dy, eps):
    import torch

    wide = torch.float64 if x.dtype == np.float64 else torch.float32
    layer = (torch.nn.BatchNorm2d if x.ndim == 4 else torch.nn.BatchNorm1d)(
        2, eps=eps, momentum=1.0, dtype=wide
    )
    leaf = torch.from_numpy(x).requires_grad_()
    y = layer(leaf)
    y.backward(torch.from_numpy(dy))
    return y.detach().numpy(), leaf.grad.numpy(), layer.running_var.numpy(), "unbiased"


def keras(x, dy, eps):
    import torch
    from keras import layers

    policy = "mixed_float16" if x.dtype == np.float16 else str(x.dtype)
    layer = layers.BatchNormalization(momentum=0.0, epsilon=eps, dtype=policy)
    leaf = torch.from_numpy(x).requires_grad_()
    y = layer(leaf, training=True)
    y.backward(torch.from_numpy(dy))
    var = layer.moving_variance.numpy()
    return y.detach().numpy(), leaf.grad.numpy(), var, "biased"


def flax(x, dy, eps, fast=True):
    import jax
    from flax import linen

    jax.config.update("jax_enable_x64", True)
    wide = "float64" if x.dtype == np.float64 else "float32"
    layer = linen.BatchNorm(
        use_running_average=False,
        momentum=0.0,
        epsilon=eps,
        dtype=x.dtype,
        param_dtype=wide,
        use_fast_variance=fast,
    )
    variables = layer.init(jax.random.key(0), jax.numpy.asarray(x))

    def forward(x):
        return layer.apply(variables, x, mutable=["batch_stats"])

    y, back, state = jax.vjp(forward, jax.numpy.asarray(x), has_aux=True)
    (dx,) = back(jax.numpy.asarray(dy))
    return (*map(np.asarray, (y, dx, state["batch_stats"]["var"])), "biased")


def as_maps(function):
    """``function`` on the same numbers as (N, C, H, W), which other code paths may serve."""

    def on_maps(x, dy, eps):
        n = len(x)
        shape = next((k, n // k) for k in (8, 1) if n % k == 0)

        def maps(a):
            parts = np.moveaxis(a.reshape(*shape, 1, 2), -1, 1)
            return np.ascontiguousarray(parts)

        y, dx, var, rule = function(maps(x), maps(dy), eps)
        return (*(np.moveaxis(a, 1, -1).reshape(n, 2) for a in (y, dx)), var, rule)

    return on_maps


IMPLEMENTATIONS = {
    "ours (N,C)": (ours, ()),
    "ours NCHW": (as_maps(ours), ()),
    "textbook": (textbook, ()),
    "PyTorch (N,C)": (pytorch, ("torch",)),
    "PyTorch NCHW": (as_maps(pytorch), ("torch",)),
    "Keras": (keras, ("keras", "torch")),
    "Flax": (flax, ("flax",)),
    "Flax slow": (lambda x, dy, eps: flax(x, dy, eps, fast=False), ("flax",)),
}


def measure(most):
    """Rows of the scoreboard: case, quantity, and the error of each implementation."""
    usable = {
        name: function
        for name, (function, needed) in IMPLEMENTATIONS.items()
        if all(find_spec(library) for library in needed)
    }
    rng = np.random.default_rng(0)
    rows = []
    for case in cases(most):
        dy = rng.standard_normal(case.x.shape).astype(case.x.dtype)
        if case.along:
            dy = truth(case.x, dy, case.eps)[0].astype(case.x.dtype)
        exact = truth(case.x, dy, case.eps)
        found = {"rounding": errors(rounded(exact, case.x.dtype), exact)}
        for name, function in usable.items():
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                found[name] = errors(function(case.x.copy(), dy.copy(), case.eps), exact)
        for quantity in QUANTITIES:
            by = {name: e[quantity] for name, e in found.items()}
            if None not in by.values():
                rows.append({"case": case.name, "quantity": quantity, "errors": by})
        print(case.name, flush=True)
    return rows


def lost(row):
    """Whether somebody else is better than ours by more than a unit in the last place, which is
    twice the error of rounding alone."""
    by = row["errors"]
    mine = max(e for name, e in by.items() if name.startswith("ours"))
    others = (e for name, e in by.items() if not name.startswith(("ours", "rounding")))
    theirs = min((e for e in others if e == e), default=float("inf"))
    return not mine - theirs <= 2 * by["rounding"]


def table(rows):
    """The scoreboard as lines of a Markdown table; a row that we lose is marked."""
    names = list(rows[0]["errors"])
    lines = [f"| input | | {' | '.join(names)} |", "| --- " * (len(names) + 2) + "|"]
    for row in rows:
        numbers = [f"{e:.1e}" for e in row["errors"].values()]
        mark = " (lost)" if lost(row) else ""
        lines.append(f"| {row['case']} | {row['quantity']}{mark} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def provenance(seconds):
    libraries = ("numpy", "torch", "keras", "jax", "flax")
    names = [name for name in libraries if find_spec(name)]
    return {
        "date": date.today().isoformat(),
        "seconds": round(seconds),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "versions": {name: version(name) for name in names},
        "keras_backend": os.environ["KERAS_BACKEND"],
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help=f"write results/{RESULT.name}")
    parser.add_argument("--most", type=int, default=4_000_000, help="values a channel, at most")
    options = parser.parse_args()
    start = time.perf_counter()
    rows = measure(options.most)
    print("\n" + table(rows))
    losses = sum(map(lost, rows))
    print(f"\n{len(rows)} rows; ours is beaten in {losses}")
    if options.record:
        RESULT.parent.mkdir(exist_ok=True)
        result = {"provenance": provenance(time.perf_counter() - start), "rows": rows}
        text = json.dumps(result, indent=1).replace(": NaN", ": null")  # JSON has no NaN
        RESULT.write_text(text + "\n")
        print(f"recorded in {RESULT}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""``python -m bncourse bench cpu``: batch norm in training, forward and backward."""

import numpy as np

from bncourse import functional as F
from bncourse.bench.rounds import measure

HELP = "on the CPU"

TEXT = """\
Time a training step of batch norm, forward and backward, in float32: the
textbook's NumPy and this package.

examples:
  python -m bncourse bench cpu
  python -m bncourse bench cpu --quick   a few shapes, a few seconds"""

SHAPES = [(60, 100), (256, 1024), (32, 64, 56, 56)]


def add_arguments(parser):
    """Options of this command."""
    parser.add_argument("--quick", action="store_true", help="fewer shapes and rounds")


def run(options):
    """Measure and print; returns an exit code."""
    for shape in SHAPES[: 2 if options.quick else None]:
        times = measure(contenders(shape), 5 if options.quick else 30)
        ratio = np.median(times["textbook"] / times["bncourse"])
        print(f"{shape!s:18} bncourse is {ratio:.2f} times as fast as the textbook's NumPy")
    return 0


def contenders(shape):
    """Functions by name, each a forward and a backward pass on arrays of that shape."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, *shape), dtype="float32")
    gamma, beta = rng.standard_normal((2, shape[1]), dtype="float32")

    def ours():
        F.batch_norm_backward(dy, F.batch_norm_forward(x, gamma, beta)[1])

    return {"textbook": lambda: textbook(x, gamma, beta, dy), "bncourse": ours}


def textbook(x, gamma, beta, dy, eps=1e-5):
    """The formulas as they are printed, in the dtype of ``x``."""
    axes = (0, *range(2, x.ndim))
    shape = (1, -1, *[1] * (x.ndim - 2))
    gamma, beta = gamma.reshape(shape), beta.reshape(shape)
    mean = x.mean(axis=axes, keepdims=True)
    std = np.sqrt(x.var(axis=axes, keepdims=True) + x.dtype.type(eps))
    x_hat = (x - mean) / std
    y = gamma * x_hat + beta
    dbeta = dy.sum(axis=axes, keepdims=True)
    dgamma = (dy * x_hat).sum(axis=axes, keepdims=True)
    count = x.dtype.type(x.size // gamma.size)
    dx = gamma / std * (dy - dbeta / count - x_hat * dgamma / count)
    return y, dx, dgamma, dbeta

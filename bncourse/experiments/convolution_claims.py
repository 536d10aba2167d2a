"""Live checks of what is said about batch norm of feature maps: evidence for ``book/claims.yml``.

Each function measures, in a second, and returns whether the verdict of the chapter *Why does a
whole feature map share one gamma?* holds.
"""

import numpy as np

from bncourse import functional as F
from bncourse.data import digits
from bncourse.experiments.convolution import worth


def _rows(maps):
    return np.moveaxis(maps, 1, -1).reshape(-1, maps.shape[1])


def maps_are_tables():
    """Batch norm of maps is that of the table of their rows, forward and back."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(2, 3, (2, 6, 3, 5, 4))
    gamma, beta = rng.normal(1, 1, 3), rng.normal(0, 1, 3)
    y, cache = F.batch_norm_forward(x, gamma, beta)
    y_rows, cache_rows = F.batch_norm_forward(_rows(x), gamma, beta)
    dx, *shared = F.batch_norm_backward(dy, cache)
    dx_rows, *shared_rows = F.batch_norm_backward(_rows(dy), cache_rows)
    return bool(
        np.allclose(_rows(y), y_rows)
        and np.allclose(_rows(dx), dx_rows)
        and np.allclose(shared, shared_rows)
    )


def only_statistics_of_maps_move_along():
    """Images that move by amounts of their own: by map the output moves along, by position not."""
    x = digits(dtype="float64", images=True).x_train[:100]
    amounts = np.random.default_rng(0).integers(0, 8, len(x))

    def moved(batch):
        return np.stack([np.roll(a, k, axis=-1) for a, k in zip(batch, amounts, strict=True)])

    along = []
    for axis in (1, (1, 2, 3)):
        y, y_moved = (F.batch_norm_forward(a, axis=axis)[0] for a in (x, moved(x)))
        along.append(np.allclose(y_moved, moved(y)))
    return along == [True, False]


def an_image_is_worth_less_or_more_than_its_positions():
    """Of 64 values, a blurred digit is worth less than 60, and its edges more than 1000."""
    x = digits(dtype="float64", images=True).x_train
    blur, edges = [[1, 2, 1], [2, 4, 2], [1, 2, 1]], [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    w = np.array([blur, edges], dtype="float64")[:, None]
    blurred, of_edges = worth(F.conv_forward(x, w, padding=1)[0])
    return bool(blurred < 60 and of_edges > 1000)


def folding_ahead_is_wrong_at_the_frame():
    """A batch norm folded into the convolution after it: right inside, wrong at the border."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(0, 1, (4, 2, 6, 6)), rng.normal(0, 1, (3, 2, 3, 3))
    gamma, beta = np.array([2.0, -1.0]), np.array([0.5, 1.0])
    mean, var = np.array([1.0, -2.0]), np.array([1.0, 4.0])
    normal, _ = F.batch_norm_inference_forward(x, gamma, beta, mean, var, 1e-5)
    scale = gamma / np.sqrt(var + 1e-5)
    b = (w * (beta - mean * scale)[:, None, None]).sum(axis=(1, 2, 3))
    folded, _ = F.conv_forward(x, w * scale[:, None, None], b, padding=1)
    off = np.abs(folded - F.conv_forward(normal, w, padding=1)[0])
    inside = (..., slice(1, -1), slice(1, -1))
    return bool(off[inside].max() < 1e-9 and off.max() > 0.5)

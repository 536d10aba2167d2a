"""Live checks of what is said about signals in deep nets: evidence for ``book/claims.yml``."""

import numpy as np

from bncourse.data import digits
from bncourse.experiments.depth import layers, standardized


def noise_amplified(norm, gain=2.0, depth=30, width=100, seed=0):
    """How many times larger a little noise is on top of a net of rectifiers, beside the signal.

    Parameters
    ----------
    norm : bool
        Whether the layers have a batch norm.
    gain : float
        Variance of the weights times the units that a layer reads from.
    depth, width, seed : int
        Number of layers, units in each; of the weights.

    Returns
    -------
    float
        Relative to the signal, on top and in the images: 1 where noise grows as the signal does.
    """
    images = standardized(digits(dtype="float64").x_train[:200])
    noise = 1e-6 * np.random.default_rng(0).standard_normal(images.shape)
    net = layers([images.shape[1]] + [width] * depth, gain, norm=norm, rng=seed)
    tops = [_top(net, x) for x in (images, images + noise)]
    share = np.sqrt(np.mean((tops[1] - tops[0]) ** 2) / np.mean(tops[0] ** 2))
    return float(share / 1e-6)


def only_batch_norm_amplifies():
    """Plain nets of any gain do not amplify noise; with batch norm it grows over 30 times."""
    plain = [noise_amplified(False, gain) for gain in (1, 2, 4)]
    return max(plain) < 2 and all(noise_amplified(True, gain) > 30 for gain in (1, 2, 4))


def _top(net, x):
    for layer in net:
        for module in layer:
            x, _ = module.forward(x)
    return x

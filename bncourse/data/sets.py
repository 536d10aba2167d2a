"""Small images in ten classes, split into a training and a test set."""

from typing import NamedTuple

import numpy as np

from bncourse import checks
from bncourse.data import downloads, idx

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""What the labels of :func:`fashion_mnist` mean."""


class Dataset(NamedTuple):
    """A training and a test set.

    Attributes
    ----------
    x_train, x_test : numpy.ndarray, shape (examples, pixels) or (examples, 1, height, width)
        Pixels from 0 (paper) to 1 (ink).
    y_train, y_test : numpy.ndarray of int64, shape (examples,)
        The digits, or the classes of clothing, 0 to 9.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def digits(n_test=497, binary=False, seed=0, dtype="float32", images=False):
    """The 1797 handwritten digits of 8 x 8 pixels that come with scikit-learn; no download.

    Parameters
    ----------
    n_test : int
        How many are kept for testing; the rest (1300 by default) is for training.
    binary : bool
        Whether pixels are only 0 or 1 (threshold: half of full ink), as in the paper's
        experiment.
    seed : int
        Of the split.
    dtype : str
        Floating dtype of the pixels.
    images : bool
        Whether each example is an image of shape (1, 8, 8), for a convolution, and not a row of
        64 pixels.

    Returns
    -------
    Dataset

    Raises
    ------
    TypeError, ValueError
        If ``n_test`` does not leave something on both sides, or ``dtype`` is not floating.

    Notes
    -----
    Source: Alpaydin and Kaynak (1998), test part of the UCI *Optical Recognition of Handwritten
    Digits* data set.
    """
    from sklearn.datasets import load_digits  # slow to import, and few readers need it

    pictures, labels = load_digits(return_X_y=True)
    dtype = checks.floating("dtype", dtype)
    if not 0 < checks.integer("n_test", n_test) < len(pictures):
        raise ValueError(f"n_test must lie in 1 to {len(pictures) - 1}, not {n_test}")
    order = np.random.default_rng(seed).permutation(len(pictures))
    x = _ink(pictures[order] / 16, binary, dtype)
    if images:
        x = x.reshape(-1, 1, 8, 8)
    y = labels[order].astype(np.int64)
    return Dataset(x[n_test:], y[n_test:], x[:n_test], y[:n_test])


def mnist(n_train=None, n_test=None, binary=False, seed=0, dtype="float32", images=False):
    """MNIST: 60 000 handwritten digits of 28 x 28 pixels for training, 10 000 for testing.

    Downloaded once (12 MB), and looked for on this computer first: see
    :mod:`bncourse.data.downloads`.

    Parameters
    ----------
    n_train, n_test : int, optional
        Take only so many, chosen at random; without it all of them, in the order of the file.
        The first k of n examples are those that k alone would give.
    binary : bool
        Whether pixels are only 0 or 1 (threshold: half of full ink), as in the paper's
        experiment.
    seed : int
        Of the choice.
    dtype : str
        Floating dtype of the pixels.
    images : bool
        Whether each example is an image of shape (1, 28, 28), for a convolution, and not a row
        of 784 pixels.

    Returns
    -------
    Dataset

    Raises
    ------
    TypeError, ValueError
        If ``n_train`` or ``n_test`` is not in 1 to what there is, or ``dtype`` is not floating;
        ``ValueError`` also if a file in ``BNCOURSE_DATA`` is damaged.
    OSError
        If the files are not here and cannot be fetched; the message says what to do, and that
        :func:`digits` needs no download.

    Notes
    -----
    Source: LeCun, Bottou, Bengio and Haffner (1998), *Gradient-based learning applied to document
    recognition*.
    """
    return _fetched("mnist", n_train, n_test, binary, seed, dtype, images)


def fashion_mnist(n_train=None, n_test=None, binary=False, seed=0, dtype="float32", images=False):
    """Fashion-MNIST: clothes instead of digits, as many and as large, and harder to tell apart.

    Downloaded once (31 MB). Parameters ``n_train``, ``n_test``, ``binary``, ``seed``, ``dtype``,
    ``images``, what is returned and what is raised are those of :func:`mnist`; the names of the
    classes are ``FASHION_CLASSES``.

    Notes
    -----
    Source: Xiao, Rasul and Vollgraf (2017), arXiv 1708.07747.
    """
    return _fetched("fashion-mnist", n_train, n_test, binary, seed, dtype, images)


def _fetched(name, n_train, n_test, binary, seed, dtype, images):
    dtype = checks.floating("dtype", dtype)
    for argument, limit in (("n_train", n_train), ("n_test", n_test)):
        if limit is not None:
            checks.integer(argument, limit, 1)  # before anything is downloaded
    place = downloads.fetch(name)
    ink = _ink(np.arange(256) / 255, binary, dtype)  # of each of the 256 greys, once
    parts = []
    for argument, limit, part in (("n_train", n_train, "train"), ("n_test", n_test, "t10k")):
        x = idx.read(place / f"{part}-images-idx3-ubyte.gz", "uint8", ndim=3)
        y = idx.read(place / f"{part}-labels-idx1-ubyte.gz", "uint8", ndim=1)
        if limit is not None:
            # At random: the makers of MNIST call the first half of its test set the easier one.
            chosen = _choose(argument, limit, len(x), seed)
            x, y = x[chosen], y[chosen]
        shape = (len(x), 1, *x.shape[1:]) if images else (len(x), -1)
        parts += [ink[x].reshape(shape), y.astype(np.int64)]
    return Dataset(*parts)


def _choose(argument, limit, n, seed):
    if limit > n:
        raise ValueError(f"{argument} must lie in 1 to {n}, not {limit}")
    return np.random.default_rng(seed).permutation(n)[:limit]


def _ink(share, binary, dtype):
    return (share >= 0.5 if binary else share).astype(dtype)

"""Images of handwritten digits, split into a training and a test set."""

from typing import NamedTuple

import numpy as np

from bncourse import checks


class Dataset(NamedTuple):
    """A training and a test set.

    Attributes
    ----------
    x_train, x_test : numpy.ndarray, shape (examples, pixels)
        Pixels from 0 (paper) to 1 (ink).
    y_train, y_test : numpy.ndarray of int, shape (examples,)
        The digits, 0 to 9.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def digits(n_test=497, binary=False, seed=0, dtype="float32"):
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

    images, labels = load_digits(return_X_y=True)
    dtype = checks.floating("dtype", dtype)
    if not 0 < checks.integer("n_test", n_test) < len(images):
        raise ValueError(f"n_test must lie in 1 to {len(images) - 1}, not {n_test}")
    order = np.random.default_rng(seed).permutation(len(images))
    x = images[order] / 16
    x = (x >= 0.5 if binary else x).astype(dtype)
    y = labels[order]
    return Dataset(x[n_test:], y[n_test:], x[:n_test], y[:n_test])

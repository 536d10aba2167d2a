"""Where a wrong output of the transform leaves the right one: the mean, the variance, or later.

In each feature, ``y`` is a straight line of ``x``. The line says what was subtracted and what was
divided by, whatever code drew it.
"""

import numpy as np

SEEN = 1e-4  # relative difference that counts as one


def first_deviation(x, gamma, beta, eps, y, channel=1):
    """Lines that say which step of the transform is the first to go wrong.

    Parameters
    ----------
    x, gamma, beta, eps
        Arguments of the transform.
    y : numpy.ndarray
        What came out, in the shape of ``x``.
    channel : int
        Axis of ``x`` that counts the features.

    Returns
    -------
    list of str
    """
    if not np.all(np.isfinite(y)):
        return ["First deviation: some outputs are NaN or infinite."]
    features = zip(_rows(x, channel).T, _rows(y, channel).T, gamma, beta, strict=True)
    found = [_of_a_feature(k, *feature, eps) for k, feature in enumerate(features)]
    found = sorted(filter(None, found))  # the earliest step first
    return [f"First deviation: {found[0][1]}"] if found else []


def _rows(a, channel):
    return np.moveaxis(a, channel, -1).reshape(-1, a.shape[channel])


def _of_a_feature(k, x, y, gamma, beta, eps):
    """Number of the step that goes wrong first in feature ``k``, and words for it; or ``None``."""
    mean, s = x.mean(), np.sqrt(x.var() + eps)
    slope, height = np.polyfit((x - mean) / s, y, 1)  # y = slope x_hat + height
    off = np.abs(y - height - slope * (x - mean) / s)
    size = max(np.abs(y - beta).max(), abs(gamma))
    if off.max() > SEEN * size:
        i = int(off.argmax())
        return 2, (
            f"x_hat. In feature {k}, y is not a straight line of x: value {i} lies off it by "
            f"{off[i]:.2g}. All values of a feature are shifted and scaled alike."
        )
    # Where the line passes through beta, x equals what was subtracted.
    if abs(height - beta) > SEEN * size and abs(slope) > SEEN * abs(gamma):
        crossing = mean + s * (beta - height) / slope
        return 0, (
            f"the mean (or beta). In feature {k}, y is beta at x = {crossing:.4g}; that should be "
            f"at the mean, {mean:.4g}. At the mean, y is {height:.4g}, and beta is {beta:.4g}."
        )
    if abs(slope) <= SEEN * abs(gamma):
        return 1, f"the variance (or gamma). In feature {k}, y does not depend on x at all."
    if abs(slope - gamma) > SEEN * abs(gamma):
        return 1, (
            f"the variance (or gamma). In feature {k}, the mean is in order, but y grows by "
            f"{slope / s:.4g} for each unit of x; gamma / sqrt(var + eps) is {gamma / s:.4g}."
        )
    return None

r"""Read off from a wrong ``dx`` what was forgotten.

The gradient of a batch norm lies, feature by feature, in the span of three vectors:

.. math:: \mathrm{dx} = \tfrac{\gamma}{s}\bigl(a\,\mathrm{dy} + b\,\overline{\mathrm{dy}}
          + c\,\hat x\,\overline{\mathrm{dy}\,\hat x}\bigr), \quad (a, b, c) = (1, -1, -1)

and most mistakes leave it there. So least squares tell them: a is the own path, b the path
through the mean, c the one through the variance.
"""

import numpy as np


def fit(dx, dy, x, gamma, eps):
    """Weights of the three paths in ``dx``, by least squares.

    Parameters
    ----------
    dx, dy, x : numpy.ndarray, shape (N, D)
        N of at least 4: through three points goes everything.
    gamma : numpy.ndarray, shape (D,)
    eps : float

    Returns
    -------
    weights : numpy.ndarray, shape (D, 3)
        a, b and c of each feature.
    off : float
        What they leave unexplained, relative to the largest entry of ``dx``.
    """
    d = x - x.mean(axis=0)
    s = np.sqrt((d * d).mean(axis=0) + eps)
    x_hat = d / s
    weights, left = np.empty((x.shape[1], 3)), np.empty_like(dx)
    for k in range(x.shape[1]):
        paths = np.stack(
            [
                dy[:, k],
                np.full(len(x), dy[:, k].mean()),
                x_hat[:, k] * (dy[:, k] * x_hat[:, k]).mean(),
            ],
            axis=1,
        ) * (gamma[k] / s[k])
        # Columns of length one: a short path must not be taken for a linear dependence.
        length = np.linalg.norm(paths, axis=0)
        weights[k] = np.linalg.lstsq(paths / length, dx[:, k], rcond=None)[0] / length
        left[:, k] = dx[:, k] - paths @ weights[k]
    size = np.abs(dx).max()
    return weights, float(np.abs(left).max() / size) if size else 0.0


def first_deviation(dx, dy, x, gamma, eps):
    """Lines that say which paths are in ``dx``, and how strongly."""
    if not np.all(np.isfinite(dx)):
        return ["First deviation: some entries of dx are NaN or infinite."]
    weights, off = fit(dx, dy, x, gamma, eps)
    formula = "gamma / s * (a dy + b mean(dy) + c x_hat mean(dy x_hat))"
    if off > 1e-4:
        return [
            f"Read off from dx: it is not of the form {formula}; {off:.0%} of it are left over. "
            "So x_hat, or what the means are taken over, is wrong before the paths are."
        ]
    shown = ", ".join(
        f"{name} = {_range(values)}" for name, values in zip("abc", weights.T, strict=True)
    )
    return [f"Read off from dx, by least squares: {formula} with {shown}. Right is 1, -1, -1."]


def _range(values):
    """One number where all features agree, else from the least to the largest."""
    low, high = values.min(), values.max()
    if high - low <= 0.005 * max(abs(low), abs(high), 1):
        return f"{values.mean():.2f}".replace("-0.00", "0.00")
    return f"{low:.2f} to {high:.2f}"

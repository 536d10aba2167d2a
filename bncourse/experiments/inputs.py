"""Gradient descent on one linear model, whose inputs are written in four ways.

The chapter *Why standardize the inputs, and why is that not enough?* tells it.
"""

import numpy as np

from bncourse.data import digits, mnist
from bncourse.experiments.experiment import Experiment

FORMS = ("raw", "centered", "standardized", "whitened")
"""Ways to write the inputs that leave a linear model with a bias the same functions."""


def rewriting(form, x):
    r"""The affine map that writes inputs in a form, :math:`z = (x - c) A`.

    Parameters
    ----------
    form : str
        ``"raw"``: as they are; ``"bytes"``: times 255; ``"centered"``: minus the mean of ``x``;
        ``"standardized"``: also divided by its standard deviation; ``"whitened"``: centered and
        turned, so that the covariance becomes the identity.
    x : array, shape (n, d)
        What the statistics are taken from; no column is constant.

    Returns
    -------
    c : array, shape (d,)
    a : array, shape (d, d)

    Raises
    ------
    ValueError
        If there is no such form, or a column of ``x`` is constant and would be divided by 0.
    """
    if form not in (*FORMS, "bytes"):
        raise ValueError(f"form must be one of bytes, {', '.join(FORMS)}, not {form!r}")
    mean, std, one = x.mean(axis=0), x.std(axis=0), np.eye(x.shape[1])
    if form in ("raw", "bytes"):
        return np.zeros_like(mean), 255 * one if form == "bytes" else one
    if form == "centered":
        return mean, one
    if not std.all():
        raise ValueError(f"x must have no constant column, but {(std == 0).sum()} are")
    if form == "standardized":
        return mean, one / std
    eigenvalues, turn = np.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    return mean, turn / np.sqrt(eigenvalues)


def second_moment(z):
    """``z.T @ z / n`` of inputs ``z`` (n, d), with an input that is always 1 appended: the bias."""
    with_one = np.concatenate([z, np.ones((len(z), 1), z.dtype)], axis=1)
    return with_one.T @ with_one / len(z)


def pixels(data, least=0.1):
    """Which pixels have a standard deviation above ``least`` in the training set (bool, (d,))."""
    return data.x_train.std(axis=0, dtype="float64") > least


def milestones(steps, number=60):
    """About ``number`` different steps from 0 to ``steps``, evenly spread by their logarithms."""
    return np.unique([0, *np.geomspace(1, steps, number).round().astype(int)])


def run(config, seed):
    """Fit the ten digits by least squares and full-batch gradient descent, at the best rate.

    Parameters
    ----------
    config : dict
        ``data`` (``"digits"`` or ``"mnist"``), ``form`` (one of :data:`FORMS`) and ``steps``.
    seed : int
        Which half of the training images is taken.

    Returns
    -------
    dict
        ``steps`` (K,); ``excess`` (K,), how far the loss is above its minimum, measured on the
        images, and ``predicted`` (K,), the same by the formula, both relative to step 0;
        ``accuracy`` (K,) on the test set; ``eigenvalues`` (d + 1,) of the second moment,
        ascending; ``lr``; ``pixels``, their number d; ``least``, the minimum of the loss.
    """
    data = {"digits": digits, "mnist": mnist}[config["data"]]()
    kept, n = pixels(data), len(data.x_train) // 2
    half = np.random.default_rng(seed).permutation(len(data.x_train))[:n]
    data = data._replace(x_train=data.x_train[half], y_train=data.y_train[half])
    x, x_test = (part[:, kept].astype("float64") for part in (data.x_train, data.x_test))
    c, a = rewriting(config["form"], x)
    z, z_test = (x - c) @ a, (x_test - c) @ a
    targets = np.eye(10)[data.y_train]

    moment = second_moment(z)
    slope = np.concatenate([z.T @ targets, targets.sum(axis=0)[None]]) / n
    eigenvalues, modes = np.linalg.eigh(moment)
    best = modes @ (modes.T @ slope / eigenvalues[:, None])
    distance = (modes.T @ best) ** 2  # along each mode, from weights of zero
    lr = 2 / (eigenvalues[0] + eigenvalues[-1])

    def loss(w):
        return 0.5 * ((z @ w[:-1] + w[-1] - targets) ** 2).sum(axis=1).mean()

    def right(w):
        return (np.argmax(z_test @ w[:-1] + w[-1], axis=1) == data.y_test).mean()

    steps, losses, accuracies = milestones(config["steps"]), [], []
    w = np.zeros_like(best)
    for step in range(steps[-1] + 1):
        if step in steps:
            losses.append(loss(w))
            accuracies.append(right(w))
        w -= lr * (moment @ w - slope)  # the gradient over all n images
    least = loss(best)
    shrinking = (1 - lr * eigenvalues) ** (2 * steps[:, None])
    predicted = shrinking @ (eigenvalues[:, None] * distance).sum(axis=1)
    return {
        "steps": steps,
        "excess": (np.array(losses) - least) / (losses[0] - least),
        "predicted": predicted / predicted[0],
        "accuracy": accuracies,
        "eigenvalues": eigenvalues,
        "lr": lr,
        "pixels": kept.sum(),
        "least": least,
    }


def _grid(data, lengths):
    pairs = zip(FORMS, lengths, strict=True)
    return [{"data": data, "form": form, "steps": steps} for form, steps in pairs]


EXPERIMENT = Experiment(
    name="inputs",
    title="Gradient descent on a linear model, its inputs raw, centered, standardized, whitened",
    run=run,
    configs=_grid("mnist", (60_000, 20_000, 5_000, 10)),
    quick=_grid("digits", (5_000, 500, 300, 10)),
    chapter="why/inputs",
    shows="excess",
)

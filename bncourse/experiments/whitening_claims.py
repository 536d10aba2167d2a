"""Live checks of what is said about whitening: evidence for ``book/claims.yml``.

Each function measures, in a second, and returns whether the verdict of the chapter *Why not simply
whiten?* holds.
"""

import numpy as np

from bncourse.data import digits
from bncourse.experiments.whitening_matrices import (
    coupled_newton_schulz,
    newton_schulz,
    pca_matrix,
    residual,
    zca_matrix,
)


def _inked_pixels():
    """Digits, those pixels that vary by more than a tenth, centered."""
    x = digits(dtype="float64").x_train
    x = x[:, x.std(axis=0) > 0.1]
    return x - x.mean(axis=0)


def _covariance(d):
    return d.T @ d / len(d)


def _ill_conditioned(condition=1e3, features=64):
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(features, features)))
    return (turn * np.geomspace(1, 1 / condition, features)) @ turn.T


def the_bias_marches_in_a_line():
    """Its gradient takes the mean for a constant: equal steps, at a loss that stays the same."""
    rng = np.random.default_rng(0)
    u, t, b = rng.normal(0, 1, 60), rng.normal(5, 1, 60), 0.0
    path, losses = [], []
    for _ in range(1000):
        x_hat = u + b - (u + b).mean()
        path.append(b)
        losses.append(((x_hat - t) ** 2).mean())
        b -= 0.1 * (x_hat - t).mean()
    return bool(np.allclose(np.diff(path), 0.1 * t.mean()) and np.ptp(losses) < 1e-9)


def a_bias_is_subtracted_with_the_mean():
    """E[u + b] = E[u] + b, so that b is not in the centered output."""
    u = np.random.default_rng(0).normal(3, 2, 60)
    return bool(np.allclose(u + 7 - (u + 7).mean(), u - u.mean()))


def standardized_pixels_are_correlated():
    """Mean 0 and standard deviation 1 in each, and a correlation above 0.9 in some pair."""
    d = _inked_pixels()
    sigma = _covariance(d / d.std(axis=0))
    apart = sigma - np.eye(len(sigma))
    return bool(np.allclose(np.diag(sigma), 1) and np.abs(apart).max() > 0.9)


def pca_is_not_zca():
    """Both whiten; only after ZCA is each pixel correlated with itself by more than 0.65."""
    d = _inked_pixels()
    sigma = _covariance(d)
    own = {}
    for matrix in (pca_matrix, zca_matrix):
        w = matrix(sigma)
        if residual(w, sigma) > 1e-9:
            return False
        pairs = zip(d.T, (d @ w.T).T, strict=True)
        own[matrix] = np.abs([np.corrcoef(a, b)[0, 1] for a, b in pairs])
    return bool(own[pca_matrix].max() < 0.65 < own[zca_matrix].min())


def pca_swaps_axes():
    """One example among 200 batches of 60: PCA scatters it over half its length, ZCA hardly."""
    rng = np.random.default_rng(0)
    turn = np.array([[3**0.5, -1], [1, 3**0.5]]) / 2
    scatter = {pca_matrix: [], zca_matrix: []}
    for _ in range(200):
        batch = rng.normal(0, 1, (60, 2)) * np.sqrt([1.2, 1]) @ turn.T
        for matrix, places in scatter.items():
            places.append(matrix(np.cov(batch, rowvar=False, ddof=0)) @ [1.5, 0.5])
    pca, zca = (np.sqrt(np.var(places, axis=0).sum() / 2.5) for places in scatter.values())
    return bool(pca > 0.4 and zca < 0.2)


def a_small_batch_is_singular_and_forgets():
    """32 digits span 31 directions; whitened in these, all pairs are at the distance 8."""
    x = digits(dtype="float64").x_train[:32]
    a, s, vt = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    rank = int((s > 1e-10 * s[0]).sum())
    z = 32**0.5 * a[:, :rank] @ vt[:rank]
    gaps = np.linalg.norm(z[:, None] - z, axis=2)[np.triu_indices(32, 1)]
    return rank == 31 and bool(np.allclose(gaps, 8))


def five_steps_whiten_partly_and_many_diverge():
    """As published, in float64, at a condition number of 1000; the coupled form does whiten."""
    sigma = _ill_conditioned()
    five, many = residual(newton_schulz(sigma, 5), sigma), residual(newton_schulz(sigma, 18), sigma)
    return bool(
        five > 0.7 and many > 1e6 and residual(coupled_newton_schulz(sigma, 18), sigma) < 1e-9
    )

"""Live checks of what is said about the geometry of the gradient: evidence for ``book/claims.yml``.

Each function measures, in a second or two, and returns whether the verdict of the chapter *What
does the gradient throw away?* holds.
"""

import numpy as np

from bncourse import functional as F
from bncourse.data import digits
from bncourse.experiments import geometry
from bncourse.gradcheck import complex_step


def _measured(x, eps):
    """``s`` times the Jacobian of batch norm for one feature, measured and not by formula."""

    def batch_norm(x):
        d = x - x.mean()
        return d / np.sqrt((d * d).mean() + eps)

    s = np.sqrt(x.var() + eps)
    return s * np.stack([complex_step(batch_norm, x, row) for row in np.eye(len(x))])


def a_projection_without_eps_only():
    """At eps = 0, P P = P; with eps, one eigenvalue is eps / (var + eps)."""
    x = np.random.default_rng(0).normal(1, 1, 8)
    p, q = _measured(x, 0.0), _measured(x, 0.5)
    found = np.sort(np.linalg.eigvalsh((q + q.T) / 2))
    expected = np.sort([0, 0.5 / (x.var() + 0.5)] + 6 * [1])
    apart = np.abs(q @ q - q).max()
    return bool(np.allclose(p @ p, p) and apart > 0.01 and np.allclose(found, expected))


def a_rank_that_is_worth_one_less():
    """With eps = 1e-5 the rank is m - 1 in floating point; the trace is m - 2, nearly."""
    p = _measured(np.random.default_rng(0).normal(1, 1, 8), 1e-5)
    return bool(np.linalg.matrix_rank(p) == 7 and abs(np.trace(p) - 6) < 1e-4)


def a_pair_is_not_always_plus_and_minus_one():
    """It is so for a gap of 1, and not for one of the size of sqrt(eps)."""
    far, near = (F.batch_norm_forward(np.array([[0.0], [gap]]))[0] for gap in (1, 0.001))
    half = 0.0005
    expected = half / np.sqrt(half**2 + 1e-5)
    return bool(np.allclose(far[:, 0], (-1, 1), atol=1e-4) and np.isclose(near[1, 0], expected))


def a_pair_teaches_nothing_unless_it_nearly_coincides():
    """Of 1 coming back along x_hat, less than 1e-4 goes on for a gap of 1, over 300 for 0.001."""
    up, on = np.array([[-1.0], [1.0]]), []
    for gap in (1, 0.001):
        _, cache = F.batch_norm_forward(np.array([[0.0], [gap]]))
        on.append(F.batch_norm_backward(up, cache)[0][1, 0])
    return bool(on[0] < 1e-4 and on[1] > 300)


def what_is_thrown_away_goes_to_gamma_and_beta():
    """The squared length that is missing is theirs: an equality, with eps in it."""
    rng, eps, m = np.random.default_rng(0), 0.5, 12
    x, dy = rng.normal(1, 2, (m, 200)), rng.normal(1, 1, (m, 200))
    _, cache = F.batch_norm_forward(x, np.full(200, 3.0), np.zeros(200), eps)
    dx, dgamma, dbeta = F.batch_norm_backward(dy, cache)
    r = cache.inv_std[0]
    rest = dbeta**2 / m + (1 + eps * r**2) * dgamma**2 / m
    return bool(np.allclose((dx**2).sum(axis=0), (3 * r) ** 2 * ((dy**2).sum(axis=0) - rest)))


def the_bound_of_theorem_4_1_is_an_equality():
    """With eps neglected, and 1/m before both squares."""
    rng, m = np.random.default_rng(0), 12
    x, dy = rng.normal(1, 2, (m, 200)), rng.normal(1, 1, (m, 200))
    _, cache = F.batch_norm_forward(x, eps=1e-14)
    dx, _, _ = F.batch_norm_backward(dy, cache)
    x_hat, r = cache.x_hat, cache.inv_std[0]
    bound = (dy**2).sum(axis=0) - (dy.sum(axis=0) ** 2 + (dy * x_hat).sum(axis=0) ** 2) / m
    return bool(np.allclose((dx**2).sum(axis=0), r**2 * bound, rtol=1e-10))


def a_scale_of_the_weights_does_not_matter_if_eps_follows():
    """a > 0: same y, and gradient / a, if eps becomes a**2 eps; a < 0 turns x_hat over."""
    rng = np.random.default_rng(0)
    inputs, w, dy = rng.normal(0, 1, (60, 5)), rng.normal(0, 1, (5, 1)), rng.normal(0, 1, (60, 1))

    def layer(w, eps):
        y, cache = F.batch_norm_forward(inputs @ w, eps=eps)
        return y, inputs.T @ F.batch_norm_backward(dy, cache)[0]

    y, dw = layer(w, 0.5)
    wide, dwide = layer(10 * w, 50.0)
    turned, _ = layer(-w, 0.5)
    same_eps, _ = layer(10 * w, 0.5)
    return bool(
        np.allclose(wide, y)
        and np.allclose(dwide, dw / 10)
        and np.allclose(turned, -y)
        and np.abs(same_eps - y).max() > 0.01
    )


def weights_grow_by_pythagoras_unless_eps_is_large():
    """Plain SGD on digits, three seeds: no unit gets shorter, but with eps = 0.1 many do."""
    data = digits(dtype="float64")
    for seed in range(3):
        usual = geometry.run(data, steps=100, seed=seed)
        large = geometry.run(data, steps=100, seed=seed, eps=0.1)
        if (np.diff(usual.growth, axis=0) <= 0).any():
            return False
        if not np.allclose(usual.growth[-1], usual.squares[-1], rtol=0.001):
            return False
        if (np.diff(large.growth, axis=0) < 0).mean() < 0.05:
            return False
    return True

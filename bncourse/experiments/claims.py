"""Live checks of what is said about batch normalization: evidence for ``book/claims.yml``.

Each function measures, in seconds, and returns whether the course's verdict holds.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from bncourse import functional as F
from bncourse.data import digits
from bncourse.exercises import backward
from bncourse.experiments import two_nets, wrong_gradients
from bncourse.gradcheck import relative_error


def _problem(seed=0, n=16, d=3):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(2, 3, (n, d)), rng.normal(1, 1, (n, d))
    return dy, x, rng.uniform(0.5, 2, d), rng.normal(0, 1, d), 1e-5


def gamma_and_beta_give_the_input_back():
    """With the spread for gamma and the mean for beta, the transform is the identity."""
    _, x, _, _, eps = _problem()
    y, _ = F.batch_norm_forward(x, np.sqrt(x.var(axis=0) + eps), x.mean(axis=0), eps)
    return bool(np.allclose(x, y, atol=1e-12))


def paths_through_the_statistics_matter():
    """Right, the sums of dx are 0; with the statistics taken for constants, they are not."""
    dy, x, gamma, beta, eps = _problem()
    y, cache = F.batch_norm_forward(x, gamma, beta, eps)
    right = F.batch_norm_backward(dy, cache)[0]
    constant = gamma / np.sqrt(x.var(axis=0) + eps) * dy
    return bool(np.abs(right.sum(axis=0)).max() < 1e-12 < 1 < np.abs(constant.sum(axis=0)).max())


def the_second_term_is_zero():
    """The sum of the deviations from the mean, which the paper's equation for dmean holds."""
    _, x, *_ = _problem()
    return bool(np.abs((-2 * (x - x.mean(axis=0))).mean(axis=0)).max() < 1e-14)


def wrong_gradients_learn():
    """Five seeds each, without one path or two: the loss falls below a tenth of its start."""
    data = digits(dtype="float64")
    for paths in ((1, 0), (0, 0)):
        for seed in range(5):
            loss = wrong_gradients.run(data, *paths, seed=seed).loss
            if not loss[-40:].mean() < 0.1 * loss[0]:
                return False
    return True


def a_sum_is_blind():
    """For a sum as the loss, the right gradient is 0, and so is one that lacks a path."""
    _, x, gamma, beta, eps = _problem()
    ones = np.ones_like(x)
    right = backward.reference(ones, x, gamma, beta, eps)[0]
    no_variance_path = next(
        m.wrong for m in backward.mistakes if m.name == "the path through the variance is missing"
    )
    wrong = no_variance_path(ones, x, gamma, beta, eps)[0]
    seen = relative_error(no_variance_path(*_problem())[0], backward.reference(*_problem())[0])
    return bool(np.abs(right).max() < 1e-12 and np.abs(wrong).max() < 1e-12 and seen > 0.1)


def the_gap_depends_on_the_baseline():
    """On the digits, after 400 steps: over 50 points for one choice of both, under 5 for one."""
    data = digits()

    def gap(std, lr, seed):
        last = [
            two_nets.run(
                two_nets.Config(norm, std, lr, steps=400, every=100, seed=seed), data
            ).accuracy[-1]
            for norm in (True, False)
        ]
        return last[0] - last[1]

    with threadpool_limits(1):  # small matrices: threads would wait for one another
        return all(gap(0.01, 0.1, seed) > 0.5 and gap(0.4, 1.0, seed) < 0.05 for seed in (0, 1))

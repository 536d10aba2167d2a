"""What is timed does what it says; how long it takes is not tested."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.experiments import whitening_cost
from bncourse.experiments.whitening_cost import run, seconds, standardized, whitened
from bncourse.experiments.whitening_matrices import pca_matrix, zca_matrix

X = np.random.default_rng(0).normal(2, 3, (40, 5)) @ np.triu(np.ones((5, 5)))


def test_standardizing_is_batch_norm():
    assert np.allclose(standardized(X), F.batch_norm_forward(X, eps=1e-12)[0])


@pytest.mark.parametrize("matrix", [pca_matrix, zca_matrix])
def test_what_is_whitened_has_the_identity_for_covariance(matrix):
    assert np.allclose(np.cov(whitened(X, matrix), rowvar=False, ddof=0), np.eye(5))


def test_a_longer_job_takes_longer():
    assert seconds(sum, range(200)) < seconds(sum, range(20_000)) < 1


def test_a_run_has_a_time_for_each_number_of_features(monkeypatch):
    monkeypatch.setattr(whitening_cost, "REPEATS", 1)
    times = run({"m": 64, "features": [4, 8], "steps": 5}, 0)
    assert times.pop("features") == [4, 8]
    assert set(times) == {"standardized", "whitened", "iterated"}
    assert all(len(t) == 2 and min(t) > 0 for t in times.values())

"""Matrices that whiten, and the iteration that may leave them."""

import numpy as np
import pytest

from bncourse.experiments.whitening_matrices import (
    coupled_newton_schulz,
    newton_schulz,
    pca_matrix,
    residual,
    zca_matrix,
)


def covariance(condition, features=16, seed=0):
    """With eigenvalues evenly spaced on a logarithmic scale, down from 1."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(features, features)))
    return (q * np.geomspace(1, 1 / condition, features)) @ q.T


SIGMA = covariance(50)


@pytest.mark.parametrize("matrix", [pca_matrix, zca_matrix])
def test_they_whiten(matrix):
    assert residual(matrix(SIGMA), SIGMA) < 1e-12
    w = matrix(SIGMA, eps=0.1)
    assert residual(w, SIGMA + 0.1 * np.eye(16)) < 1e-12


def test_zca_is_symmetric_and_pca_has_its_components_in_order():
    w = zca_matrix(SIGMA)
    assert np.allclose(w, w.T) and np.linalg.eigvalsh(w)[0] > 0
    w = pca_matrix(SIGMA)
    lengths = np.linalg.norm(w, axis=1)  # one over the root of the eigenvalue
    assert np.allclose(lengths, np.geomspace(1, 50, 16) ** 0.5)
    assert (w[np.arange(16), np.abs(w).argmax(axis=1)] > 0).all()


def test_a_singular_covariance_is_refused_unless_there_is_an_eps():
    flat = np.diag([1.0, 0.0])
    for matrix in (pca_matrix, zca_matrix):
        with pytest.raises(ValueError, match=r"sigma must have eigenvalues .* larger eps"):
            matrix(flat - 1e-9 * np.eye(2))
        assert np.isfinite(matrix(flat, 1e-3)).all()


@pytest.mark.parametrize("matrix", [pca_matrix, zca_matrix, newton_schulz, coupled_newton_schulz])
def test_what_is_not_square_is_refused(matrix):
    with pytest.raises(ValueError, match=r"sigma must be a square matrix, not of shape \(2, 3\)"):
        matrix(np.ones((2, 3)))


@pytest.mark.parametrize("iteration", [newton_schulz, coupled_newton_schulz])
def test_the_iteration_comes_to_zca_and_its_steps_are_those_of_the_eigenvalues(iteration):
    assert np.allclose(iteration(covariance(2), 12), zca_matrix(covariance(2)), atol=1e-6)
    sigma = np.diag([6.0, 3.0, 1.0])
    assert np.allclose(iteration(sigma, 0), np.eye(3) / 10**0.5)
    q = np.array([0.6, 0.3, 0.1]) ** 0.5
    for _ in range(3):
        q = q * (3 - q**2) / 2
    assert np.allclose(np.diag(iteration(sigma, 3)), q / np.array([6, 3, 1]) ** 0.5)
    assert iteration(sigma.astype("float32"), 3).dtype == np.float32
    with pytest.raises(ValueError, match="sigma must have a positive trace, not 0"):
        iteration(np.zeros((2, 2)))


def test_only_the_coupled_form_keeps_rounding_small():
    sigma = covariance(1e3, features=64)
    plain = [residual(newton_schulz(sigma, steps), sigma) for steps in (5, 13, 20)]
    assert plain[1] < 0.02 < plain[0] < 1e6 < plain[2]
    for steps in (20, 100):
        assert residual(coupled_newton_schulz(sigma, steps), sigma) < 1e-11

"""The live evidence of the chapter on whitening holds, and can fail."""

import inspect

import numpy as np
import pytest

from bncourse.experiments import whitening_claims
from bncourse.experiments.whitening_matrices import coupled_newton_schulz, zca_matrix

CHECKS = [
    f
    for name, f in inspect.getmembers(whitening_claims, inspect.isfunction)
    if f.__module__ == whitening_claims.__name__ and not name.startswith("_")
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_holds(check):
    assert check() is True


@pytest.mark.parametrize(
    ("check", "name", "instead"),
    [
        ("pca_is_not_zca", "pca_matrix", zca_matrix),
        ("pca_swaps_axes", "pca_matrix", lambda sigma: zca_matrix(sigma) * 1.0),
        (
            "five_steps_whiten_partly_and_many_diverge",
            "newton_schulz",
            coupled_newton_schulz,
        ),
    ],
)
def test_it_fails_where_the_claim_is_not_true(check, name, instead, monkeypatch):
    monkeypatch.setattr(whitening_claims, name, instead)
    assert getattr(whitening_claims, check)() is False


def test_uncorrelated_pixels_would_be_noticed(monkeypatch):
    white = np.random.default_rng(0).normal(0, 1, (500, 4))
    monkeypatch.setattr(whitening_claims, "_inked_pixels", lambda: white - white.mean(axis=0))
    assert not whitening_claims.standardized_pixels_are_correlated()

"""The live evidence of the chapter on geometry holds, and can fail."""

import inspect

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.experiments import geometry, geometry_claims

CHECKS = [
    f
    for name, f in inspect.getmembers(geometry_claims, inspect.isfunction)
    if f.__module__ == geometry_claims.__name__ and not name.startswith("_")
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_holds(check):
    assert check() is True


def statistics_as_constants(dy, cache):
    gamma = 1.0 if cache.gamma is None else cache.gamma
    return gamma * cache.inv_std * dy, (dy * cache.x_hat).sum(axis=0), dy.sum(axis=0)


def without_eps(x, gamma=None, beta=None, eps=1e-5):
    return forward(x, gamma, beta, 1e-30)


forward = F.batch_norm_forward


@pytest.mark.parametrize(
    "name",
    [
        "a_pair_teaches_nothing_unless_it_nearly_coincides",
        "what_is_thrown_away_goes_to_gamma_and_beta",
        "the_bound_of_theorem_4_1_is_an_equality",
    ],
)
def test_it_fails_with_a_wrong_gradient(name, monkeypatch):
    monkeypatch.setattr(F, "batch_norm_backward", statistics_as_constants)
    assert getattr(geometry_claims, name)() is False


@pytest.mark.parametrize(
    "name",
    [
        "a_pair_is_not_always_plus_and_minus_one",
        "a_scale_of_the_weights_does_not_matter_if_eps_follows",
    ],
)
def test_it_fails_where_eps_has_no_effect(name, monkeypatch):
    monkeypatch.setattr(F, "batch_norm_forward", without_eps)
    assert getattr(geometry_claims, name)() is False


@pytest.mark.parametrize("name", ["a_projection_without_eps_only", "a_rank_that_is_worth_one_less"])
def test_it_fails_for_centering_alone(name, monkeypatch):
    monkeypatch.setattr(geometry_claims, "_measured", lambda x, eps: np.eye(8) - 1 / 8)
    assert getattr(geometry_claims, name)() is False


@pytest.mark.parametrize("change", [{"norm": False}, {"eps": 1e-5}, {"eps": 0.1}])
def test_it_fails_for_other_networks(change, monkeypatch):
    run = geometry.run
    monkeypatch.setattr(geometry, "run", lambda data, **options: run(data, **(options | change)))
    assert geometry_claims.weights_grow_by_pythagoras_unless_eps_is_large() is False

"""The live evidence of the chapter on inference holds, and can fail."""

import copy
import inspect

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from bncourse import nn
from bncourse.experiments import inference_claims

CHECKS = [
    f
    for name, f in inspect.getmembers(inference_claims, inspect.isfunction)
    if f.__module__ == inference_claims.__name__ and not name.startswith("_")
]


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_holds(check):
    assert check() is True


def stays_in_training(net):
    return net.train()


def all_alike(m):
    return np.ones(3**m)


def depends_on_company():
    net = nn.Sequential(nn.ReLU())
    net.forward = lambda x: (x - x.mean(axis=0), None)
    return net


def with_noise(net, batches):
    """Not precise: batches of four in training mode."""
    for layer in net.train().layers:
        layer.momentum = None
    (x,) = batches
    for k in range(0, len(x) - 3, 4):
        net.forward(x[k : k + 4])
    return net


def slightly_off(net):
    net = copy.deepcopy(net)
    net.layers[1].running_mean += 1e-6
    return net


@pytest.mark.parametrize(
    ("check", "owner", "name", "instead"),
    [
        ("company_matters_in_training_mode_alone", nn.Sequential, "eval", stays_in_training),
        ("one_image_is_read_as_in_company", inference_claims, "_trained", depends_on_company),
        ("the_factor_is_right_on_average", inference_claims, "_all_variances", all_alike),
        ("averaged_deviations_are_too_small", inference_claims, "_all_variances", all_alike),
        ("noise_enters_the_variances_above", nn, "precise", with_noise),
        ("folding_is_exact_but_for_rounding", nn, "fold", slightly_off),
    ],
)
def test_it_fails_where_the_claim_is_not_true(check, owner, name, instead, monkeypatch):
    monkeypatch.setattr(owner, name, instead)
    assert getattr(inference_claims, check)() is False

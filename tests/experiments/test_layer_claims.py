"""The live evidence of the chapter on the layer holds, and can fail."""

import inspect

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import nn
from bncourse.experiments import layer_claims

CHECKS = [
    f
    for name, f in inspect.getmembers(layer_claims, inspect.isfunction)
    if f.__module__ == layer_claims.__name__ and not name.startswith("_")
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_holds(check):
    assert check() is True


class Constant(nn.BatchNorm):
    """Takes its statistics for constants on the way back."""

    def backward(self, dy, cache):
        return dy * cache.inv_std


class Forgets(nn.BatchNorm):
    def _track(self, moments):
        pass


def through_the_batch(x, *rest):
    return F.batch_norm_forward(x)


@pytest.mark.parametrize(
    ("check", "name", "instead"),
    [
        ("a_bias_before_it_does_nothing_in_training", "BatchNorm", Constant),
        ("looking_alone_changes_evaluation", "BatchNorm", Forgets),
        ("the_useless_bias_moves_all_the_same", "BatchNorm", Constant),
    ],
)
def test_it_fails_where_the_layer_is_another(check, name, instead, monkeypatch):
    monkeypatch.setattr(layer_claims.nn, name, instead)
    assert getattr(layer_claims, check)() is False


def test_a_norm_that_is_not_frozen_would_be_noticed(monkeypatch):
    monkeypatch.setattr(F, "batch_norm_inference_forward", through_the_batch)
    monkeypatch.setattr(F, "batch_norm_inference_backward", F.batch_norm_backward)
    assert layer_claims.a_frozen_norm_has_use_for_the_bias() is False


def test_a_norm_on_the_other_side_would_be_noticed(monkeypatch):
    def swapped(order, *rest):
        return block({"before": "after", "after": "before"}[order], *rest)

    block = layer_claims.block
    monkeypatch.setattr(layer_claims, "block", swapped)
    with np.errstate(all="ignore"):
        assert layer_claims.what_each_order_does_not_notice() is False

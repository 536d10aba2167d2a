"""The live evidence of the chapter on convolution holds, and can fail."""

import inspect

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.experiments import convolution_claims

CHECKS = [
    f
    for name, f in inspect.getmembers(convolution_claims, inspect.isfunction)
    if f.__module__ == convolution_claims.__name__ and not name.startswith("_")
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_holds(check):
    assert check() is True


def test_rows_of_mixed_channels_would_be_noticed(monkeypatch):
    mixed = lambda maps: maps.reshape(-1, maps.shape[1])  # noqa: E731
    monkeypatch.setattr(convolution_claims, "_rows", mixed)
    assert convolution_claims.maps_are_tables() is False


def test_statistics_that_do_not_depend_on_the_axis_would_be_noticed(monkeypatch):
    class ByMap:
        batch_norm_forward = staticmethod(lambda x, axis: F.batch_norm_forward(x))

    monkeypatch.setattr(convolution_claims, "F", ByMap)
    assert convolution_claims.only_statistics_of_maps_move_along() is False


def test_images_of_independent_values_would_be_noticed(monkeypatch):
    monkeypatch.setattr(convolution_claims, "worth", lambda maps: np.full(2, 64.0))
    assert convolution_claims.an_image_is_worth_less_or_more_than_its_positions() is False


def test_a_convolution_without_a_frame_would_be_noticed(monkeypatch):
    class NoFrame:
        batch_norm_inference_forward = staticmethod(F.batch_norm_inference_forward)
        conv_forward = staticmethod(lambda x, w, b=None, padding=0: F.conv_forward(x, w, b))

    monkeypatch.setattr(convolution_claims, "F", NoFrame)
    assert convolution_claims.folding_ahead_is_wrong_at_the_frame() is False

"""How much noise is amplified, and that the claim's check can fail."""

import numpy as np
import pytest

from bncourse.experiments import depth_claims
from bncourse.experiments.depth_claims import noise_amplified, only_batch_norm_amplifies


def test_a_plain_net_treats_noise_as_it_treats_the_signal():
    values = [noise_amplified(False, gain, depth=6, width=400) for gain in (1, 2, 4)]
    np.testing.assert_allclose(values, values[0], rtol=1e-5)
    assert 0.7 < values[0] < 1.4


def test_with_batch_norm_it_grows_by_a_fifth_a_layer():
    small, large = (noise_amplified(True, depth=depth, width=200) for depth in (5, 15))
    assert (large / small) ** (1 / 10) == pytest.approx(1.21, abs=0.05)


def test_the_check_can_fail(monkeypatch):
    assert only_batch_norm_amplifies()
    monkeypatch.setattr(depth_claims, "noise_amplified", lambda norm, gain: 3.0)
    assert not only_batch_norm_amplifies()

"""Inputs on which mistakes come apart, whatever the seed."""

import numpy as np
import pytest

from bncourse.exercises import backward, backward_inference, forward, forward_images
from bncourse.exercises.inputs import columns, scales


@pytest.mark.parametrize("seed", range(20))
def test_the_first_column_varies_less_than_the_large_eps(seed):
    x = columns(np.random.default_rng(seed), 6, 4)
    assert np.isclose(x[:, 0].var(), 0.09)
    assert np.all(x[:, 1:].std(axis=0) >= 0.5)


@pytest.mark.parametrize("exercise", [forward, forward_images, backward, backward_inference])
def test_gammas_have_both_signs_and_are_never_near_zero(exercise):
    place = exercise.arguments.index("gamma")
    for seed in range(20):
        for case in exercise.inputs(np.random.default_rng(seed)):
            gamma = case[place]
            assert gamma.min() < 0 < gamma.max()
            assert np.abs(gamma).min() >= 0.5


def test_either_sign_can_come_first():
    firsts = {np.sign(scales(np.random.default_rng(seed), 3)[0]) for seed in range(20)}
    assert firsts == {-1.0, 1.0}

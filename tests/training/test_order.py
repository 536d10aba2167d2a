"""Where a run stands in the order of its examples; the order itself: tests/test_training.py."""

import numpy as np
import pytest

from bncourse.training.order import Batches


def test_the_order_is_that_of_the_generator():
    """Stored results depend on these very draws."""
    rng = np.random.default_rng(3)
    expected = [rng.permutation(7) for _ in range(2)]
    order = Batches(7, 3, 3)
    for epoch in expected:
        for start in (0, 3):
            assert np.array_equal(next(order), epoch[start : start + 3])


KINDS = ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("drawn", [0, 1, 2, 3, 5])
def test_an_order_goes_on_where_it_was(kind, drawn):
    def generator(seed):
        return np.random.Generator(getattr(np.random, kind)(seed))

    order = Batches(8, 3, generator(1))
    for _ in range(drawn):
        next(order)
    other = Batches(8, 3, generator(2))
    next(other)
    other.load_state_dict(order.state_dict())
    for _ in range(7):
        assert np.array_equal(next(order), next(other))


def test_a_generator_that_others_draw_from_goes_on_too():
    rng, again = np.random.default_rng(1), np.random.default_rng(2)
    order, other = Batches(8, 2, rng), Batches(8, 2, again)
    next(order)
    rng.random(5)
    other.load_state_dict(order.state_dict())
    assert rng.random() == again.random()
    for _ in range(9):
        assert np.array_equal(next(order), next(other))


def test_another_kind_of_generator_is_told_and_nothing_changes():
    order = Batches(8, 2, np.random.Generator(np.random.Philox(1)))
    state = Batches(8, 2, 0).state_dict()
    with pytest.raises(ValueError, match="the state is of a PCG64, but rng is a Philox"):
        order.load_state_dict(state)
    same = Batches(8, 2, np.random.Generator(np.random.Philox(1)))
    assert np.array_equal(next(order), next(same))

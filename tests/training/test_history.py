import json
import math

import numpy as np
import pytest

from bncourse.training.history import History, check_record


def restored(history):
    other = History()
    other.add(7, "to be forgotten")
    other.load_state_dict(history.state_dict())
    return other


def test_a_history_is_the_list_of_its_records():
    history = History()
    assert history == [] and history.done == 0 and history.losses.shape == (0,)
    history.add(0, 0.1)
    history.add_loss(2.5)
    history.add(1, 0.7)
    assert history == [0.1, 0.7] and history.steps == [0, 1]
    assert history.losses.tolist() == [2.5] and history.losses.dtype == "float64"
    assert history.done == 1


def test_losses_come_back_to_the_bit():
    history = History()
    for loss in (0.1, 1 / 3, 5e-324, math.inf, math.nan):
        history.add_loss(loss)
    assert restored(history).losses.tobytes() == history.losses.tobytes()


@pytest.mark.parametrize(
    "record",
    [
        None,
        True,
        3,
        10**30,
        1 / 3,
        "Zürich",
        (),
        [1, (2, [3.0, ()])],
        {"accuracy": 0.5, "tuple": (1,), "": None},
        {},
    ],
)
def test_records_come_back_as_they_were(record):
    history = History()
    history.add(0, record)
    (found,) = restored(history)
    assert repr(found) == repr(record)


@pytest.mark.parametrize(
    "record",
    [
        np.arange(6, dtype="float32").reshape(2, 3).T,
        np.zeros((0, 3)),
        np.array(3, "uint8"),
        np.float64(0.1),
        np.float16(0.1),
        np.bool_(True),
        np.array([math.nan, -0.0]),
    ],
)
def test_arrays_and_their_scalars_come_back_with_dtype_and_bits(record):
    history = History()
    for step in range(2):
        history.add(step, (step, record))
    for step, (number, found) in enumerate(restored(history)):
        assert number == step and type(found) is type(record) and found.dtype == record.dtype
        assert found.shape == record.shape and found.tobytes() == record.tobytes()


def test_infinite_and_missing_numbers_come_back():
    history = History()
    history.add(0, [math.inf, -math.inf, math.nan])
    first, second, third = restored(history)[0]
    assert (first, second) == (math.inf, -math.inf) and math.isnan(third)


def test_what_is_restored_goes_on():
    history = History()
    history.add_loss(1.0)
    history = restored(history)
    history.add_loss(0.5)
    history.add(2, "end")
    assert history.losses.tolist() == [1, 0.5] and (history.steps, history) == ([2], ["end"])


@pytest.mark.parametrize(
    "record",
    [
        object(),
        {1: 2},
        {1, 2},
        1j,
        np.array([1j]),
        np.array(["a"]),
        np.zeros(2, np.longdouble),
        np.ma.masked_array([1.0]),
        [0, (json,)],
    ],
)
def test_a_record_that_would_not_come_back_is_told(record):
    with pytest.raises(TypeError, match="what record returns is saved in the checkpoint"):
        check_record(record)

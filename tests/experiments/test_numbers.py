"""Series survive JSON: their numbers, kinds and shapes, and what is no number."""

import json

import numpy as np
import pytest

from bncourse.experiments.numbers import dumps, to_arrays, to_json


def there_and_back(series):
    return to_arrays(json.loads(dumps(to_json(series))))


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6).reshape(2, 3),
        np.array([True, False]),
        np.float32([0.5, 3.25e-7, 1e30]),
        [1.0, 2.0],
        [float("nan"), float("inf"), -float("inf"), 1.5],
        [[float("nan")], [float("nan")]],
        3,
        2.5,
        float("inf"),
        np.uint8(7),
        [],
    ],
)
def test_numbers_come_back(values):
    found = there_and_back({"x": values})["x"]
    wanted = np.asarray(values)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    same = {"b": "b", "i": "i", "u": "i", "f": "f"}
    assert found.dtype.kind == same[wanted.dtype.kind]


def test_six_digits_are_kept():
    assert to_json({"x": [1 / 3, 123456789.0, 1e-300 / 3]})["x"] == [
        0.333333,
        123457000.0,
        3.33333e-301,
    ]


def test_the_text_is_strict_json():
    text = dumps(to_json({"x": [float("nan"), float("inf")]}))
    assert text == '{"x": ["nan", "inf"]}'
    with pytest.raises(ValueError):
        dumps({"x": float("nan")})


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([1, 2], r"an experiment must return a dict of series, not \[1, 2\]"),
        ({3: [1]}, "an experiment must return a dict of series"),
        ({"x": "text"}, "the series 'x' must hold real numbers, not 'text'"),
        ({"x": [1j]}, "the series 'x' must hold real numbers"),
        ({"x": None}, "the series 'x' must hold real numbers, not None"),
        ({"x": [[1], [1, 2]]}, "the series 'x' must hold real numbers"),
        ({"x": ["a"] * 100}, r"the series 'x' must hold real numbers, not .*\.\.\.$"),
    ],
)
def test_what_is_no_series_of_numbers_is_told(series, message):
    with pytest.raises(TypeError, match=message):
        to_json(series)

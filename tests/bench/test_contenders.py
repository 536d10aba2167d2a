"""Those that are raced compute the same."""

import numpy as np
import pytest

from bncourse.bench.contenders import arrays, contenders


@pytest.mark.parametrize("shape, axis", [((300, 20), 1), ((8, 7, 9, 9), 1), ((8, 9, 9, 7), -1)])
def test_all_come_to_the_same_result(shape, axis):
    found = contenders(arrays(shape, axis), 1)
    assert {"textbook", "NumPy"} <= set(found)
    results, rectified = {}, {}
    for name, contender in found.items():
        with contender.around():
            contender.both()
            if contender.result:
                given = contender.forward()
                results[name] = contender.result(given, contender.backward(given))
            if contender.rectified:
                rectified[name] = contender.result(*contender.rectified())
    for name, result in results.items():
        agree(result, results["textbook"], shape, name)
    for name, result in rectified.items():
        assert result[0].min() == 0
        agree(result, rectified["NumPy"], shape, name)


def agree(result, expected, shape, name):
    for a, b in zip(result, expected, strict=True):
        assert a.shape == shape
        np.testing.assert_allclose(a, b, atol=2e-5, err_msg=name)

import array_api_strict as strict
import numpy as np
import pytest
import reference

from bncourse import functional as F
from bncourse.gradcheck import central_difference, complex_step, relative_error

forward, backward = F.softmax_cross_entropy_forward, F.softmax_cross_entropy_backward


@pytest.mark.parametrize("m, classes", [(7, 5), (1, 3), (2, 1), (13, 2)])
def test_loss_and_gradient_everywhere(home, rng, m, classes):
    place, dtype = home
    logits = rng.standard_normal((m, classes)).astype(dtype)
    labels = rng.integers(classes, size=m)
    loss, cache = forward(place.put(logits), place.put(labels))
    z = logits.astype("float64")
    gradient = complex_step(lambda v: reference.analytic_cross_entropy(v, labels), z)
    for found, wanted in (
        (loss, reference.analytic_cross_entropy(z, labels)),
        (backward(cache), gradient),
    ):
        found = place.get(np.asarray(found) if place.xp is np else found)
        assert str(found.dtype) == dtype and found.shape == np.shape(wanted)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=5 * place.accurate(dtype))


def test_gradient_agrees_with_numerical_ones(rng):
    logits, labels = 3 * rng.standard_normal((7, 5)), rng.integers(5, size=7)
    found = backward(forward(logits, labels)[1])
    exact = complex_step(lambda v: reference.analytic_cross_entropy(v, labels), logits)
    assert relative_error(found, exact) < 1e-12
    assert relative_error(found, central_difference(lambda v: forward(v, labels)[0], logits)) < 1e-8
    assert np.max(np.abs(found.sum(axis=1))) < 1e-16


@pytest.mark.parametrize("shift", [-1e4, 1e4, 3e38])
def test_large_scores_do_not_overflow(place, rng, shift):
    logits = (rng.standard_normal((7, 5)) * 10 + shift).astype("float32")
    loss, cache = forward(place.put(logits), place.put(np.zeros(7, int)))
    assert np.isfinite(place.get(backward(cache))).all() and np.isfinite(float(loss))


def test_a_hopeless_class_costs_only_who_belongs_to_it():
    logits = np.array([[0.0, -np.inf], [0.0, 0.0]])
    assert np.isclose(forward(logits, np.array([0, 1]))[0], np.log(2) / 2)
    with np.errstate(all="ignore"):
        assert forward(logits, np.array([1, 1]))[0] == np.inf


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "uint64"])
def test_labels_of_any_integer_type_with_many_classes(rng, dtype):
    logits, labels = rng.standard_normal((7, 300)), np.array([0, 1, 127, 5, 6, 2, 99], dtype)
    found = forward(logits, labels)[0]
    assert np.isclose(found, reference.analytic_cross_entropy(logits, labels), rtol=1e-14)


def test_an_empty_batch_costs_nothing(home):
    place, dtype = home
    loss, cache = forward(place.put(np.ones((0, 3)), dtype), place.put(np.ones(0, int)))
    assert float(loss) == 0
    assert place.get(backward(cache)).shape == (0, 3)


def test_nothing_is_changed(rng):
    logits, labels = rng.standard_normal((7, 5)), rng.integers(5, size=7)
    before = logits.copy(), labels.copy()
    backward(forward(logits, labels)[1])
    assert np.array_equal(logits, before[0]) and np.array_equal(labels, before[1])


Z, T = np.zeros((3, 2)), np.array([0, 1, 0])
BAD = [
    (None, T, TypeError, "logits must be an array, not NoneType"),
    (Z.tolist(), T, TypeError, "logits must be an array, not list"),
    (Z.astype(int), T, TypeError, "logits has dtype int64"),
    (Z + 0j, T, TypeError, "logits is complex"),
    (Z, None, TypeError, "labels must be an array, not NoneType"),
    (Z, [0, 1, 0], TypeError, "labels must be an array, not list"),
    (Z, T.astype(float), TypeError, "labels must be integers, not float64"),
    (Z, T > 0, TypeError, "labels must be integers, not bool"),
    (Z, T[:2], ValueError, r"logits have shape \(3, 2\) and labels \(2,\)"),
    (Z, T[:, None], ValueError, r"labels \(3, 1\)"),
    (Z[0], T[:2], ValueError, r"logits have shape \(2,\)"),
    (Z, np.array([0, 1, 2]), ValueError, "labels must lie in 0 to 1"),
    (Z, np.array([0, 1, -1]), ValueError, "labels must lie in 0 to 1"),
    (Z, strict.asarray(T), TypeError, "logits lives in numpy but labels in array_api_strict"),
]


@pytest.mark.parametrize("logits, labels, kind, message", BAD)
def test_bad_input(logits, labels, kind, message):
    with pytest.raises(kind, match=message):
        forward(logits, labels)


@pytest.mark.parametrize("cache", [None, Z, (Z, Z)])
def test_bad_cache(cache):
    with pytest.raises(TypeError, match="cache must be the second value that softmax_cross"):
        backward(cache)

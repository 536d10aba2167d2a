import numpy as np
import pytest

from bncourse.gradcheck import central_difference, complex_step, relative_error

both = pytest.mark.parametrize("f, limit", [(central_difference, 1e-9), (complex_step, 1e-15)])


@both
def test_gradient_of_a_known_function(f, limit, rng):
    x, dy = rng.standard_normal((2, 2, 3))
    assert relative_error(f(np.sin, x, dy), dy * np.cos(x)) < limit
    assert relative_error(f(np.sin, x), np.cos(x)) < limit


@both
def test_every_output_may_depend_on_every_input(f, limit, rng):
    x, a, dy = rng.standard_normal(3), rng.standard_normal((5, 3)), rng.standard_normal(5)
    assert relative_error(f(lambda v: a @ v, x, dy), a.T @ dy) < limit


@both
def test_x_is_not_changed_even_by_f(f, limit):
    x = np.array([1.0, 2.0])

    def rude(v):
        y = v * v
        v[:] = 0
        return y

    np.testing.assert_allclose(f(rude, x), [2, 4], rtol=1e-9)
    assert x.tolist() == [1, 2]


@both
def test_integers_and_scalars_are_taken(f, limit):
    np.testing.assert_allclose(f(lambda v: v**3, np.array([1, 2])), [3, 12], rtol=1e-8)
    np.testing.assert_allclose(f(lambda v: v**3, 2.0), 12, rtol=1e-8)


@both
def test_an_upstream_gradient_of_another_shape_is_told(f, limit):
    with pytest.raises(ValueError, match=r"dy has shape \(3,\), but f\(x\) has \(2, 3\)"):
        f(lambda v: v, np.ones((2, 3)), np.ones(3))


def test_the_step_is_the_one_that_was_asked_for():
    assert np.isclose(central_difference(lambda v: v**3, 0.0, h=0.1), 0.01)
    assert complex_step(lambda v: v**3, 0.0, h=0.1) == pytest.approx(-0.01)

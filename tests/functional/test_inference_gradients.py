"""Gradients at inference: of the input, of the parameters, and of the statistics."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.gradcheck import complex_step, relative_error


@pytest.mark.parametrize(("shape", "axis"), [((5, 3), 1), ((4, 3, 2), 1), ((2, 2, 3), -1)])
def test_all_five_gradients(rng, shape, axis):
    along = [3 if a == axis % len(shape) else 1 for a in range(len(shape))]
    x, dy = rng.normal(1, 2, shape), rng.standard_normal(shape)
    gamma, beta, mean = (rng.standard_normal(3) for _ in range(3))
    var = rng.uniform(0.1, 2, 3)

    def y(x, gamma, beta, mean, var):
        gamma, beta, mean, var = (p.reshape(along) for p in (gamma, beta, mean, var))
        return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta

    arguments = [x, gamma, beta, mean, var]
    _, cache = F.batch_norm_inference_forward(*arguments, axis=axis)
    for k, gradient in enumerate(F.batch_norm_inference_backward(dy, cache)):

        def of_one(z, k=k):
            return y(*(z if i == k else a for i, a in enumerate(arguments)))

        assert gradient.shape == arguments[k].shape
        assert relative_error(gradient, complex_step(of_one, arguments[k], dy)) < 1e-12


def test_gradients_live_where_the_input_does(home, rng):
    place, dtype = home
    x = place.put(rng.standard_normal((4, 3)), dtype)
    p = place.put(np.ones(3), dtype)
    _, cache = F.batch_norm_inference_forward(x, p, p, p, p)
    for gradient in F.batch_norm_inference_backward(x, cache):
        assert place.get(gradient).dtype == dtype


def test_parameters_that_were_not_given_have_no_gradient(rng):
    x = rng.standard_normal((4, 3))
    _, cache = F.batch_norm_inference_forward(x, None, None, [0.0] * 3, [1.0] * 3)
    dx, dgamma, dbeta, dmean, dvar = F.batch_norm_inference_backward(x, cache)
    assert dgamma is None and dbeta is None
    np.testing.assert_allclose(dx, x / np.sqrt(1 + 1e-5), rtol=1e-12)
    assert dmean.shape == dvar.shape == (3,)


def test_the_gradient_of_one_example_does_not_depend_on_the_others(rng):
    x, dy = rng.standard_normal((2, 4, 3))
    statistics = (None, None, np.zeros(3), np.ones(3))
    whole = F.batch_norm_inference_backward(dy, F.batch_norm_inference_forward(x, *statistics)[1])
    first = F.batch_norm_inference_backward(
        dy[:1], F.batch_norm_inference_forward(x[:1], *statistics)[1]
    )
    np.testing.assert_array_equal(whole[0][:1], first[0])


def test_a_training_cache_is_refused(rng):
    x = rng.standard_normal((4, 3))
    with pytest.raises(TypeError, match="cache must be the second value"):
        F.batch_norm_inference_backward(x, F.batch_norm_forward(x)[1])

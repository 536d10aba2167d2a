"""A folded layer does what the layer and its batch norm do at inference."""

import numpy as np
import pytest

from bncourse import functional as F

GAMMAS = {
    "positive": [1.0, 0.5, 2.0, 3.0],
    "zero and negative": [0.0, -1.5, 0.0, -0.1],
    "none": None,
}


def statistics(rng, n=4):
    return rng.normal(0, 2, n), rng.uniform(0.01, 3, n)


def correlate(x, w, groups=1):
    """A plain convolution without padding: loops over the kernel."""
    n_out, per_group, kh, kw = w.shape
    h, v = x.shape[2] - kh + 1, x.shape[3] - kw + 1
    y = np.zeros((x.shape[0], n_out, h, v))
    for o in range(n_out):
        start = o // (n_out // groups) * per_group
        for i in range(kh):
            for j in range(kw):
                part = x[:, start : start + per_group, i : i + h, j : j + v]
                y[:, o] += np.einsum("nchw,c->nhw", part, w[o, :, i, j])
    return y


def correlate_transposed(x, w, groups=1):
    """A plain transposed convolution of stride one: every input adds a kernel to the output."""
    n, n_in, h, v = x.shape
    out, (kh, kw) = w.shape[1], w.shape[2:]
    y = np.zeros((n, out * groups, h + kh - 1, v + kw - 1))
    for c in range(n_in):
        start = c // (n_in // groups) * out
        for i in range(kh):
            for j in range(kw):
                target = y[:, start : start + out, i : i + h, j : j + v]
                target += x[:, c][:, None] * w[c, :, i, j][:, None, None]
    return y


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("gamma", GAMMAS.values(), ids=GAMMAS)
def test_dense(home, rng, gamma, bias):
    place, dtype = home
    x, w = rng.standard_normal((5, 3)), rng.standard_normal((3, 4))
    b, beta = rng.standard_normal((2, 4))
    mean, var = statistics(rng)
    want = F.batch_norm_inference(x @ w + (b if bias else 0), gamma, beta, mean, var)
    put = {k: place.put(v, dtype) for k, v in dict(w=w, b=b, beta=beta, mean=mean, var=var).items()}
    if not bias:
        put["b"] = None
    folded, shift = F.fold_dense(gamma=gamma, **put)
    got = place.get(place.put(x, dtype) @ folded + shift)
    assert got.dtype == dtype
    tolerance = 200 * place.accurate(dtype)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("gamma", GAMMAS.values(), ids=GAMMAS)
def test_convolution_with_groups_down_to_depthwise(rng, gamma, groups):
    x, w = rng.standard_normal((2, 4, 6, 5)), rng.standard_normal((4, 4 // groups, 3, 2))
    beta, (mean, var) = rng.standard_normal(4), statistics(rng)
    want = F.batch_norm_inference(correlate(x, w, groups), gamma, beta, mean, var)
    folded, shift = F.fold_conv(w, None, gamma, beta, mean, var)
    assert folded.shape == w.shape
    got = correlate(x, folded, groups) + shift[:, None, None]
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("groups", "n_in", "n_out"), [(1, 3, 4), (2, 6, 4), (4, 4, 4)])
@pytest.mark.parametrize("gamma", GAMMAS.values(), ids=GAMMAS)
def test_transposed_convolution_with_groups(rng, gamma, groups, n_in, n_out):
    x, w = rng.standard_normal((2, n_in, 3, 4)), rng.standard_normal((n_in, n_out // groups, 3, 2))
    beta, b, (mean, var) = rng.standard_normal(4), rng.standard_normal(4), statistics(rng)
    plain = correlate_transposed(x, w, groups) + b[:, None, None]
    want = F.batch_norm_inference(plain, gamma, beta, mean, var)
    folded, shift = F.fold_conv_transpose(w, b, gamma, beta, mean, var, groups=groups)
    assert folded.shape == w.shape
    got = correlate_transposed(x, folded, groups) + shift[:, None, None]
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"mean": [0.0] * 3}, ValueError, r"mean has shape \(3,\)"),
        ({"var": [-1.0] * 4}, ValueError, "var must not be negative"),
        ({"var": None}, TypeError, "mean and var must be given"),
        ({"eps": 0}, ValueError, "eps must be positive"),
        ({"w": np.ones((3, 4), int)}, TypeError, "w has dtype int"),
    ],
)
def test_bad_input_is_told(change, error, words):
    good = dict(w=np.ones((3, 4)), b=None, gamma=None, beta=None, mean=[0.0] * 4, var=[1.0] * 4)
    with pytest.raises(error, match=words):
        F.fold_dense(**good | change)


def test_groups_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match="groups must divide the 3 input channels"):
        F.fold_conv_transpose(np.ones((3, 2, 1, 1)), None, None, None, [0.0], [1.0], groups=2)

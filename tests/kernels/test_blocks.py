"""The blocked kernel against the general form, and what it declines."""

import numpy as np
import pytest

from bncourse import functional as F
from bncourse.kernels import blocks


@pytest.fixture
def general(monkeypatch):
    """Calls a function with the kernel switched off."""

    def call(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(blocks, "supports", lambda x, axes: False)
            return function(*arguments)

    return call


@pytest.mark.parametrize(
    "shape",
    [(8, 5, 61, 31), (64, 3, 400), (3, 70, 7, 53), (2, 3, 2**15), (60, 100), (2, 3), (3, 1, 1)],
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("parameters", ["both", "gamma", "beta", "none"])
def test_the_kernel_agrees_with_the_general_form(rng, general, shape, dtype, parameters):
    x = (rng.standard_normal(shape) * 3 + 50).astype(dtype)
    dy = rng.normal(0.3, 1, shape).astype(dtype)
    gamma = (
        rng.standard_normal(shape[1]).astype("float32") if parameters in ("both", "gamma") else None
    )
    beta = rng.standard_normal(shape[1]) if parameters in ("both", "beta") else None
    assert blocks.supports(x, (0, *range(2, x.ndim)))
    kept = x.copy(), dy.copy()
    y, cache = F.batch_norm_forward(x, gamma, beta)
    got = y, *F.batch_norm_backward(dy, cache)
    y, general_cache = general(F.batch_norm_forward, x, gamma, beta)
    want = y, *general(F.batch_norm_backward, dy, general_cache)
    unit = np.finfo(dtype).eps
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=2 * unit, atol=2 * unit * np.max(np.abs(b)))
    for a, b in zip(cache.moments, general_cache.moments, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    assert cache.inv_std.shape == general_cache.inv_std.shape
    assert np.array_equal(x, kept[0]) and np.array_equal(dy, kept[1])


def test_an_upstream_gradient_of_any_layout_is_taken(rng, general):
    x = rng.standard_normal((8, 4, 60, 40)).astype("float32")
    dy = np.asfortranarray(rng.standard_normal(x.shape))
    _, cache = F.batch_norm_forward(x)
    dx = F.batch_norm_backward(dy, cache)[0]
    np.testing.assert_allclose(
        dx, general(F.batch_norm_backward, dy, cache)[0], rtol=1e-6, atol=1e-9
    )


def test_a_nan_stays_in_its_channel(rng):
    x = rng.standard_normal((8, 4, 60, 40)).astype("float32")
    x[3, 2, 5, 5] = np.nan
    y, _ = F.batch_norm_forward(x)
    assert np.isnan(y[:, 2]).all() and np.isfinite(y[:, [0, 1, 3]]).all()


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((0, 3, 4, 4), "float32"),
        np.zeros((8, 4, 60, 40)),
        np.zeros((2**14, 5), "float32"),
        np.zeros((60, 40, 4, 8), "float32").transpose(3, 2, 0, 1),
    ],
    ids=["empty", "float64", "large table", "not contiguous"],
)
def test_what_it_declines_goes_the_general_way(x):
    assert not blocks.supports(x, (0, *range(2, x.ndim)))


def test_other_axes_go_the_general_way(rng):
    x = rng.standard_normal((8, 4, 60, 40)).astype("float32")
    assert not blocks.supports(x, (1, 2, 3))
    y, _ = F.batch_norm_forward(x, axis=-1)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-6)

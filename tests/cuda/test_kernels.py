"""The CUDA kernels against the general form, over shapes and values that are hard for them."""

import numpy as np
import pytest
from cases import SHAPES, TYPES, accurate, batch, compare, near, parameters, training, view

from bncourse import functional as F
from bncourse.kernels import gpu

BY_TYPE = pytest.mark.parametrize("dtype, statistics", TYPES, ids=["-".join(t) for t in TYPES])


@BY_TYPE
@pytest.mark.parametrize("shape, axis", SHAPES, ids=str)
def test_training_agrees_with_the_general_form(home, rng, shape, axis, dtype, statistics):
    x = batch(rng, shape, dtype)
    dy = rng.normal(0.3, 1, shape).astype(dtype)
    with gpu.carried_in(statistics):
        compare(home, x, *parameters(rng, shape[axis]), dy, axis, accurate(dtype, statistics))


@pytest.mark.parametrize("shape, axis", [((6, 8, 9, 5), 1), ((9001, 3), 1), ((33, 8), 1)], ids=str)
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_relu_and_residual_are_part_of_it(home, rng, shape, axis, dtype, residual):
    x, dy, other = batch(rng, shape, dtype), *rng.standard_normal((2, *shape)).astype(dtype)
    other = other if residual else None
    gamma, beta = parameters(rng, shape[axis])
    tolerance = accurate(dtype, "float32")
    compare(home, x, gamma, beta, dy, axis, tolerance, other, relu=True)
    if residual:
        on, more = home.put(x), home.put(other)
        y = gpu.forward(on, None, None, 1e-5, view(shape, axis), more)[0]
        near(home.get(y), training(x, None, None, dy, axis, other)[0], tolerance)


@pytest.mark.parametrize("kinds", [(None, None), ("float16", None), (None, "float64")], ids=str)
def test_parameters_are_of_any_dtype_or_absent(home, rng, kinds):
    x, dy = batch(rng, (6, 7, 9, 5), "float32"), rng.standard_normal((6, 7, 9, 5), "float32")
    given = (None if k is None else parameters(rng, 7, k)[0] for k in kinds)
    compare(home, x, *given, dy, 1, accurate("float32", "float32"))


@BY_TYPE
@pytest.mark.parametrize("mean", [1e4, 1e6])
@pytest.mark.parametrize("shape, axis", [((64, 3, 9, 16), 1), ((9001, 3), 1)], ids=str)
def test_a_large_mean_costs_no_digits(home, rng, shape, axis, dtype, statistics, mean):
    if dtype == "float16":
        mean /= 1e3
    x, dy = batch(rng, shape, dtype, mean, 1.0), rng.standard_normal(shape).astype(dtype)
    with gpu.carried_in(statistics):
        compare(home, x, None, None, dy, axis, 2 * accurate(dtype, statistics))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_channel(home, rng, value):
    x, dy = batch(rng, (9, 4, 6, 4), "float32"), rng.standard_normal((9, 4, 6, 4), "float32")
    x[3, 2, 5, 1] = value
    on, seen = home.put(x), (9, 4, 24)
    y, mean, rest, m2, inv_std = gpu.forward(on, None, None, 1e-5, seen)
    got = gpu.gradients(home.put(dy), on, mean, rest, inv_std, None, None, seen)
    others = [0, 1, 3]
    want = training(x[:, others], None, None, dy[:, others], 1)
    near(home.get(y)[:, others], want[0], 1e-6)
    near(home.get(got.dx)[:, others], want[3], 2e-6)
    assert np.isnan(home.get(y)[3, 2, 5, 1]) and not np.isfinite(home.get(m2)[2])
    relu = gpu.forward(on, None, None, 1e-5, seen, relu=True)[0]
    assert np.isnan(home.get(relu)[3, 2, 5, 1])


def test_a_constant_channel_gives_beta(home, rng):
    x = np.full((40, 3, 11), 3.3, "float32")
    gamma, beta = parameters(rng, 3)
    y, mean, rest, m2, inv_std = gpu.forward(
        home.put(x), home.put(gamma), home.put(beta), 1e-5, x.shape
    )
    assert np.array_equal(home.get(y), np.broadcast_to(beta[:, None], x.shape))
    assert np.array_equal(home.get(m2), np.zeros(3)) and (home.get(mean) == np.float32(3.3)).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e15, 1e30])
def test_units_do_not_matter(home, rng, scale):
    x = batch(rng, (64, 8), "float32", 3.0, 1.0)
    x = (x * np.float32(scale)).astype("float32")
    want = F.batch_norm_forward(x.astype("float64"), eps=1e-300)[0]
    if 1e-19 < scale < 1e19:  # float32 has no squares of others
        near(home.get(gpu.forward(home.put(x), None, None, 1e-300, (64, 8))[0]), want, 1e-6)
    with gpu.carried_in("float64"):
        near(home.get(gpu.forward(home.put(x), None, None, 1e-300, (64, 8))[0]), want, 2e-7)


@pytest.mark.parametrize(
    "shape, dtype", [((6, 4, 8, 4), "float32"), ((30, 16), "float16")], ids=str
)
def test_an_array_that_begins_anywhere_is_taken(home, rng, shape, dtype):
    x, dy = batch(rng, shape, dtype), rng.standard_normal(shape).astype(dtype)
    for offset in (1, 3):
        tolerance = accurate(dtype, "float32")
        compare(home, x, *parameters(rng, shape[1]), dy, 1, tolerance, offset=offset)


def test_channels_last_that_look_like_channels_first(home, rng):
    x, dy = (a.transpose(0, 3, 1, 2) for a in batch(rng, (2, 5, 6, 7, 8), "float32", 5.0))
    compare(home, x, *parameters(rng, 8), dy, 1, accurate("float32", "float32"))


def test_an_upstream_gradient_of_other_layout_and_dtype(home, rng):
    x, dy = (
        batch(rng, (5, 4, 6, 3), "float32"),
        rng.standard_normal((4, 3, 6, 5)).transpose(3, 0, 2, 1),
    )
    compare(home, x, *parameters(rng, 4), dy, 1, accurate("float32", "float32"))


def test_parameters_with_gaps(home, rng):
    x = batch(rng, (30, 8), "float32")
    wide = rng.standard_normal((8, 2), "float32")
    gamma = home.put(wide)[:, 0]
    y = gpu.forward(home.put(x), gamma, None, 1e-5, (30, 8))[0]
    near(home.get(y), training(x, wide[:, 0], None, x, 1)[0], 1e-6)


def test_several_channel_axes(home, rng):
    x, gamma = batch(rng, (50, 4, 6), "float32"), rng.standard_normal((4, 6), "float32")
    y, mean, *_ = gpu.forward(home.put(x), home.put(gamma), None, 1e-5, (50, 24))
    near(home.get(y), F.batch_norm_forward(x.astype("float64"), gamma, axis=(1, 2))[0], 1e-6)
    assert mean.shape == (24,)


@BY_TYPE
@pytest.mark.parametrize("shape, axis", [((6, 7, 9, 5), 1), ((9001, 3), 1), ((1, 8), 1)], ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_inference_and_its_gradients(home, rng, shape, axis, dtype, statistics, relu):
    x, dy = batch(rng, shape, dtype, 5.0), rng.standard_normal(shape).astype(dtype)
    gamma, beta = parameters(rng, shape[axis])
    mean, var = rng.normal(5, 1, shape[axis]).astype("float32"), rng.uniform(1, 9, shape[axis])
    seen = view(shape, axis)
    on, *p = (home.put(a) for a in (x, gamma, beta, mean, var))
    with gpu.carried_in(statistics):
        y, center, inv_std = gpu.inference(on, *p, 1e-5, seen, relu=relu)
        how = {"relu": relu, "given": True}
        got = gpu.gradients(home.put(dy), on, center, None, inv_std, *p[:2], seen, **how)
    wide = x.astype("float64"), gamma, beta, mean, var
    want, cache = F.batch_norm_inference_forward(*wide, axis=axis)
    g = dy.astype("float64")
    if relu:
        g, want = g * (want.astype(dtype) > 0), np.maximum(want, 0)
    dx, dgamma, dbeta, *_ = F.batch_norm_inference_backward(g, cache)
    tolerance = accurate(dtype, statistics)
    near(home.get(y), want, tolerance)
    near(home.get(got.dx), dx, 2 * tolerance)
    atol = 4 * tolerance * np.sqrt(x.size / shape[axis])
    np.testing.assert_allclose(home.get(got.dgamma), dgamma, rtol=1e-6, atol=atol)
    np.testing.assert_allclose(home.get(got.dbeta), dbeta, rtol=1e-6, atol=atol)


def test_the_same_bits_each_time(emulate, rng):
    x = batch(rng, (9001, 3), "float32")
    place, results = emulate(), []
    for order in (0, 1, 7):
        place.device.order = order
        results.append([place.get(a) for a in gpu.forward(place.put(x), None, None, 1e-5, x.shape)])
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_the_shapes_reach_every_kernel_of_every_kind(emulate, rng):
    place, found = emulate(), set()
    for dtype, _ in TYPES[:3]:
        for shape, axis in SHAPES:
            on = place.put(np.zeros(shape, dtype))
            launch = gpu.Launch(on, view(shape, axis))
            found.add((dtype, launch.plan.vector, launch.plan.across, launch.plan.alone))
    kinds = {(d, v, a) for d, _, v, a in gpu.module.instantiations()}
    assert found == {(*kind, alone) for kind in kinds for alone in (True, False)}


@pytest.mark.parametrize("what", ["integers", "empty", "with gaps", "channels apart"])
def test_what_is_declined(emulate, what):
    place = emulate()
    x = {
        "integers": lambda: place.put(np.zeros((4, 3), "int32")),
        "empty": lambda: place.put(np.zeros((0, 3), "float32")),
        "with gaps": lambda: place.put(np.zeros((4, 6), "float32"))[:, ::2],
        "channels apart": lambda: place.put(
            np.zeros((4, 2, 3, 5), "float32").transpose(1, 0, 2, 3)
        ),
    }[what]()
    assert not gpu.supports(x, (2, 12, 5) if what == "channels apart" else x.shape)
    assert not gpu.supports(np.zeros((4, 3), "float32"), (4, 3))


def test_what_inference_and_ghost_batches_are_made_of(home, rng):
    x, dy = batch(rng, (6, 7, 9, 5), "float32"), rng.standard_normal((6, 7, 9, 5), "float32")
    mean, scale, shift = rng.uniform(1, 2, (3, 7))
    on, upstream, *p = (home.put(a) for a in (x, dy, mean, scale, shift))
    c = (slice(None), None, None)
    near(home.get(gpu.affine(on, *p, (6, 7, 45))), (x - mean[c]) * scale[c] + shift[c], 2e-7)
    sum_dy, sum_dy_x_hat = gpu.gradient_sums(upstream, on, *p[:2], (6, 7, 45))
    near(home.get(sum_dy), dy.sum((0, 2, 3), dtype="f8"), 2e-6)
    near(home.get(sum_dy_x_hat), (dy * (x - mean[c]) * scale[c]).sum((0, 2, 3)), 2e-6)


@pytest.mark.parametrize("kind", [None, "float16"])
def test_backward_gives_the_sums_in_the_dtype_of_gamma(home, rng, kind):
    x, dy = batch(rng, (60, 100), "float32"), rng.standard_normal((60, 100), "float32")
    gamma = None if kind is None else parameters(rng, 100, kind)[0]
    on, upstream, p = (None if a is None else home.put(a) for a in (x, dy, gamma))
    _, mean, rest, _, inv_std = gpu.forward(on, p, None, 1e-5, x.shape)
    dx, *sums = gpu.backward(upstream, on, mean, rest, inv_std, p, x.shape)
    want = training(x, np.ones(100) if kind is None else gamma, None, dy, 1)
    assert [a.dtype for a in sums] == [kind or "float64"] * 2
    near(home.get(sums[0]), dy.sum(0, dtype="f8"), 1e-3 if kind else 1e-6)
    near(home.get(sums[1]), want[4], 2e-3 if kind else 1e-6)
    near(home.get(dx), want[3], 2e-6)


def test_statistics_are_one_of_two():
    with (
        pytest.raises(ValueError, match="'float32' or 'float64', not 'float16'"),
        gpu.carried_in("float16"),
    ):
        pass

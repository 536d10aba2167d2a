"""The public functions and the layer on a GPU's arrays: they choose the kernels, and never wait."""

import numpy as np
import pytest
from cases import accurate, batch, near, parameters, training

from bncourse import functional as F
from bncourse import kernels, nn
from bncourse.kernels import gpu


def test_batch_norm_runs_by_kernels_alone(emulate, rng):
    # The arrays are in host memory and there is no device: what would copy a number from it, or
    # run any kernel but ours, raises. So this is also a test that nothing waits.
    place = emulate()
    x, dy = batch(rng, (6, 7, 9, 5), "float32"), rng.standard_normal((6, 7, 9, 5), "float32")
    gamma, beta = parameters(rng, 7)
    y, cache = F.batch_norm_forward(*(place.put(a) for a in (x, gamma, beta)))
    got = F.batch_norm_backward(place.put(dy), cache)
    assert [name for name, *_ in place.device.launched] == ["forward", "backward"]
    want = training(x, gamma, beta, dy, 1)
    near(place.get(y), want[0], 1e-6)
    for a, b in zip(got, want[3:6], strict=True):
        near(place.get(a), b, 2e-6)
        assert a.dtype == "float32"
    assert cache.moments.count == 270 and cache.moments.mean.shape == (7,)
    near(place.get(cache.moments.mean), want[1], 1e-7)
    near(place.get(cache.moments.m2), want[2], 1e-6)


@pytest.mark.parametrize("axis", [-1, (1, 2), 1], ids=str)
def test_channels_on_any_axis(emulate, rng, axis):
    place, x = emulate(), batch(rng, (6, 7, 9, 5), "float32")
    y, cache = F.batch_norm_forward(place.put(x), axis=axis)
    want, wide = F.batch_norm_forward(x.astype("float64"), axis=axis)
    near(place.get(y), want, 1e-6)
    assert cache.moments.mean.shape == wide.moments.mean.shape
    assert cache.inv_std.shape == wide.inv_std.shape


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("shape", [(6, 7, 9, 5), (9001, 3)], ids=str)
def test_relu_and_residual_cost_no_kernel_more(emulate, rng, shape, residual):
    place = emulate()
    x, dy, other = (batch(rng, shape, "float32", m, 1) for m in (5, 0.3, 0))
    gamma, beta = parameters(rng, shape[1])
    added = {"residual": place.put(other)} if residual else {}
    y, cache = F.batch_norm_relu_forward(*(place.put(a) for a in (x, gamma, beta)), **added)
    got = F.batch_norm_relu_backward(place.put(dy), cache)
    names = [name for name, *_ in place.device.launched]
    F.batch_norm_forward(*(place.put(a) for a in (x, gamma, beta)))
    assert len(names) == 2 * len(place.device.launched[len(names) :])
    want = training(x, gamma, beta, dy, 1, other if residual else None, relu=True)
    near(place.get(y), want[0], 1e-6)
    for a, b in zip(got[:3], want[3:6], strict=True):
        near(place.get(a), b, 1e-5)
    assert (got[3] is None) == (not residual)
    if residual:
        near(place.get(got[3]), want[6], 1e-6)


def test_inference_runs_by_kernels_alone(emulate, rng):
    place, x = emulate(), batch(rng, (6, 7, 9, 5), "float16", 5.0)
    given = *parameters(rng, 7), rng.standard_normal(7, "float32"), rng.uniform(1, 9, 7)
    y = F.batch_norm_inference(place.put(x), *(place.put(a) for a in given))
    assert [name for name, *_ in place.device.launched] == ["given_moments", "normalize"]
    want = F.batch_norm_inference(x.astype("float64"), *given)
    near(place.get(y), want, accurate("float16", "float32"))


def test_a_layer_in_evaluation_runs_by_kernels_alone(emulate, rng):
    place, x = emulate(), batch(rng, (8, 5), "float32", 0.0)
    layer = nn.BatchNorm(5).eval()
    want = layer.forward(x)[0]
    for name in ("gamma", "beta", "running_mean", "running_var"):
        setattr(layer, name, place.put(getattr(layer, name)))
    near(place.get(layer.forward(place.put(x))[0]), want, 1e-6)


def test_what_would_wait_raises_here(emulate):
    number = emulate().put(np.ones(1, "float32"))
    with pytest.raises(Exception, match="cuda"):
        float(number[0])
    with pytest.raises(Exception, match="cuda"):
        number + 1


def test_arrays_of_two_devices_do_not_mix(emulate):
    place = emulate()
    here, there = place.put(np.ones((4, 3), "float32")), place.put(np.ones(3), device=1)
    for given in ({"gamma": there}, {"beta": there}):
        with pytest.raises(TypeError, match="x lives in cupy .* but (gamma|beta) in cupy"):
            F.batch_norm_forward(here, **given)
    with pytest.raises(TypeError, match="x lives in cupy .* but gamma in numpy: move one"):
        F.batch_norm_forward(here, np.ones(3))


def test_one_value_a_channel_is_refused_there_too(emulate):
    with pytest.raises(ValueError, match="one value per channel"):
        F.batch_norm_forward(emulate().put(np.ones((1, 3), "float32")))


def test_kernels_can_be_asked_for(emulate, rng):
    place, x = emulate(), batch(rng, (6, 7), "float32")
    for fused in ("auto", "always", "cuda"):
        with kernels.using(fused):
            F.batch_norm_forward(place.put(x))
    assert len(place.device.launched) == 3
    with kernels.using("never"), pytest.raises(Exception, match="cuda"):  # there is no device
        F.batch_norm_forward(place.put(x))


def test_statistics_are_carried_as_asked(emulate, rng):
    place = emulate()
    x = (rng.standard_normal((9001, 1)) + 1e3).astype("float32")
    errors = {}
    for statistics in ("float32", "float64"):
        with gpu.carried_in(statistics):
            m2 = F.batch_norm_forward(place.put(x))[1].moments.m2
        true = np.var(x.astype("longdouble")) * len(x)
        errors[statistics] = abs(float(place.get(m2)[0] / true - 1))
    assert errors["float64"] < 1e-13 < errors["float32"] < 1e-6


@pytest.mark.gpu
def test_nothing_is_launched_on_another_stream(gpu_home, rng):
    import cupy

    x = cupy.asarray(rng.standard_normal((64, 32, 56, 56), "float32"))
    want = F.batch_norm_forward(x)[0]
    stream = cupy.cuda.Stream(non_blocking=True)
    for _ in range(20):
        with stream:
            late = cupy.zeros_like(x)
            for _ in range(20):  # so that what did not wait for them would find zeros
                late = late + x / 20
            y = F.batch_norm_forward(late)[0]
        stream.synchronize()
        cupy.testing.assert_allclose(y, want, atol=1e-4)

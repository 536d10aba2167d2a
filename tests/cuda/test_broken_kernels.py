"""Kernels that are broken in one place: the other tests' comparison must notice each.

A mistake that no test can see may stand in the kernels too.
"""

import os
import sys

import emulated
import numpy as np
import pytest
from cases import accurate, batch, compare, parameters

from bncourse.kernels.gpu import module

# Shapes whose kernels read one value at a time, several of a channel, or of several channels.
ALONE, ALONG, ACROSS = (60, 37), (6, 8, 9, 4), (33, 40)
SHARED, ALONG_SHARED = (9001, 3), (131, 2, 16, 32)
PLANES, GROUPS = (20, 3, 9, 5), (60, 3, 9, 9)

VAR_EPS = "1 / sqrt(moments.m2 / moments.n + eps)"

BROKEN = {
    "no barrier before the warps are merged": (
        "  __syncthreads();\n  if (threadIdx.y > 0) return;",
        "  if (threadIdx.y > 0) return;",
        PLANES,
    ),
    "no barrier between statistics and output": (
        "  __syncthreads();  // also makes what was written visible to the whole block\n"
        "  Affine<A> affine[L];",
        "  Affine<A> affine[L];",
        PLANES,
    ),
    "no barrier between sums and gradient": (
        "  __syncthreads();  // also makes what was written visible to the whole block\n  means_of",
        "  means_of",
        PLANES,
    ),
    "a barrier that some threads miss": (
        "  __syncthreads();\n  if (threadIdx.y > 0) return;",
        "  if (threadIdx.y > 5) return;\n  __syncthreads();\n  if (threadIdx.y > 0) return;",
        PLANES,
    ),
    "a shuffle that some lanes miss": (
        "for (int l = 0; l < L; ++l) part[l] = merge(part[l], shuffle_down(part[l], lanes));",
        "for (int l = 0; l < L; ++l) if (thread % WARP < lanes) "
        "part[l] = merge(part[l], shuffle_down(part[l], lanes));",
        PLANES,
    ),
    "too few shuffles": ("lanes >= width; lanes /= 2", "lanes > width; lanes /= 2", PLANES),
    "too many shuffles": ("lanes >= width; lanes /= 2", "lanes; lanes /= 2", ACROSS),
    "a warp left out": (
        "for (int w = 1; w < warps; ++w)",
        "for (int w = 2; w < warps; ++w)",
        ALONE,
    ),
    "shared memory with a wrong stride": (
        "shared[(warp * width + threadIdx.x) * L + l] = part[l]",
        "shared[(warp * width + threadIdx.x) + l] = part[l]",
        ACROSS,
    ),
    "a wrong stride to the next example": ("next_row = rows - row", "next_row = rows", PLANES),
    "a wrong stride of a step": ("step_offset = step / row * rows", "step_offset = step", PLANES),
    "a wrong stride of the channels": ("c * row + s;", "c * rows + s;", PLANES),
    "no bound on the values": ("{ return i < count; }", "{ return i <= count; }", PLANES),
    "no bound on the channels": ("c < channels ? n * s_count : 0", "n * s_count", ALONE),
    "no bound on a group": ("        size = k + 1;", "        size = K;", PLANES),
    "no bound when results are written": (
        "if (threadIdx.y == 0 && channel_vector() < c) {\n    Statistics",
        "if (threadIdx.y == 0) {\n    Statistics",
        ALONE,
    ),
    "no bound on a store": (
        "if (k < at.size) vectors[at.offset[k]] = vector[k];",
        "vectors[at.offset[k]] = vector[k];",
        PLANES,
    ),
    "merge without the last term": ("+ delta * delta * a.n * part}", "}", PLANES),
    "merge that weighs wrongly": ("part = b.n / n;", "part = a.n / n;", PLANES),
    "merge of nothing": ("  if (n == 0) return a;\n", "", (6, 5)),
    "a group without the last term": ("m2 + delta * delta * n * part;", "m2;", GROUPS),
    "lanes that are not merged": (
        "for (int v = L; v < V; ++v) part[0] = merge",
        "for (int v = V; v < V; ++v) part[0] = merge",
        ALONG,
    ),
    "rows that are not merged": ("row < rows; row += WARP", "row < 1; row += WARP", SHARED),
    "rows that one lane keeps": (
        "part = merge(part, shuffle_down(part, lanes));\n  if (c >=",
        "part = part;\n  if (c >=",
        SHARED,
    ),
    "quantities in each other's place": ("quantity = gridDim.y * ", "quantity = ", SHARED),
    "no origin": ("- origin[v] : A(0);", ": A(0);", ALONE),
    "a mean of one part": ("low(A(mean - double(A(mean)) + rest))", "low(0)", ALONE),
    "unbiased variance": (VAR_EPS, "1 / sqrt(moments.m2 / (moments.n - 1) + eps)", (6, 5)),
    "eps outside the root": (VAR_EPS, "1 / (sqrt(moments.m2 / moments.n) + eps)", PLANES),
    "no beta": ("fma(centered(x), scale, shift)", "centered(x) * scale", PLANES),
    "no gamma": ("scale(A(inv_std_ * gamma))", "scale(A(inv_std_))", PLANES),
    "the ReLU forgotten on the way back": ("if (relu && !(", "if (false && !(", PLANES),
    "the residual's ReLU forgotten": ("if (y) mask(", "if (false) mask(", PLANES),
    "no mean of dy": ("of.dy_x_hat, g - of.dy)", "of.dy_x_hat, g)", PLANES),
    "no mean of dy x_hat": (
        "fma(-to.x_hat(widen(value)), of.dy_x_hat, g - of.dy)",
        "g - of.dy",
        PLANES,
    ),
    "sums in place of means": ("A(sum_dy[at] / count)", "A(sum_dy[at])", PLANES),
    "half the channels": (
        "Index at = channel_vector() * L + l;",
        "Index at = channel_vector() + l;",
        ACROSS,
    ),
    "a shared channel's origin is another's": ("ACROSS ? v : 0)]));", "0)]));", ACROSS),
}


def check(place, rng, shape):
    """All that the other tests compare, on one shape, in every order of threads."""
    x, dy, other = (batch(rng, shape, "float32", m, s) for m, s in ((1e3, 2), (0.3, 1), (0, 1)))
    x += 1e3 * np.arange(shape[1], dtype="float32").reshape(-1, *[1] * (x.ndim - 2))
    gamma, beta = parameters(rng, shape[1])
    tolerance = accurate("float32", "float32")
    for order in (emulated.FAST, emulated.BACKWARDS, emulated.SHUFFLED):
        place.device.order = order
        compare(place, x, gamma, beta, dy, 1, tolerance)
        compare(place, x, gamma, beta, dy, 1, tolerance, relu=True)
        compare(place, x, gamma, beta, dy, 1, tolerance, other, relu=True)


@pytest.mark.parametrize(
    "shape", [ALONE, ALONG, ACROSS, SHARED, ALONG_SHARED, PLANES, GROUPS, (6, 5)], ids=str
)
def test_kernels_as_they_are_pass(emulate, rng, shape):
    check(emulate(), rng, shape)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_kernel_is_noticed(emulate, rng, name):
    old, new, shape = BROKEN[name]
    assert old in module.source(), "the kernels have changed: break them anew"
    place = emulate(lambda source: source.replace(old, new))
    assert _goes_wrong(lambda: check(place, rng, shape))


def _goes_wrong(function):
    """Whether it fails an assertion, or crashes, as what reads and writes anywhere may do."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 2
        try:
            with np.errstate(all="ignore"):
                function()
            code = 0
        except AssertionError:
            code = 1
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status <= 1, "it failed for another reason"
    return status != 0

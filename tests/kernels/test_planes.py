"""Compiled convolution against the general form: odd sizes, every option, values that spread."""

import os
import subprocess
import sys

import numpy as np
import pytest
from unusual import off_by_a_byte, read_only

from bncourse import functional as F
from bncourse import kernels
from bncourse.kernels import compiled, planes

pytestmark = pytest.mark.skipif(not compiled.available(), reason="Numba is not installed")

# shape of x, shape of w, padding, groups; on a tile 8 or 4 outputs, 48 or 24 numbers, 32 weights
CASES = [
    ((5, 3, 6, 7), (9, 3, 3, 3), (1, 1), 1),
    ((3, 1, 28, 28), (16, 1, 3, 3), (1, 1), 1),
    ((2, 40, 3, 3), (8, 40, 2, 2), (0, 0), 1),
    ((7, 2, 9, 5), (1, 2, 3, 2), (0, 1), 1),
    ((50, 4, 5, 6), (6, 2, 3, 3), (2, 0), 2),
    ((3, 5, 4, 6), (10, 1, 3, 1), (1, 0), 5),
    ((2, 3, 41, 43), (5, 3, 5, 7), (4, 6), 1),
    ((1, 2, 7, 5), (3, 2, 7, 5), (0, 0), 1),
    ((2, 2, 1, 2), (3, 2, 11, 3), (5, 4), 1),
    ((2, 2, 4, 3), (3, 2, 2, 3), (4, 5), 1),
    ((2, 2, 4, 3), (3, 2, 2, 3), (2, 1), 1),
    ((3, 4, 37), (34, 2, 4), (2,), 2),
    ((130, 2, 9), (4, 2, 3), (1,), 1),
    ((3, 2, 5, 4, 6), (3, 2, 2, 3, 2), (1, 0, 1), 1),
    ((0, 3, 5, 6), (4, 3, 3, 3), (1, 1), 1),
]
cases = pytest.mark.parametrize("shape, weights, padding, groups", CASES, ids=str)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(planes, "_LEAST", 0)


def example(rng, shape, weights, padding, dtype):
    sizes = zip(shape[2:], weights[2:], padding, strict=True)
    count = [m + 2 * p - k + 1 for m, k, p in sizes]
    shapes = shape, weights, (shape[0], weights[0], *count)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def results(kernel, x, w, dy, padding, groups):
    with kernels.using(kernel):
        y, cache = F.conv_forward(x, w, None, 1, padding, groups)
        return y, *F.conv_backward(dy, cache)[:2]


@cases
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_as_the_general_form(
    rng, monkeypatch, shape, weights, padding, groups, dtype, threads
):
    monkeypatch.setattr(planes, "_parts", lambda y, weights: threads)
    given = example(rng, shape, weights, padding, dtype)
    before = [a.copy() for a in given]
    exact = results("never", *(a.astype("float64") for a in given), padding, groups)
    for found, wanted in zip(results("numba", *given, padding, groups), exact, strict=True):
        assert found.shape == wanted.shape and found.dtype == dtype
        unit = 8 * np.finfo(dtype).eps * max(1, np.max(np.abs(wanted), initial=0))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=unit)
    assert all(map(np.array_equal, given, before))


@cases
def test_a_transposed_convolution_too(rng, shape, weights, padding, groups):
    _, w, x = example(rng, shape, weights, padding, "float64")
    found = {}
    for kernel in ("never", "numba"):
        with kernels.using(kernel):
            y, cache = F.conv_transpose_forward(x, w, None, 1, padding, 0, groups)
            found[kernel] = y, *F.conv_transpose_backward(np.cos(y), cache)[:2]
    for a, b in zip(*found.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


def test_compiled_loops_are_chosen_and_can_be_forbidden(rng, monkeypatch):
    given = *example(rng, *CASES[0][:3], "float32"), *CASES[0][2:]
    called = []
    for name in ("correlate", "weigh"):
        function = getattr(planes, name)
        monkeypatch.setattr(planes, name, lambda *a, f=function: called.append(f) or f(*a))
    results("auto", *given)
    assert [f.__name__ for f in called] == ["correlate", "correlate", "weigh"]
    for kernel in ("never", "numpy"):
        results(kernel, *given)
    assert len(called) == 3


def test_what_is_not_for_them():
    x = np.ones((2, 3, 5, 5), "float32")
    assert planes.supports(x, (3, 3), (1, 1), 1)
    assert not planes.supports(x, (3, 3), (1, 2), 1)
    assert not planes.supports(x, (1, 1), (1, 1), 1)
    assert not planes.supports(x.astype("float16"), (3, 3), (1, 1), 1)
    assert not planes.supports(x.astype(">f4"), (3, 3), (1, 1), 1)
    assert not planes.supports([1.0], (3, 3), (1, 1), 1)


def test_little_work_does_not_ask_for_numba(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(compiled, "available", lambda: pytest.fail("nobody needs it"))
    x = np.ones((2, 3, 8, 8), "float32")
    F.conv_backward(*F.conv_forward(x, np.ones((4, 3, 3, 3), "float32")))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("case", [CASES[0], CASES[4], CASES[6]], ids=str)
def test_what_is_not_finite_gets_no_further_than_it_must(rng, which, bad, case):
    shape, weights, padding, groups = case
    given = example(rng, shape, weights, padding, "float64")
    for at in (np.s_[0, 0, 0], np.s_[-1, 0, -1], np.s_[0, 1, :, -1], np.s_[1, 0, :, 0]):
        one = [a.copy() for a in given]
        one[which][at] = bad
        with np.errstate(invalid="ignore"):
            exact = results("never", *one, padding, groups)
            ours = results("numba", *one, padding, groups)
        for found, wanted in zip(ours, exact, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_float32_stays_as_exact_as_products_of_matrices(rng):
    given = example(rng, (8, 32, 28, 28), (16, 32, 3, 3), (1, 1), "float32")
    exact = results("never", *(a.astype("float64") for a in given), (1, 1), 1)
    ours, general = (results(kernel, *given, (1, 1), 1) for kernel in ("numba", "never"))
    for a, b, wanted in zip(ours, general, exact, strict=True):
        off = [np.sqrt(np.mean((v - wanted) ** 2)) for v in (a, b)]
        assert off[0] < 1.5 * off[1]


def test_gradients_of_weights_stay_exact_where_images_are_large(rng):
    given = example(rng, (1, 4, 200, 200), (8, 4, 3, 3), (1, 1), "float32")
    exact = results("never", *(a.astype("float64") for a in given), (1, 1), 1)[2]
    ours, general = (results(kernel, *given, (1, 1), 1)[2] for kernel in ("numba", "never"))
    off = [np.sqrt(np.mean((dw - exact) ** 2)) for dw in (ours, general)]
    assert off[0] < off[1]


def test_results_do_not_depend_on_the_number_of_threads(rng, monkeypatch):
    given = example(rng, (40, 3, 9, 9), (24, 3, 3, 3), (1, 1), "float32")
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(planes, "_parts", lambda y, weights, threads=threads: threads)
        found.append(results("numba", *given, (1, 1), 1))
    for other in found[1:]:
        assert all(map(np.array_equal, found[0], other))


def mirrored(a):
    return a[::-1, ::-1].copy()[::-1, ::-1]


@pytest.mark.parametrize("turn", [np.asfortranarray, mirrored, read_only, off_by_a_byte])
def test_memory_layouts_do_not_matter(rng, turn):
    given = example(rng, *CASES[4][:3], "float64")
    for a, b in zip(
        results("numba", *map(turn, given), *CASES[4][2:]),
        results("never", *given, *CASES[4][2:]),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_the_tile_is_that_of_the_processor_that_is_compiled_for():
    code = """
import numpy as np
from bncourse import functional as F, kernels
from bncourse.kernels import loops_planes
assert (loops_planes.BYTES, loops_planes.ROWS) == (32, 4)
rng = np.random.default_rng(0)
x, w = rng.standard_normal((20, 3, 20, 20), "float32"), rng.standard_normal((7, 3, 3, 3), "float32")
def both():
    y, cache = F.conv_forward(x, w, None, 1, 1)
    return y, *F.conv_backward(y, cache)[:2]
with kernels.using("never"):
    wanted = both()
for a, b in zip(both(), wanted):
    assert np.allclose(a, b, rtol=1e-4, atol=1e-4 * abs(b).max())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_CPU_NAME": "generic"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr

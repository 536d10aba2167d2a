"""What is compiled is kept on disk until any file of loops changes."""

import importlib.util

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import kernels
from bncourse.kernels import compiled, jit, planes

if not compiled.available():
    pytest.skip("Numba is not installed: the extra 'fast'", allow_module_level=True)

from bncourse.kernels import prefetch

SOURCE = """
from bncourse.kernels.jit import jit

@jit()
def twice(x):
    return 2 * x
"""


def times_found_on_disk(file):
    """How often a fresh import of ``twice`` found itself compiled."""
    spec = importlib.util.spec_from_file_location("twice_of_a_test", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.twice(21) == 42
    stats = module.twice.stats
    assert sum(stats.cache_hits.values()) + sum(stats.cache_misses.values()) == 1
    return sum(stats.cache_hits.values())


def test_it_is_kept_until_a_file_of_loops_changes(tmp_path, monkeypatch):
    file = tmp_path / "twice.py"
    file.write_text(SOURCE)
    assert times_found_on_disk(file) == 0
    assert times_found_on_disk(file) == 1
    with monkeypatch.context() as patch:
        patch.setattr(jit, "_sources", lambda: "of another version")
        assert times_found_on_disk(file) == 0
        assert times_found_on_disk(file) == 1
    assert times_found_on_disk(file) == 0


def test_all_files_of_loops_count(tmp_path, monkeypatch):
    for name in ("jit.py", "loops_of_a_test.py"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    digest = jit._sources.__wrapped__
    before = digest()
    assert digest() == before
    (tmp_path / "loops_of_a_test.py").write_text("changed")
    assert digest() != before


@pytest.fixture
def another_numba(monkeypatch):
    """Nothing that has been found out about Numba is remembered, before and after."""
    found = compiled.available, planes._works
    for function in found:
        function.cache_clear()
    yield monkeypatch
    for function in found:
        function.cache_clear()


def test_a_numba_that_cannot_compile_the_loops_is_said_and_not_used(another_numba, rng):
    x = rng.standard_normal((64, 100)).astype("float32")
    with kernels.using("never"):
        want, _ = F.batch_norm_forward(x)

    def broken(row):
        raise NotImplementedError("no prefetch here")

    another_numba.setattr(prefetch, "touch", broken)
    with pytest.warns(RuntimeWarning, match="batch norm cannot be compiled.*no prefetch here"):
        y, _ = F.batch_norm_forward(x)
    np.testing.assert_allclose(y, want, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="Numba cannot be"), kernels.using("numba"):
        pass


@pytest.mark.parametrize("wrong", [None, 2.0])
def test_convolution_that_cannot_be_compiled_or_gives_other_sums(another_numba, wrong, rng):
    x = rng.standard_normal((8, 8, 20, 20)).astype("float32")
    w = rng.standard_normal((8, 8, 3, 3)).astype("float32")
    with kernels.using("never"):
        want, _ = F.conv_forward(x, w)

    class Broken:
        ROWS = 4

        def correlate(self, *given):
            if wrong is None:
                raise TypeError("another LLVM")
            given[5][:] = wrong

    another_numba.setattr(planes, "_loops", Broken)
    said = "another LLVM" if wrong is None else "sums are"
    with pytest.warns(RuntimeWarning, match=f"convolution cannot be compiled.*{said}"):
        y, _ = F.conv_forward(x, w)
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-4)

"""Which kernels are chosen, and what is said where none can be."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bncourse import functional as F
from bncourse import kernels
from bncourse.kernels import blocks, compiled

X = np.random.default_rng(0).standard_normal((60, 100)).astype("float32")


def chosen(x):
    return kernels.choose(x, (0,), (1,))[0]


def test_the_fastest_installed_kernel_is_chosen():
    assert chosen(X) is (compiled if compiled.available() else blocks)


def test_never_is_the_general_form_and_numpy_does_without_numba():
    with kernels.using("never"):
        assert chosen(X) is None
        with kernels.using("numpy"):
            assert chosen(X) is blocks
        assert chosen(X) is None


def test_always_says_what_no_kernel_takes():
    with kernels.using("always"), pytest.raises(ValueError, match="fused='always'.*contiguous"):
        F.batch_norm_forward(np.asfortranarray(X))


def test_a_name_that_is_none():
    with pytest.raises(ValueError, match="fused must be one of auto, never, .*, not 'fast'"):
        with kernels.using("fast"):
            pass


def test_numba_asked_for_by_name_and_missing(monkeypatch):
    monkeypatch.setattr(compiled, "available", lambda: False)
    assert chosen(X) is blocks
    with pytest.raises(ValueError, match="extra 'fast'"), kernels.using("numba"):
        pass


@pytest.mark.parametrize("threads, error", [(0, ValueError), (1.5, TypeError)])
def test_threads_are_counted_in_whole_numbers(threads, error):
    with pytest.raises(error, match="threads"), kernels.using(threads=threads):
        pass


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_numba_is_not_imported_before_there_is_something_to_compute():
    assert "False" == python(
        "import sys, numpy as np; from bncourse import functional as F, nn;"
        "F.batch_norm_forward(np.eye(9)); print('numba' in sys.modules)"
    )


@pytest.mark.parametrize("error", ["ImportError", "OSError", "AttributeError"])
def test_a_numba_that_cannot_be_imported_is_none(tmp_path, error):
    (tmp_path / "numba.py").write_text(f"raise {error}('broken')")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import numpy as np;"
        "from bncourse import functional as F;"
        "print(F.batch_norm_forward(np.ones((900, 9)))[0].max())"
    )
    assert python(program) == "0.0"
    assert "cannot be used" in python(program, BNCOURSE_FUSED="numba")


def test_the_environment_chooses_for_a_program():
    code = (
        "import numpy as np; from bncourse import kernels;"
        "print(kernels.choose(np.ones((99, 99), 'f'), (0,), (1,))[0])"
    )
    assert python(code, BNCOURSE_FUSED="never") == "None"
    assert "blocks" in python(code, BNCOURSE_FUSED="numpy")
    assert "BNCOURSE_FUSED must be one of" in python(code, BNCOURSE_FUSED="yes")

"""With and without CuPy: what is imported, what is chosen, and what is said about it."""

import os
import subprocess
import sys
import textwrap

import pytest

NO_CUPY = "import sys; sys.modules['cupy'] = None\n"

FAKE_CUPY = """
import sys, types
cupy = types.ModuleType("cupy")
cupy.ndarray, cupy.generic, cupy.float32 = type("ndarray", (), {}), type("generic", (), {}), "f4"
def arange(*args, **kwargs):
    raise RuntimeError(MESSAGE)
cupy.arange = cupy.asarray = arange
sys.modules["cupy"] = cupy
"""

BROKEN_CUPY = """
import sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "cupy":
            raise ImportError("\\n=====\\nFailed to import CuPy.\\n\\nlibcuda.so.1: missing")
sys.meta_path.insert(0, Finder())
"""


def python(code, **environment):
    """What a fresh interpreter prints."""
    kept = {k: v for k, v in os.environ.items() if k != "BNCOURSE_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_imports_cupy_unasked():
    """Not even in vain: the attempt is what is watched, so that this holds without CuPy too."""
    out = python("""
        import sys, importlib, pkgutil
        class Watch:
            asked = []
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] == "cupy":
                    self.asked.append(name)
        sys.meta_path.insert(0, Watch())
        import numpy as np, bncourse
        for module in pkgutil.walk_packages(bncourse.__path__, "bncourse."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        from bncourse import arrays, functional as F
        y, cache = F.batch_norm_forward(np.eye(3), np.ones(3), np.ones(3))
        F.batch_norm_backward(y, cache)
        arrays.to(y, "numpy"), arrays.backend()
        print(Watch.asked, "cupy" in sys.modules)
    """)
    assert out == "[] False"


def test_importing_the_functions_needs_neither_matplotlib_nor_scikit_learn():
    out = python("""
        import sys
        from bncourse import functional, moments, nn
        print([m for m in ("matplotlib", "sklearn", "tqdm", "pooch") if m in sys.modules])
    """)
    assert out == "[]"


WHY = "from bncourse import arrays; print(arrays.why_no_cupy())"


def test_a_missing_cupy_is_said():
    assert "it is not installed" in python(NO_CUPY + WHY)
    assert "'gpu'" in python(NO_CUPY + WHY)


def test_a_cupy_that_cannot_be_imported_is_said_in_one_line():
    out = python(BROKEN_CUPY + WHY)
    assert out == "it is installed, but importing it failed (ImportError: Failed to import CuPy.)"


@pytest.mark.parametrize(
    "message, said",
    [
        ("cudaErrorNoDevice: no CUDA\nmore", "(RuntimeError: cudaErrorNoDevice: no CUDA)"),
        ("", "(RuntimeError)"),
        ("=====\nfirst", "(RuntimeError: first)"),
    ],
)
def test_a_cupy_without_a_gpu_is_said_not_crashed_on(message, said):
    out = python(FAKE_CUPY.replace("MESSAGE", repr(message)) + WHY)
    assert out == "a test kernel failed " + said


def test_a_kernel_that_computes_nonsense_is_no_gpu():
    wrong = FAKE_CUPY + "import numpy; cupy.arange = lambda n, dtype: numpy.zeros(n)\n"
    assert python(wrong + WHY) == "a test kernel gave a wrong result"


@pytest.mark.parametrize("cupy", [NO_CUPY, FAKE_CUPY.replace("MESSAGE", "'no driver'")])
@pytest.mark.parametrize("call", ["arrays.to(np.ones(3), 'cupy')", "nn.BatchNorm(3).to('cupy')"])
def test_moving_to_an_unusable_cupy_explains(cupy, call):
    out = python(
        cupy
        + f"""
import numpy as np
from bncourse import arrays, nn
try:
    {call}
except RuntimeError as error:
    print(error)
"""
    )
    assert out.startswith("CuPy cannot be used here: ")
    assert out.endswith("see the extra 'gpu'") or out.endswith("(RuntimeError: no driver)")


BACKEND = """
from bncourse import arrays
try:
    print(arrays.backend())
    print(arrays.backend())
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("value", [None, "", "numpy", " NumPy "])
def test_numpy_is_the_default(value):
    environment = {} if value is None else {"BNCOURSE_BACKEND": value}
    assert python(NO_CUPY + BACKEND, **environment) == "numpy\nnumpy"


def test_auto_says_once_what_it_chose_and_why():
    lines = python(NO_CUPY + BACKEND, BNCOURSE_BACKEND="auto").splitlines()
    assert lines[0].startswith("backend: numpy, because it is not installed")
    assert lines[1:] == ["numpy", "numpy"]


def test_auto_takes_a_cupy_that_works():
    works = FAKE_CUPY + "import numpy; cupy.arange = numpy.arange\n"
    assert python(works + BACKEND, BNCOURSE_BACKEND="auto") == "backend: cupy\ncupy\ncupy"
    assert python(works + BACKEND, BNCOURSE_BACKEND="cupy") == "cupy\ncupy"


def test_cupy_asked_for_and_missing_is_an_error():
    out = python(NO_CUPY + BACKEND, BNCOURSE_BACKEND="cupy")
    assert out.startswith("RuntimeError BNCOURSE_BACKEND=cupy, but CuPy cannot be used: it is not")


@pytest.mark.parametrize("value", ["torch", "gpu", "numpy,cupy"])
def test_nonsense_is_told(value):
    out = python(BACKEND, BNCOURSE_BACKEND=value)
    assert out == f"ValueError BNCOURSE_BACKEND must be numpy, cupy or auto, not {value!r}"

"""`cupy.RawModule` on a machine without a GPU: the same source, built by g++ and run on the CPU.

What is real: the text of the kernels, CuPy's arrays, the geometry of the launches, the number and
the types of their arguments. See emulation/cuda.hpp for how threads are run.
"""

import ctypes
import hashlib
import re
import subprocess
from pathlib import Path

import host_memory

HERE = Path(__file__).parent
COMPILER = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-Wno-unknown-pragmas"]
# A jump between stacks is what fibers are made of, and what this check is there to forbid.
COMPILER += ["-U_FORTIFY_SOURCE", "-I", str(HERE / "emulation")]

FAST, BACKWARDS, SHUFFLED = 0, 1, 20150211  # in which order waiting threads go on


class Failure(AssertionError):
    """A kernel did what a GPU forbids, or leaves undefined."""


class _Launch(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("order", ctypes.c_int),
        ("first", ctypes.c_uint),
        ("columns", ctypes.c_uint),
    ]


class Device:
    """Makes modules, and knows how they are to run and what was launched.

    ``edit`` is applied to each source before it is built: how tests break a kernel.
    """

    def __init__(self, folder, edit=lambda source: source):
        self.folder = Path(folder)
        self.edit = edit
        self.order = FAST
        self.launched = []
        self.columns = None  # or (first, number): only blocks with these blockIdx.x are run

    def RawModule(self, code, options, name_expressions):  # as CuPy calls it
        return Module(self, self.edit(code), name_expressions)


class Module:
    """A source, built for some kernels."""

    def __init__(self, device, code, expressions):
        self.device = device
        self.number = {e: i for i, e in enumerate(expressions)}
        entries = (
            f'extern "C" const char* run_{i}(const emulation::Launch* launch, void** arguments) '
            f"{{ return emulation::run(&{e}, launch, arguments); }}\n"
            f'extern "C" const char* signature_{i}() {{ return emulation::signature(&{e}); }}\n'
            for e, i in self.number.items()
        )
        # The types of half precision come first: the header must know them.
        text = f'#include <cuda_fp16.h>\n#include "cuda.hpp"\n{code}\n{"".join(entries)}'
        self.library = ctypes.CDLL(str(_built(device.folder, text)))

    def get_function(self, expression):
        return Kernel(self, expression, self.number[expression])


def _built(folder, text):
    header = "".join(p.read_text() for p in sorted((HERE / "emulation").iterdir()))
    name = hashlib.sha256((header + text).encode()).hexdigest()[:20]
    source, target = folder / f"{name}.cpp", folder / f"{name}.so"
    if not target.exists():
        source.write_text(text)
        part = target.with_suffix(".part")
        done = subprocess.run([*COMPILER, source, "-o", part], capture_output=True, text=True)
        if done.returncode:
            raise Failure("g++ does not take the kernels:\n" + done.stderr[:3000])
        part.replace(target)
    return target


class Kernel:
    """One kernel: called as CuPy calls it, and checked as it would not be."""

    def __init__(self, module, expression, number):
        self.device, self.name = module.device, re.match(r"\w+", expression)[0]
        self.run = getattr(module.library, f"run_{number}")
        self.run.restype = ctypes.c_char_p
        signature = getattr(module.library, f"signature_{number}")
        signature.restype = ctypes.c_char_p
        self.signature = signature().decode()

    def __call__(self, grid, block, arguments, shared_mem=0):
        if len(arguments) != len(self.signature):
            raise Failure(f"{self.name}: {len(arguments)} arguments for {self.signature}")
        values = [
            self._value(k, letter, a)
            for k, (letter, a) in enumerate(zip(self.signature, arguments, strict=True))
        ]
        grid, block = _three(grid), _three(block)
        if block[0] * block[1] * block[2] > 1024 or max(grid[1:]) > 65535 or grid[0] >= 2**31:
            raise Failure(f"{self.name}: no GPU takes a grid of {grid}, blocks of {block}")
        launch = _Launch(
            grid, block, shared_mem, self.device.order, *(self.device.columns or (0, 0))
        )
        addresses = [ctypes.cast(ctypes.pointer(v), ctypes.c_void_p) for v in values]
        self.device.launched.append((self.name, grid, block, shared_mem))
        failure = self.run(ctypes.byref(launch), (ctypes.c_void_p * len(values))(*addresses))
        if failure:
            raise Failure(f"{self.name}: {failure.decode()}")
        host_memory.check_guards(self.name)

    def _value(self, k, letter, a):
        fits = {
            "i": lambda: type(a) is int,
            "e": lambda: type(a) is float,
            "v": lambda: hasattr(a, "data") or a == 0,
            "h": lambda: _is(a, "float16"),
            "f": lambda: _is(a, "float32"),
            "d": lambda: _is(a, "float64"),
        }
        if not fits[letter]():
            raise Failure(f"{self.name}: argument {k} is {a!r:.80}, but {letter!r} is wanted")
        if letter == "i":
            return ctypes.c_longlong(a)
        if letter == "e":
            return ctypes.c_double(a)
        return ctypes.c_void_p(a if isinstance(a, int) else a.data.ptr)


def _is(a, dtype):
    return (type(a) is int and a == 0) or (hasattr(a, "dtype") and a.dtype == dtype)


def _three(sizes):
    if not all(type(n) is int and n > 0 for n in sizes):
        raise Failure(f"a grid or a block of {sizes}")
    return tuple(sizes) + (1,) * (3 - len(sizes))

"""Numba's compiler, if it is installed; if not, the loops stay Python and nobody calls them."""

import functools
import hashlib
import warnings
from pathlib import Path

try:
    import numba
except Exception:  # a Numba that does not take this NumPy, or finds no LLVM, says so in many ways
    numba = None


def jit(**options):
    """A decorator that compiles a function at its first call, and keeps the result on disk.

    The compiled code lets other threads run. ``a * b + c`` may be rounded once instead of twice;
    ``reassociate=True`` lets sums be taken in another order as well, many at a time. What is not
    finite stays so.
    """
    fastmath = {"contract", "reassoc"} if options.pop("reassociate", False) else {"contract"}
    if numba is None:
        return lambda function: function
    compiled = functools.partial(
        numba.njit, nogil=True, error_model="numpy", fastmath=fastmath, **options
    )

    def decorate(function):
        try:
            return _stamped(compiled(function, cache=True))
        except RuntimeError:  # no folder to keep it in: a read-only installation
            return compiled(function)

    return decorate


def works(trial, what):
    """Whether ``trial()`` raises nothing; else it is said that ``what`` is done more slowly.

    Some loops are written in LLVM's language, of which another Numba may have another idea.
    """
    try:
        trial()
    except Exception as error:  # of Numba, of LLVM, or of Python where their names have changed
        warnings.warn(
            f"Numba {numba.__version__} is there, but {what} cannot be compiled "
            f"({type(error).__name__}: {error}); NumPy does it, more slowly",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


def _stamped(made):
    """``made``, whose file on disk is out of date when any file of loops has changed.

    Numba looks at the file of a function alone. But what the function calls, from other files, is
    compiled into it, and would stay there as it was before an update.
    """
    try:
        kept = made._cache._cache_file
        kept._source_stamp = kept._source_stamp, _sources()
    except AttributeError:  # another Numba: then it is as Numba likes it
        pass
    return made


@functools.cache
def _sources():
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

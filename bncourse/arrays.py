"""Which library holds this array, and which precision its device offers.

The rest of the package never names NumPy or CuPy: it asks here and then uses only what the
array API standard has. CuPy is imported only when somebody asks for it by name.
"""

import os
import sys
from functools import cache
from numbers import Real

import array_api_compat as compat
import array_api_compat.numpy
import numpy as np

_LIBRARIES = ("numpy", "cupy")


def namespace(**arrays):
    """The array library that holds all the given arrays.

    Parameters are passed by the name that the caller's user knows, so that an error can say
    which one is meant: ``namespace(x=x, gamma=gamma)``. ``None`` and Python lists are passed
    over, because they live nowhere.

    Returns
    -------
    module
        The array API namespace (of array-api-compat where the library needs it).

    Raises
    ------
    TypeError
        If no argument is an array, if one is a masked array or a matrix, or if two of them live
        in different libraries or on different devices. The message says which lives where.
    """
    some = False
    for a in arrays.values():
        if type(a) is np.ndarray:
            some = True
        elif a is not None:
            break
    else:
        if some:
            return array_api_compat.numpy  # the common case, told in half a microsecond
    if _on_one_gpu(arrays.values()):  # told in a microsecond more
        from array_api_compat import cupy

        return cupy
    found = {
        name: a for name, a in arrays.items() if not (a is None or isinstance(a, (list, tuple)))
    }
    places = {}
    for name, a in found.items():
        if isinstance(a, (np.ma.MaskedArray, np.matrix)):  # they would give another mean, silently
            raise TypeError(
                f"{name} is a {type(a).__name__}, but a plain array is needed: leave out what is "
                f"masked, or convert it, e.g. np.asarray({name})"
            )
        if not compat.is_array_api_obj(a):
            raise TypeError(_not_an_array(name, a))
        places[name] = (compat.array_namespace(a), compat.device(a))
    if not places:
        raise TypeError(_not_an_array(*next(iter(arrays.items()))))
    first, home = next(iter(places.items()))
    for name, place in places.items():
        if place != home:
            how = f', e.g. bncourse.arrays.to({name}, "{_name(home[0])}")'
            raise TypeError(
                f"{first} lives in {_describe(home)} but {name} in {_describe(place)}: "
                f"move one of them{how if _name(home[0]) in _LIBRARIES else ''}"
            )
    return home[0]


def _on_one_gpu(found):
    """Whether these are arrays of CuPy on the same device, or ``None``, and not all ``None``."""
    cupy = sys.modules.get("cupy")
    if cupy is None:
        return False
    places = set()
    for a in found:
        if a is not None:
            places.add(a.data.device_id if type(a) is cupy.ndarray else None)
    return len(places) == 1 and None not in places


def _not_an_array(name, a):
    return f"{name} must be an array, not {type(a).__name__}: wrap it, e.g. np.asarray({name})"


def library(x):
    """Name of the library that holds ``x``: ``"numpy"``, ``"cupy"``, ``"array_api_strict"`` ..."""
    return _name(compat.array_namespace(x))


def _name(xp):
    return xp.__name__.removeprefix("array_api_compat.").split(".")[0]


def _describe(place):
    xp, device = place
    return _name(xp) if str(device) == "cpu" else f"{_name(xp)} ({device})"


def accumulator(x):
    """Widest real floating dtype on the device of ``x``, and never narrower than ``x`` itself.

    Sums and statistics are carried in it: float64 wherever the device has it.
    """
    if type(x) is np.ndarray:
        return np.result_type(x.dtype, np.float64)  # the common case, told in a microsecond
    xp = compat.array_namespace(x)
    # Asked anew each time: a device of CuPy has no hash, so it cannot be the key of a cache.
    offered = xp.__array_namespace_info__().dtypes(device=compat.device(x), kind="real floating")
    return xp.result_type(x.dtype, offered.get("float64", xp.float32))


@cache
def at_least_float32(dtype, xp):
    """``dtype`` of the library ``xp``, or float32 if it is narrower: to compute in."""
    return xp.result_type(dtype, xp.float32)


def cast(x, dtype):
    """``x`` in ``dtype``: itself if it is so already, which is told in no time."""
    if x.dtype == dtype:
        return x
    return x.astype(dtype) if type(x) is np.ndarray else namespace(x=x).astype(x, dtype)


def check_real(name, x):
    """Raise ``TypeError`` unless ``x`` has a real floating dtype; says how to convert it.

    The message calls it by its ``name``.
    """
    if type(x) is np.ndarray and x.dtype.kind == "f":
        return  # the common case, told in a microsecond
    xp = namespace(**{name: x})
    if xp.isdtype(x.dtype, "real floating"):
        return
    if xp.isdtype(x.dtype, "complex floating"):
        raise TypeError(
            f"{name} is complex ({x.dtype}), but real floating point numbers are needed: "
            "pass real and imaginary parts as two features"
        )
    raise TypeError(
        f"{name} has dtype {x.dtype}, but real floating point numbers are needed: "
        f"convert it first, e.g. {name}.astype('float32')"
    )


def check_upstream(dy, shape, cache):
    """Array library of ``dy``, an upstream gradient, after a look at its dtype, shape and home.

    Raises
    ------
    TypeError
        If ``dy`` is not real floating point, or lives elsewhere than the array ``cache``.
    ValueError
        If its shape is not ``shape``, that of the output: it would be stretched in silence.
    """
    check_real("dy", dy)
    if tuple(dy.shape) != tuple(shape):
        raise ValueError(
            f"dy has shape {tuple(dy.shape)}, but the forward pass gave a y of {tuple(shape)}"
        )
    return namespace(dy=dy, cache=cache)


def check_cache(cache, kind, source):
    """Raise ``TypeError`` unless ``cache`` is of the ``kind`` that ``source`` returns."""
    if not isinstance(cache, kind):
        raise TypeError(
            f"cache must be the second value that {source} returned, not {type(cache).__name__}"
        )


def place(name, value, x, shape, dtype):
    """``value`` (array or list) as an array beside ``x``, of the given dtype, checked for shape.

    Messages call it by its ``name``.

    Raises
    ------
    TypeError
        If ``value`` is complex or not numeric, or a list of something else than numbers.
    ValueError
        If its shape is not ``shape``; the message names both.
    """
    xp = namespace(x=x)
    if isinstance(value, (list, tuple)):
        if not all(isinstance(v, Real) for v in value):
            raise TypeError(f"{name} must be an array or a flat list of real numbers, not {value}")
        value = xp.asarray([float(v) for v in value], dtype=dtype, device=compat.device(x))
    elif not xp.isdtype(value.dtype, ("real floating", "integral")):
        raise TypeError(f"{name} has dtype {value.dtype}, but real numbers are needed")
    if tuple(value.shape) != tuple(shape):
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}, but x asks for {tuple(shape)}: "
            "one value per channel"
        )
    return cast(value, dtype)


def to(x, library):
    """Move an array to ``"numpy"`` or ``"cupy"``; one that is already there is returned as it is.

    Raises
    ------
    TypeError
        If ``x`` is not an array.
    ValueError
        If the library is not one of the two.
    RuntimeError
        If CuPy is asked for and cannot be used here; the message says why.
    """
    if library not in _LIBRARIES:
        raise ValueError(f"library must be 'numpy' or 'cupy', not {library!r}")
    namespace(x=x)
    if library == "cupy":
        reason = why_no_cupy()
        if reason:
            raise RuntimeError(f"CuPy cannot be used here: {reason}")
        import cupy

        return cupy.asarray(x)
    if compat.is_cupy_array(x):
        return x.get()
    return np.asarray(x)


@cache
def why_no_cupy():
    """``None`` if CuPy and a GPU are usable here, else the reason in words.

    An importable CuPy proves nothing (there may be no device, no driver, or no compiler), and
    some versions raise where they should answer False. So a real kernel is run.
    """
    try:
        import cupy
    except ModuleNotFoundError as error:
        return f"it is not installed ({_first_line(error)}); see the extra 'gpu'"
    except Exception as error:  # an ImportError mostly, but a mismatched NumPy raises others too
        return f"it is installed, but importing it failed ({_first_line(error)})"
    try:
        if float((cupy.arange(3, dtype=cupy.float32) * 2).sum()) != 6:
            return "a test kernel gave a wrong result"
    except Exception as error:  # CuPy raises many kinds here; each means "no GPU for us"
        return f"a test kernel failed ({_first_line(error)})"
    return None


def _first_line(error):
    """Kind and first line of an error; CuPy fills pages, framed by rows of ``=``."""
    lines = [line.strip(" =") for line in str(error).splitlines()]
    return ": ".join([type(error).__name__, *[line for line in lines if line][:1]])


def backend():
    """The library that scripts and notebooks should use: ``"numpy"`` or ``"cupy"``.

    Read from the environment variable ``BNCOURSE_BACKEND``: ``numpy`` (the default), ``cupy``
    (an error if it cannot be used) or ``auto`` (CuPy where it works; prints once what it chose
    and why).
    """
    wanted = os.environ.get("BNCOURSE_BACKEND", "numpy").strip().lower() or "numpy"
    if wanted not in (*_LIBRARIES, "auto"):
        raise ValueError(f"BNCOURSE_BACKEND must be numpy, cupy or auto, not {wanted!r}")
    if wanted == "auto":
        return _automatic_backend()
    if wanted == "cupy" and why_no_cupy():
        raise RuntimeError(f"BNCOURSE_BACKEND=cupy, but CuPy cannot be used: {why_no_cupy()}")
    return wanted


@cache
def _automatic_backend():
    reason = why_no_cupy()
    print("backend: numpy, because " + reason if reason else "backend: cupy")
    return "numpy" if reason else "cupy"

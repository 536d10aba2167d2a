"""What this computer offers to the package: versions, array libraries, a GPU, data sets."""

import contextlib
import io
import os
import platform
from importlib import metadata

import bncourse
from bncourse import arrays
from bncourse.data import downloads
from bncourse.data.sources import SOURCES

LIBRARIES = {
    "numpy": "",
    "matplotlib": "",
    "array-api-compat": "",
    "platformdirs": "",
    "pooch": "",
    "safetensors": "",
    "scikit-learn": "",
    "threadpoolctl": "",
    "tqdm": "",
    "numba": "fast",
    "cupy": "gpu",
    "mpi4py": "mpi",
    "torch": "peers",
    "onnx": "peers",
    "onnxruntime": "peers",
}
"""Libraries that the package uses, and the extra that installs each (``""``: always there)."""

_WHEELS = {"cupy": ("cupy-cuda12x", "cupy-cuda13x", "cupy-cuda11x", "cupy")}


def environment():
    """Everything that a bug report needs, and that a reader wants to know before the first run.

    Imports no optional library but CuPy, which has to run a kernel to be believed.

    Returns
    -------
    dict
        Only strings, booleans, ``None`` and dicts of these: ``bncourse``, ``python`` and
        ``platform`` (versions); ``libraries`` (version of each, ``None`` if it is not installed);
        ``backend`` with ``name`` and ``problem``; ``gpu`` with ``usable`` and ``reason``;
        ``data`` with ``BNCOURSE_DATA``, ``cache`` and, for each data set, ``folder``, ``usable``
        and ``problem``.
    """
    reason = arrays.why_no_cupy()
    return {
        "bncourse": bncourse.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "backend": _backend(),
        "gpu": {"usable": reason is None, "reason": reason},
        "data": {
            "BNCOURSE_DATA": os.environ.get("BNCOURSE_DATA") or None,
            "cache": str(downloads.cache()),
            **{name: _data(name) for name in SOURCES},
        },
    }


def text(found):
    """What :func:`environment` has ``found``, as lines for a reader (str)."""
    lines = [f"bncourse {found['bncourse']}, Python {found['python']}, {found['platform']}"]
    lines += ["", "libraries"]
    for name, version in found["libraries"].items():
        extra = LIBRARIES[name]
        missing = f"not installed (extra {extra!r})" if extra else "missing, but needed"
        lines.append(f"  {name:17} {version or missing}")
    gpu = "usable" if found["gpu"]["usable"] else f"not usable: CuPy: {found['gpu']['reason']}"
    lines += ["", "backends"]
    lines.append(f"  {'chosen':17} {found['backend']['name'] or found['backend']['problem']}")
    lines.append(f"  {'GPU':17} {gpu}")
    lines += ["", "data", f"  {'digits':17} always there"]
    for name in SOURCES:
        data = found["data"][name]
        state = "intact" if data["usable"] else data["problem"]
        lines.append(f"  {name:17} {data['folder'] or 'nowhere'} ({state})")
    return "\n".join(lines)


def _version(name):
    for wheel in _WHEELS.get(name, (name,)):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(wheel)
    return None


def _backend():
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # "auto" says what it chose; so do we
            return {"name": arrays.backend(), "problem": None}
    except (RuntimeError, ValueError) as error:
        return {"name": None, "problem": str(error)}


def _data(name):
    try:
        place, faults = downloads.folder(name), downloads.faults(name)
    except OSError as error:
        return {"folder": None, "usable": False, "problem": str(error)}
    problem = None
    if list(faults.values()) == ["missing"] * len(SOURCES[name].files):
        problem = f"not here yet: python -m bncourse data fetch {name}"
    elif faults:
        problem = "; ".join(f"{path.name} is {fault}" for path, fault in faults.items())
    return {"folder": str(place), "usable": not faults, "problem": problem}

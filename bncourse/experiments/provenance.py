"""Where a result comes from: versions, machine and data. Nothing that names a person or a place."""

import hashlib
import os
import platform
from importlib import metadata
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

import bncourse
from bncourse.data import digits
from bncourse.data.sources import SOURCES


def environment():
    """What computes: versions, BLAS and its threads as they are now, and the kind of machine.

    Returns
    -------
    dict of str to str or int
        ``python``, ``numpy``, ``bncourse``, ``blas``, ``threads`` (0 where the BLAS does not
        tell), ``system``, ``cpu`` and ``cores``.
    """
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    names = {f"{library['internal_api']} {library['version']}" for library in blas}
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "bncourse": bncourse.__version__,
        "blas": ", ".join(sorted(names)) or "unknown",
        "threads": max((library["num_threads"] for library in blas), default=0),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
    }


def checksum(name):
    """What tells one copy of the data set ``name`` from another, as a str.

    For a downloaded set the SHA-256 over those of its files, which :mod:`bncourse.data.downloads`
    compares before it uses one; for ``"digits"`` that of its pixels and labels, and the version
    of scikit-learn that holds them.

    Raises
    ------
    ValueError
        If there is no such data set.
    """
    if name in SOURCES:
        sums = [sha256 for _, (_, sha256) in sorted(SOURCES[name].files.items())]
        return f"sha256 {hashlib.sha256(''.join(sums).encode()).hexdigest()}"
    if name != "digits":
        wanted = ", ".join(["digits", *SOURCES])
        raise ValueError(f"data in a config must be one of {wanted}, not {name!r}")
    data = digits(dtype="float64")
    pixels = np.rint(16 * np.concatenate([data.x_train, data.x_test])).astype(np.uint8)
    labels = np.concatenate([data.y_train, data.y_test]).astype(np.uint8)
    found = hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()
    return f"sha256 {found} (scikit-learn {metadata.version('scikit-learn')})"


def _cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or "unknown"

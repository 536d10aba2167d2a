"""Checkpoints: a training run in files, from which it goes on as if nothing had happened.

A file is written whole or not at all, in the safetensors format, which runs no code when read. It
holds everything that decides the rest of the run, and a digest by which damage shows.
"""

import hashlib
import json
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bncourse import checks
from bncourse.nn.files import read, write_atomically

_FORMAT = "bncourse checkpoint 1"


class Snapshot(NamedTuple):
    """What a checkpoint holds.

    Attributes
    ----------
    step : int
        Steps done.
    parts : dict
        By name (``"net"``, ``"optimizer"``, ``"order"``, ``"history"``) what ``state_dict()`` of
        that part gave.
    run : dict
        What run it belongs to: its settings, as JSON has them.
    """

    step: int
    parts: dict
    run: dict


class Checkpoint:
    """Where a run is saved, how often, and how many files are kept; for ``fit(checkpoint=...)``.

    One folder a run. A run that finds files in its folder goes on from the newest.

    Parameters
    ----------
    directory : str or path
        Made when it is needed.
    every : int
        Steps between two files: what a killed run loses at most.
    keep : int
        How many files are kept, at least 1. With 2, the default, there is one to fall back on.
    on_damage : {"raise", "previous"}
        What happens if the newest file is cut or corrupt: a ``ValueError`` that names it and
        offers the last good one; or a warning that names both, the damaged file is put aside
        under a name that ends in ``.damaged``, and the last good one is used.

    Raises
    ------
    TypeError, ValueError
        If a number is not what it must be, or ``on_damage`` none of the two.
    """

    def __init__(self, directory, every=500, keep=2, on_damage="raise"):
        self.directory = Path(directory)
        self.every = checks.integer("every", every, 1)
        self.keep = checks.integer("keep", keep, 1)
        if on_damage not in ("raise", "previous"):
            raise ValueError(f"on_damage must be 'raise' or 'previous', not {on_damage!r}")
        self.on_damage = on_damage

    def paths(self):
        """Files that are there, the newest last."""
        found = (path for path in self.directory.glob("step-*.safetensors"))
        numbered = [p for p in found if re.fullmatch(r"step-\d+", p.stem)]
        return sorted(numbered, key=lambda path: int(path.stem[5:]))

    def save(self, snapshot):
        """Write ``snapshot``, a :class:`Snapshot`; returns the path. Files beyond ``keep`` go.

        Raises
        ------
        OSError
            If the disk is full, say; then the files that were there still are.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"step-{snapshot.step:08d}.safetensors"
        write_atomically(path, _content(snapshot))
        for old in self.paths()[: -self.keep]:
            old.unlink()
        for scratch in self.directory.glob(".step-*.safetensors.*"):
            scratch.unlink()  # of a process that was killed while writing
        return path

    def latest(self):
        """The newest snapshot, or ``None`` if there is no file.

        Raises
        ------
        ValueError
            If the newest file is damaged and ``on_damage`` is ``"raise"``, or none is good.
        """
        paths = self.paths()
        for path in reversed(paths):
            try:
                snapshot = load(path)
            except ValueError as error:
                reason = str(error)
            else:
                self._put_aside(paths[paths.index(path) + 1 :], path)
                return snapshot
            if self.on_damage == "raise":
                break
        if not paths:
            return None
        offer = next((p for p in reversed(paths) if _is_good(p)), None)
        raise ValueError(
            f"{reason}; "
            + (
                f"the last good checkpoint is {offer}: delete the damaged one to go on from there, "
                "or say so with Checkpoint(..., on_damage='previous')"
                if offer
                else f"no checkpoint in {self.directory} is good: empty it to start anew"
            )
        )

    def _put_aside(self, damaged, used):
        for path in damaged:
            warnings.warn(
                f"{path} is damaged and was put aside as {path.name}.damaged; the run goes on "
                f"from the last good checkpoint, {used}",
                stacklevel=5,
            )
            path.rename(path.with_name(f"{path.name}.damaged"))


def load(path):
    """The :class:`Snapshot` in a file; restore a part with ``net.load_state_dict(parts["net"])``.

    Raises
    ------
    FileNotFoundError
        If there is no file ``path``.
    ValueError
        If it is cut, corrupt, or no checkpoint; the message names it.
    """
    arrays = read(path)
    try:
        with safe_open(path, framework="np") as file:
            notes = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file ({error})") from None
    if notes.get("format") != _FORMAT:
        raise ValueError(f"{path} is not a checkpoint of this version of bncourse")
    if notes.get("digest") != _digest(notes.get("about", ""), arrays):
        raise ValueError(f"{path} is corrupt: its content does not match its digest")
    about = json.loads(notes["about"])
    parts = {part: {} for part in about["parts"]}
    for name, a in arrays.items():
        part, _, name = name.partition("/")
        parts[part][name] = a
    return Snapshot(about["step"], parts, about["run"])


def _content(snapshot):
    arrays: dict[str, Any] = {}
    for part, state in snapshot.parts.items():
        for name, a in state.items():
            # In C order: safetensors would write another one as it lies in memory, transposed.
            arrays[f"{part}/{name}"] = np.array(a, order="C")
    about = {"step": snapshot.step, "run": snapshot.run, "parts": list(snapshot.parts)}
    about = json.dumps(about)
    return save(arrays, {"format": _FORMAT, "about": about, "digest": _digest(about, arrays)})


def _digest(about, arrays):
    """SHA-256 over all there is in a file: a bit that flipped on the disk must show."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        a = arrays[name]
        digest.update(f"{name} {a.dtype} {a.shape}".encode())
        digest.update(np.ravel(a).view(np.uint8))
    return digest.hexdigest()


def _is_good(path):
    try:
        load(path)
    except ValueError:
        return False
    return True

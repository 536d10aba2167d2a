"""Networks in files: parameters and statistics in the safetensors format, which runs no code."""

import os
import tempfile
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file, save


def save_file(net, path):
    """Write ``net.state_dict()`` to a safetensors file, whole or not at all.

    Parameters
    ----------
    net : Module
    path : str or path
        Its folder must exist. A file that is there is replaced only once the new one is complete.
    """
    write_atomically(path, save(net.state_dict()))


def load_into(net, path):
    """Read the safetensors file at ``path`` into ``net``; returns ``net``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is cut or corrupt, or does not fit the network; then nothing has changed.
    """
    net.load_state_dict(read(path))
    return net


def read(path):
    """Arrays by name from a safetensors file; ``ValueError`` naming ``path`` if it is corrupt."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a complete safetensors file ({error}): save it again, or use another"
        ) from None


def write_atomically(path, content):
    """Write bytes ``content`` to ``path`` such that no half of it is ever seen, not even after a
    power cut: written beside it, flushed to disk, then renamed."""
    path = Path(path)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise

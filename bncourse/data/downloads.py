"""Data sets in files: where they are looked for, whether they are intact, how they are fetched.

Looked for, in this order:

1. in the folder that the environment variable ``BNCOURSE_DATA`` names: in its subfolder ``mnist``
   or ``fashion-mnist``, or in itself;
2. in the cache: the folder ``BNCOURSE_CACHE``, or the user's own cache folder;
3. on the web, on several mirrors in turn; what comes goes into the cache.

No file is used whose SHA-256 is not that of :data:`bncourse.data.sources.SOURCES`.
"""

import os
import warnings
from pathlib import Path

import pooch
from tqdm.auto import tqdm

from bncourse.data.sources import SOURCES

TIMEOUT = 30
"""Seconds without a byte after which a mirror is given up."""


def cache():
    """Folder into which downloads go: ``BNCOURSE_CACHE`` where it is set, else the user's own."""
    return _from_environment("BNCOURSE_CACHE") or Path(pooch.os_cache("bncourse"))


def folder(name):
    """Folder that holds the files of a data set, or into which they would be downloaded.

    Parameters
    ----------
    name : str
        A key of :data:`bncourse.data.sources.SOURCES`: ``"mnist"`` or ``"fashion-mnist"``.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        If there is no data set of that name.
    NotADirectoryError
        If ``BNCOURSE_DATA`` is set, but not to a folder.
    """
    if name not in SOURCES:
        raise ValueError(f"name must be {' or '.join(map(repr, SOURCES))}, not {name!r}")
    given = _from_environment("BNCOURSE_DATA")
    if given is None:
        return cache() / name
    if not given.is_dir():
        raise NotADirectoryError(f"BNCOURSE_DATA is set to {given}, but there is no such folder")
    if any((given / name / file).is_file() for file in SOURCES[name].files):
        return given / name
    return given if _holds(given, name) else cache() / name


def faults(name):
    """What is wrong with the files of a data set on this computer.

    Parameters
    ----------
    name : str
        As in :func:`folder`, which see for what is raised.

    Returns
    -------
    dict
        From the path of each file that is not as published (pathlib.Path) to what is wrong with
        it in words (str); empty if all is well.
    """
    place = folder(name)
    found = {place / file: _fault(place / file, name) for file in SOURCES[name].files}
    return {path: fault for path, fault in found.items() if fault}


def fetch(name):
    """See to it that all files of a data set are on this computer and intact.

    What is missing from the cache or damaged there is downloaded, mirror after mirror. A file
    gets its name only when it is complete and its checksum is right, so that an interrupted
    download leaves nothing that could be mistaken for data. Nothing is ever written into
    ``BNCOURSE_DATA``.

    Parameters
    ----------
    name : str
        As in :func:`folder`.

    Returns
    -------
    pathlib.Path
        The folder that holds them.

    Raises
    ------
    ValueError
        If there is no data set of that name, or a file in ``BNCOURSE_DATA`` is damaged.
    FileNotFoundError
        If some, but not all files are in ``BNCOURSE_DATA``, or if no mirror could be reached or
        sent what it should; the message says what to do then.
    OSError
        If the cache cannot be written.
    """
    place = folder(name)
    for path, fault in faults(name).items():
        if place != cache() / name:
            kind = ValueError if path.is_file() else FileNotFoundError
            raise kind(
                f"{path} is {fault}. Put the file of {SOURCES[name].mirrors[0]} in its place, or "
                f"unset BNCOURSE_DATA to have {SOURCES[name].title} downloaded."
            )
        if path.is_file():
            warnings.warn(f"{path} is {fault}; it is downloaded again", stacklevel=2)
        _download(name, path.name, place)
    return place


def _from_environment(variable):
    value = os.environ.get(variable, "").strip()
    return Path(os.path.abspath(Path(value).expanduser())) if value else None


def _fault(path, name):
    """What is wrong with a file of the data set ``name``; ``None`` if it is as published."""
    if not path.is_file():
        return "missing"
    if _is(path, name):
        return None
    for other, source in SOURCES.items():
        if other != name and _is(path, other):
            return f"not of {SOURCES[name].title}, but the file of {source.title} of the same name"
    size, wanted = path.stat().st_size, SOURCES[name].files[path.name][0]
    return "damaged: " + (
        f"its size is {size} bytes, not {wanted}" if size != wanted else "its checksum is wrong"
    )


def _is(path, name):
    size, sha256 = SOURCES[name].files[path.name]
    return path.stat().st_size == size and pooch.file_hash(str(path), alg="sha256") == sha256


def _holds(place, name):
    """Whether the files in ``place`` are meant to be this data set: all have the same names."""
    found = [place / file for file in SOURCES[name].files if (place / file).is_file()]
    if any(_is(path, name) for path in found):
        return True
    others = [other for other in SOURCES if other != name]
    return bool(found) and not any(_is(path, other) for path in found for other in others)


class _Bar(tqdm):
    """Progress of a download: only on a terminal or in a notebook, and only if it takes a while."""

    def __init__(self, **options):
        look = {"unit": "B", "unit_scale": True, "leave": False, "delay": 0.5, "disable": None}
        super().__init__(**look | options)

    def update(self, n=1):
        """Not beyond the end: pooch counts whole chunks, the last one too."""
        return super().update(min(n, self.total - self.n))

    def reset(self):
        """Only the count: pooch does this at the end to set it right, and the clock runs on."""
        self.n = 0


def _download(name, file, place):
    import requests  # slow to import, and needed once in a computer's life

    size, sha256 = SOURCES[name].files[file]
    refusals = []
    for mirror in SOURCES[name].mirrors:
        # A server that packs the packed file once more would have it unpacked once too often.
        options = {"headers": {"Accept-Encoding": "identity"}, "timeout": TIMEOUT}
        try:
            with _Bar(total=size, desc=file) as bar:
                get = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, **options)
                pooch.retrieve(mirror + file, f"sha256:{sha256}", file, place, downloader=get)
            return
        except (requests.RequestException, ValueError) as error:  # ValueError: a wrong checksum
            refusals.append(f"  {mirror}{file}: {_reason(error)}")
            cause = error
    raise FileNotFoundError(_advice(name, file, refusals)) from cause


def _reason(error):
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"the server answers {status}"
    if isinstance(error, OSError):
        return f"no connection, or it broke off ({type(error).__name__})"
    return "what came has the wrong checksum (cut, changed, or the page of a login?)"


def _advice(name, file, refusals):
    title = SOURCES[name].title
    return "\n".join(
        [
            f"{title} is not on this computer and could not be downloaded: no mirror sent {file}.",
            *refusals,
            "What you can do:",
            "- Use the digits that come with the package and need no download: "
            "bncourse.data.digits().",
            "- Try again when you are online.",
            f"- Or get these files elsewhere and put them into {cache() / name}, or into any "
            "folder that the environment variable BNCOURSE_DATA names:",
            *(f"  {SOURCES[name].mirrors[0]}{file}" for file in SOURCES[name].files),
        ]
    )

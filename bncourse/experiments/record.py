"""Recorded results: a JSON file an experiment in ``book/results``, from which the book is drawn.

A record says what computed it, and is compared with the code as it is now: one that does not
match is told, by :func:`outdated`, in the tests and where the book is built.
"""

import json
from importlib import metadata
from pathlib import Path

import bncourse
from bncourse.experiments.numbers import dumps
from bncourse.experiments.provenance import checksum
from bncourse.experiments.registry import EXPERIMENTS, find
from bncourse.experiments.results import Results
from bncourse.nn.files import write_atomically


def folder():
    """Folder of the records in the checkout that the package is imported from (pathlib.Path).

    Raises
    ------
    FileNotFoundError
        If it is not imported from a checkout of the course, but installed without the book.
    """
    root = Path(bncourse.__file__).parents[1]
    if not (root / "_toc.yml").is_file():
        raise FileNotFoundError(
            "results are recorded in a checkout of the course: clone it, install it there with "
            "pip install -e ., and run the command again"
        )
    return root / "book" / "results"


def save(experiment, results, into=None):
    """Write the complete ``results`` of an ``experiment`` to its file; returns the path.

    Parameters
    ----------
    experiment : Experiment
    results : Results
    into : path, optional
        Folder to write to, by default :func:`folder`.

    Raises
    ------
    ValueError
        If they are not those of the whole grid. Then nothing is written.
    """
    there = [(cell["config"], cell["seed"]) for cell in results.cells]
    wanted = [(cell.config, cell.seed) for cell in experiment.cells()]
    if there != wanted:
        raise ValueError(
            f"results must be those of the whole grid, {len(wanted)} runs in their order, but "
            f"{sum(run not in there for run in wanted)} of them are missing"
        )
    into = Path(into or folder())
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{experiment.name}.json"
    write_atomically(path, _text(experiment, results).encode())
    return path


def load(name, source=None):
    """The recorded results of an experiment.

    Parameters
    ----------
    name : str
        Of the experiment, such as ``"two-nets"``.
    source : path, optional
        Folder to read from, by default that of the course, or what was installed with the package.

    Returns
    -------
    Results

    Raises
    ------
    ValueError
        If there is no such experiment.
    FileNotFoundError
        If it is not recorded; the message says how to compute it.
    """
    experiment = find(name)
    path = Path(source) / f"{name}.json" if source else _installed(f"{name}.json")
    if path is None or not path.is_file():
        raise FileNotFoundError(
            f"{name} is not recorded here; to compute it: python -m bncourse experiment run {name}"
        )
    record = read(path)
    environments = record["environments"]
    cells = [c | {"environment": environments[c["environment"]]} for c in record["cells"]]
    return Results(name, cells, experiment.shows)


def read(path):
    """The record in the file ``path``, as a dict; ``ValueError`` if it is no strict JSON."""

    def refuse(constant):
        raise ValueError(f"{path} is no strict JSON: {constant}")

    return json.loads(Path(path).read_text("utf-8"), parse_constant=refuse)


def outdated(experiment, record):
    """Why the dict ``record`` is not what its ``experiment`` would give today; ``""`` if it is."""
    if record["version"] != experiment.version:
        return f"it is of version {record['version']}, the experiment of {experiment.version}"
    if record["code"] != experiment.code:
        return f"the code of {experiment.run.__module__} has changed since"
    wanted = [(cell.config, cell.seed) for cell in experiment.cells()]
    if [(cell["config"], cell["seed"]) for cell in record["cells"]] != wanted:
        return "the configs or seeds of the experiment have changed since"
    return ""


def faults(source=None):
    """What is wrong with the records in a folder.

    Parameters
    ----------
    source : path, optional
        By default :func:`folder`.

    Returns
    -------
    dict
        From the path of each record that must not be shown (pathlib.Path) to the reason and the
        command that mends it (str); empty if all is well.
    """
    found = {}
    for path in sorted(Path(source or folder()).glob("*.json")):
        if path.stem not in EXPERIMENTS:
            found[path] = "there is no such experiment (any more): delete the file"
            continue
        try:
            reason = outdated(EXPERIMENTS[path.stem], read(path))
        except (ValueError, TypeError, KeyError) as error:
            reason = f"it is no record ({type(error).__name__}: {error})"
        if reason:
            mend = f"python -m bncourse experiment run {path.stem} --record"
            found[path] = f"{reason}; to compute it anew: {mend}"
    return found


def _text(experiment, results):
    """A record as text: one cell a line, always the same bytes for the same content."""
    environments = {dumps(cell["environment"]): cell["environment"] for cell in results.cells}
    index = {text: i for i, text in enumerate(environments)}
    cells = [c | {"environment": index[dumps(c["environment"])]} for c in results.cells]
    data = sorted({c["config"]["data"] for c in cells if "data" in c["config"]})
    head = {
        "code": experiment.code,
        "data": {name: checksum(name) for name in data},
        "name": experiment.name,
        "version": experiment.version,
    }
    parts = [f'"{name}": {dumps(value)}' for name, value in head.items()]
    for name, rows in (("environments", environments.values()), ("cells", cells)):
        parts.append(f'"{name}": [\n' + ",\n".join(map(dumps, rows)) + "\n]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _installed(file):
    """Path of a recorded ``file``: in the checkout, or where an installed package has put it."""
    try:
        return folder() / file
    except FileNotFoundError:
        files = metadata.files("bncourse") or []
        place = f"bncourse/results/{file}"
        return next((Path(f.locate()) for f in files if f.as_posix().endswith(place)), None)

"""One cell of a grid: how it is computed, in whatever process, and the file it is kept in."""

import json
import traceback
import warnings
from datetime import UTC, datetime
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from bncourse.experiments.numbers import dumps, to_json
from bncourse.experiments.provenance import environment
from bncourse.nn.files import write_atomically


def compute(cell):
    """Run one cell, with one BLAS thread: small matrices are multiplied fastest so.

    Parameters
    ----------
    cell : Cell

    Returns
    -------
    result : dict or None
        Plain values: ``config``, ``seed``, ``series``, ``seconds`` (wall clock), ``date`` (UTC)
        and ``environment``; ``None`` if the cell failed.
    failure : str
        Then the traceback, as text: an exception of somebody else's may not survive the way
        between two processes. Otherwise ``""``.
    """
    date, start = datetime.now(UTC).date().isoformat(), perf_counter()
    try:
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings(), np.errstate():
            # What diverges overflows, step after step; it is the result that tells of it.
            np.seterr(all="ignore")
            warnings.simplefilter("ignore", RuntimeWarning)
            series = to_json(cell.run(dict(cell.config), cell.seed))
            made_by = environment()
    except Exception:
        return None, traceback.format_exc()
    return {
        "config": cell.config,
        "seed": cell.seed,
        "series": series,
        "seconds": round(perf_counter() - start, 1),
        "date": date,
        "environment": made_by,
    }, ""


class Store:
    """Finished cells, a file each, in a folder that is made when it is needed.

    Parameters
    ----------
    folder : pathlib.Path
    """

    def __init__(self, folder):
        self.folder = folder

    def path(self, cell):
        """The file of ``cell``, whether it is there or not."""
        return self.folder / cell.name / f"{cell.key}.json"

    def load(self, cell):
        """What :func:`compute` gave for ``cell``, or ``None`` if it is not there, or damaged."""
        path = self.path(cell)
        try:
            return json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            warnings.warn(f"{path} is damaged; that cell is computed anew", stacklevel=2)
            return None

    def save(self, cell, result):
        """Keep ``result`` of ``cell``: the file is there whole, or not at all."""
        path = self.path(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, dumps(result).encode())

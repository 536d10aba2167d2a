"""A grid of cells, run on processes of this computer or on MPI ranks; what is done stays done."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, ProcessPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from bncourse import checks
from bncourse.data import downloads
from bncourse.data.sources import SOURCES
from bncourse.experiments.cells import Store, compute
from bncourse.experiments.results import Results
from bncourse.training.progress import Progress

DIED = (None, "the process died: it was killed, or there was not enough memory")


class Outcome(NamedTuple):
    """What became of a grid.

    Attributes
    ----------
    results : Results
        Of all cells that are done.
    failures : list of tuple
        Each a :class:`~bncourse.experiments.Cell` and the reason it failed, as text.
    found : int
        How many cells were there before.
    """

    results: Results
    failures: list
    found: int


def run(experiment, quick=False, workers=None, executor=None, folder=None, progress=False):
    """Run all cells of an experiment that are not done yet.

    A cell is kept in a file as soon as it is finished, so that a run that was killed, started
    again, computes the rest. A cell that fails takes no other along, even if it takes its process
    along; it is tried again the next time.

    Parameters
    ----------
    experiment : Experiment
    quick : bool
        Whether to run the version that takes a minute.
    workers : int, optional
        How many cells at a time; as many as this process may use cores, by default.
    executor : concurrent.futures.Executor, optional
        Where to run them instead of in ``workers`` processes of this computer.
    folder : path, optional
        Where finished cells are kept; by default :func:`cells_folder`.
    progress : bool
        Whether to show how far it has come, and how long it will take.

    Returns
    -------
    Outcome

    Raises
    ------
    ValueError
        If there is no quick version, or ``workers`` is less than 1.
    OSError
        If the data is not here and cannot be fetched, or a cell cannot be written.
    KeyboardInterrupt
        On Ctrl-C, at once; cells that were being computed are lost, finished ones are kept.
    """
    workers = _cores() if workers is None else checks.integer("workers", workers, 1)
    workers = getattr(executor, "num_workers", workers)  # of MPI: the ranks there are
    cells, store = experiment.cells(quick), Store(Path(folder or cells_folder()))
    done = {cell.key: store.load(cell) for cell in cells}
    todo = [cell for cell in cells if done[cell.key] is None]
    for name in {cell.config.get("data") for cell in todo} & SOURCES.keys():
        downloads.fetch(name)  # here, once, and not by all workers at the same time
    failures = []
    found = len(cells) - len(todo)
    outcomes = _on(executor, deque(todo), workers) if executor else _here(deque(todo), workers)
    label = experiment.name if progress and todo else ""
    with _Progress(label, len(cells), found) as shown, closing(outcomes):
        for cell, (result, failure) in outcomes:
            if failure:
                failures.append((cell, failure))
            else:
                store.save(cell, result)
                done[cell.key] = result
            shown.advance()
    finished = [done[cell.key] for cell in cells if done[cell.key] is not None]
    return Outcome(Results(experiment.name, finished, experiment.shows, quick), failures, found)


def cells_folder():
    """Folder of finished cells: in the cache, see :func:`bncourse.data.downloads.cache`."""
    return downloads.cache() / "experiments"


@contextmanager
def mpi_executor():
    """The MPI ranks that this program was started on, as an executor; ``None`` if on none.

    For ``mpiexec -n 4 python -m mpi4py.futures -m bncourse ...``: one rank leads, three compute.

    Raises
    ------
    ValueError
        If it was started by ``mpiexec``, but without ``mpi4py.futures``: each rank would do it
        all.
    """
    ranks = int(os.environ.get("PMI_SIZE") or os.environ.get("OMPI_COMM_WORLD_SIZE") or 1)
    if "mpi4py.futures" not in sys.modules:
        if ranks > 1:
            raise ValueError(
                f"each of the {ranks} MPI ranks would compute everything. To share the work: "
                "mpiexec -n 4 python -m mpi4py.futures -m bncourse experiment run NAME"
            )
        yield None
    elif ranks == 1:
        yield None
    else:
        from mpi4py.futures import MPIPoolExecutor

        with MPIPoolExecutor() as executor:
            yield executor


def _on(executor, waiting, size):
    """Run the cells in ``waiting`` (a deque), ``size`` at a time; yields cell and outcome.

    No more are handed over than can run: what was handed over cannot be called back.
    """
    running, broken = {}, False
    while running or (waiting and not broken):
        while waiting and not broken and len(running) < size:
            try:
                future = executor.submit(compute, waiting[0])
                running[future] = waiting.popleft()
            except BrokenExecutor:
                broken = True
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            try:
                outcome = future.result()
            except BrokenExecutor:
                outcome, broken = DIED, True
            yield running.pop(future), outcome


def _here(waiting, workers):
    """The same on processes of this computer, where a cell may take its process along."""
    while waiting:
        suspects = []
        with _processes(min(workers, len(waiting))) as pool:
            for cell, outcome in _on(pool, waiting, workers):
                if outcome == DIED:
                    suspects.append(cell)
                else:
                    yield cell, outcome
        for cell in suspects:  # when one process dies the pool stops all; alone, each gets its due
            with _processes(1) as pool:
                yield from _on(pool, deque([cell]), 1)


@contextmanager
def _processes(number):
    others = set(multiprocessing.active_children())
    # Not forked: a BLAS with threads may hang in a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(number, context, _begin)
    try:
        yield pool
    except BaseException:  # Ctrl-C above all: nobody wants to wait for the end of a cell
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin():
    """What a worker does first: leave Ctrl-C to its parent, and not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _cores():
    """How many cores this process may use: on a shared machine fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Progress(Progress):
    """The bar of a training run, counting cells."""

    def _write(self, ending):
        print(
            f"{self.label}: {self.done} of {self.total} runs{ending}", file=sys.stderr, flush=True
        )

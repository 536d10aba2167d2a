"""The commands ``python -m bncourse experiment list | show | run``."""

import argparse
import sys
from collections import Counter

from bncourse.experiments import grid, record
from bncourse.experiments.cells import Store
from bncourse.experiments.registry import EXPERIMENTS

PROGRAM = "python -m bncourse experiment"

FINE, FAILED = 0, 1

EXPERIMENT = f"""\
Run the experiments of the course, and show what was recorded of them.

examples:
  {PROGRAM} list
  {PROGRAM} show two-nets
  {PROGRAM} run two-nets --quick

An experiment is a grid of runs: configs times seeds. Each finished run is kept,
so that a command that was stopped goes on from there when it is given again."""

LIST = f"""\
List the experiments, and whether their recorded results are up to date.

example:
  {PROGRAM} list"""

SHOW = f"""\
Show what an experiment varies, how far it is computed on this computer, and
its recorded result.

example:
  {PROGRAM} show two-nets"""

RUN = f"""\
Compute the runs of an experiment that are not done yet, and print what came
out. Ctrl-C stops it; the same command then goes on. A run that fails is
reported with its config at the end, and the exit code is 1.

examples:
  {PROGRAM} run two-nets --quick      a minute, no download
  {PROGRAM} run two-nets              the full version
  {PROGRAM} run two-nets --workers 1  on one core only
  {PROGRAM} run two-nets --record     keep it in the book

On a cluster, one MPI rank leads and the others compute (extra "mpi"):
  mpiexec -n 4 python -m mpi4py.futures -m bncourse experiment run two-nets

The full versions use MNIST, which is downloaded once: see
  python -m bncourse data --help"""


def add_commands(commands, new, show_help):
    """Add ``experiment`` and what is below it to the command line.

    Parameters
    ----------
    commands : object
        What ``add_subparsers`` of a parser gave.
    new : callable
        ``new(make, text, **options)`` makes a parser with the help ``text``.
    show_help : callable
        From a parser to the function that runs when a command is not complete.
    """
    top = new(commands.add_parser, EXPERIMENT, name="experiment", help="run and show experiments")
    top.set_defaults(run=show_help(top))
    actions = top.add_subparsers(title="commands", metavar="COMMAND")

    listed = new(actions.add_parser, LIST, name="list", help="all experiments")
    listed.set_defaults(run=_list)

    shown = new(actions.add_parser, SHOW, name="show", help="what one varies, and its result")
    shown.set_defaults(run=_show)

    run = new(actions.add_parser, RUN, name="run", help="compute one")
    which = run.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true", help="a small version, on small images")
    which.add_argument("--record", action="store_true", help="keep the result in book/results")
    run.add_argument("--workers", type=_count, metavar="N", help="runs at a time (default: cores)")
    run.set_defaults(run=_run)

    for parser in (shown, run):
        parser.add_argument(
            "name", choices=EXPERIMENTS, help=", ".join(EXPERIMENTS), metavar="NAME"
        )


def _list(options):
    width = max(map(len, EXPERIMENTS)) + 2
    for name, experiment in EXPERIMENTS.items():
        print(f"{name:{width}}{experiment.title}\n{'':{width}}{_state(name)}")
    return FINE


def _show(options):
    experiment = EXPERIMENTS[options.name]
    cells = experiment.cells()
    store = Store(grid.cells_folder())
    done = sum(store.path(cell).is_file() for cell in cells)
    print(experiment.title)
    if experiment.chapter:
        print(f"chapter   book/{experiment.chapter}")
    print(f"grid      {len(experiment.configs)} configs x {len(experiment.seeds)} seeds")
    print(f"here      {done} of {len(cells)} runs are done, in {store.folder / experiment.name}")
    print(f"recorded  {_state(options.name)}")
    try:
        results = record.load(options.name)
    except FileNotFoundError:
        return FINE
    print(f"\n{results!r}\n\n{results.table()}")
    return FINE


def _run(options):
    experiment = EXPERIMENTS[options.name]
    if options.record:
        record.folder()  # better told now than in an hour
    with grid.mpi_executor() as executor:
        outcome = grid.run(experiment, options.quick, options.workers, executor, progress=True)
    results = outcome.results
    if results.cells:
        print(f"{results!r}\n\n{results.table()}")
    if outcome.failures:
        return _tell(outcome.failures)
    if options.record:
        print(f"\nrecorded in book/results/{record.save(experiment, results).name}")
    return FINE


def _tell(failures):
    """Each traceback once, with the configs that it came from."""
    for reason in Counter(reason for _, reason in failures):
        print(f"\n{reason.rstrip()}", file=sys.stderr)
        for cell in (cell for cell, why in failures if why == reason):
            print(f"failed: {cell}", file=sys.stderr)
    print(
        f"error: {len(failures)} runs failed. The others are kept; the same command tries these "
        "again",
        file=sys.stderr,
    )
    return FAILED


def _state(name):
    try:
        path = record.folder() / f"{name}.json"
    except FileNotFoundError:
        return "not in a checkout of the course"
    if not path.is_file():
        return "not recorded yet"
    return record.faults(path.parent).get(path) or "up to date"


def _count(text):
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1, not {text!r}")
    return number

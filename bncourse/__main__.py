"""The command line: what is installed, data sets, experiments, speed, a reader's progress.

``python -m bncourse --help`` says more.
"""

import argparse
import json
import os
import sys
import warnings

import bncourse
from bncourse import about
from bncourse.bench import commands as bench
from bncourse.data import downloads
from bncourse.data.sources import SOURCES
from bncourse.exercises import EXERCISES, progress
from bncourse.experiments.commands import add_commands

PROGRAM = "python -m bncourse"

FINE, FAILED, WRONG_USE, STOPPED = 0, 1, 2, 130


def _megabytes(*names):
    return round(sum(size for name in names for size, _ in SOURCES[name].files.values()) / 1e6)


TOP = f"""\
The companion package of the batch normalization course.

examples:
  {PROGRAM} info              what is installed, and can a GPU be used?
  {PROGRAM} data fetch mnist  download MNIST once, for all programs
  {PROGRAM} progress          which exercises are solved
  {PROGRAM} experiment list   what the book's long runs are
  {PROGRAM} bench cpu         how fast batch norm is on this machine

Nothing has to be downloaded to begin: the chapters use small images that come
with scikit-learn. Add --help to a command to read more about it."""

INFO = f"""\
Say which versions are installed, which array library bncourse would choose,
whether a GPU can be used and if not why, and where data sets are looked for.

examples:
  {PROGRAM} info
  {PROGRAM} info --json   the same for a program, or for a bug report"""

DATA = f"""\
Download data sets, check them, and say where they are.

examples:
  {PROGRAM} data fetch mnist
  {PROGRAM} data verify
  {PROGRAM} data path fashion-mnist

Files that you already have are found in the folder that the environment
variable BNCOURSE_DATA names. Downloads go into the folder BNCOURSE_CACHE, or
into your own cache folder where that is not set."""

FETCH = f"""\
Download what is not here yet, and check it. Several mirrors are tried in turn.
A file that is here and intact is not downloaded again.

examples:
  {PROGRAM} data fetch          all data sets, {_megabytes(*SOURCES)} MB
  {PROGRAM} data fetch mnist    {_megabytes("mnist")} MB"""

VERIFY = f"""\
Compare each file with its published checksum. Nothing is downloaded.
The exit code is 1 if a file is missing or damaged.

example:
  {PROGRAM} data verify mnist"""

PATH = f"""\
Print the folder that holds a data set, or into which it would be downloaded:
one line a data set, and nothing else, so that a script can use it.

example:
  ls "$({PROGRAM} data path mnist)\""""

PROGRESS = f"""\
Show the exercises of the course, and which of them you have solved. Each check
of an answer of yours adds a line to a small file; nothing leaves this computer.

examples:
  {PROGRAM} progress
  {PROGRAM} progress --json     the same for a program
  {PROGRAM} progress --forget   remove the file, and begin again

The file is in your own data folder, or where the environment variable
BNCOURSE_PROGRESS says."""


def main(arguments=None):
    """Run one command.

    Parameters
    ----------
    arguments : list of str, optional
        What follows ``python -m bncourse``; by default that of this process.

    Returns
    -------
    int
        0 if all went well; 1 if something failed, and standard error says what; 2 if the command
        was not understood; 130 if it was stopped by the keyboard.
    """
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as end:  # argparse has said what is wrong, or printed the help
        return end.code
    try:
        code = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, e.g. `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED


def _parser():
    parser = _command(argparse.ArgumentParser, TOP, prog=PROGRAM)
    parser.add_argument("--version", action="version", version=f"bncourse {bncourse.__version__}")
    parser.set_defaults(run=_show_help(parser))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    info = _command(commands.add_parser, INFO, name="info", help="versions, backends, GPU, data")
    info.add_argument("--json", action="store_true", help="print JSON")
    info.set_defaults(run=_info)

    solved = _command(commands.add_parser, PROGRESS, name="progress", help="exercises solved")
    solved.add_argument("--json", action="store_true", help="print JSON")
    solved.add_argument("--forget", action="store_true", help="remove all that is recorded")
    solved.set_defaults(run=_progress)

    data = _command(commands.add_parser, DATA, name="data", help="download and check data sets")
    data.set_defaults(run=_show_help(data))
    actions = data.add_subparsers(title="commands", metavar="COMMAND")
    for name, text, what, run in (
        ("fetch", FETCH, "download what is not here yet", _fetch),
        ("verify", VERIFY, "compare the files with their checksums", _verify),
        ("path", PATH, "print where a data set is", _path),
    ):
        action = _command(actions.add_parser, text, name=name, help=what)
        action.add_argument(
            "name",
            nargs="?",
            default="all",
            choices=[*SOURCES, "all"],
            help=f"{', '.join(SOURCES)} or all (the default)",
            metavar="NAME",
        )
        action.set_defaults(run=run)

    add_commands(commands, _command, _show_help)
    bench.add_commands(commands, _command, _show_help)
    return parser


def _command(make, text, **options):
    # Raw: argparse would fill the examples into one paragraph. No abbreviations: a script that
    # says --js today would break when there is a --jsonl.
    return make(
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **options,
    )


def _show_help(parser):
    def run(options):
        parser.print_help(sys.stderr)
        return WRONG_USE

    return run


def _names(options):
    return list(SOURCES) if options.name == "all" else [options.name]


def _info(options):
    found = about.environment()
    print(json.dumps(found, indent=2) if options.json else about.text(found))
    return FINE


def _progress(options):
    if options.forget:
        progress.forget()
        print(f"{progress.file()} is removed")
    elif options.json:
        states = progress.read()
        found = {e.name: vars(states.get(e.name, progress.State())) for e in EXERCISES}
        print(json.dumps(found, indent=2))
    else:
        print(progress.table(EXERCISES))
        print(f"\nkept in {progress.file()}")
    return FINE


def _fetch(options):
    failures = 0
    for name in _names(options):
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *rest: print(f"note: {message}", file=sys.stderr)
            warnings.simplefilter("always", UserWarning)
            try:
                print(f"{SOURCES[name].title} is in {downloads.fetch(name)}")
            except (OSError, ValueError) as error:  # the other data set may still be had
                print(f"error: {error}", file=sys.stderr)
                failures += 1
    return FAILED if failures else FINE


def _verify(options):
    failures = 0
    for name in _names(options):
        place, faults = downloads.folder(name), downloads.faults(name)
        for file in SOURCES[name].files:
            fault = faults.get(place / file)
            print(f"{place / file}: {fault or 'intact'}")
            failures += fault is not None
    if failures:
        advice = f"to download what is not intact: {PROGRAM} data fetch {options.name}"
        print(f"error: {failures} not intact; {advice}", file=sys.stderr)
    return FAILED if failures else FINE


def _path(options):
    for name in _names(options):
        print(downloads.folder(name))
    return FINE


if __name__ == "__main__":
    sys.exit(main())

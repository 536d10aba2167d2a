"""The commands ``python -m bncourse bench NAME``, one a module of this package.

Such a module has ``HELP`` (half a line), ``TEXT`` (the help), ``add_arguments(parser)`` and
``run(options)``, which returns an exit code.
"""

from bncourse.bench import cpu, gpu

BENCHMARKS = {"cpu": cpu, "gpu": gpu}

PROGRAM = "python -m bncourse bench"

BENCH = f"""\
Measure how fast batch norm is on this machine, beside what else is installed.

examples:
  {PROGRAM} cpu --quick
  {PROGRAM} gpu"""


def add_commands(commands, new, show_help):
    """Add ``bench`` and what is below it to the command line.

    Parameters
    ----------
    commands : object
        What ``add_subparsers`` of a parser gave.
    new : callable
        ``new(make, text, **options)`` makes a parser with the help ``text``.
    show_help : callable
        From a parser to the function that runs when a command is not complete.
    """
    top = new(commands.add_parser, BENCH, name="bench", help="measure the speed of batch norm here")
    top.set_defaults(run=show_help(top))
    actions = top.add_subparsers(title="commands", metavar="COMMAND")
    for name, benchmark in BENCHMARKS.items():
        parser = new(actions.add_parser, benchmark.TEXT, name=name, help=benchmark.HELP)
        benchmark.add_arguments(parser)
        parser.set_defaults(run=benchmark.run)

"""``python -m bncourse bench``: a registry, and a benchmark that says ratios."""

import argparse

from bncourse.__main__ import main
from bncourse.bench import commands


def test_each_benchmark_can_be_asked_for_help(capsys):
    for name, benchmark in commands.BENCHMARKS.items():
        assert main(["bench", name, "--help"]) == 0
        assert capsys.readouterr().out.count(benchmark.TEXT.splitlines()[0]) == 1


def test_without_a_name_it_says_what_there_is(capsys):
    assert main(["bench"]) == 2
    assert all(name in capsys.readouterr().err for name in commands.BENCHMARKS)


def test_a_benchmark_has_what_the_registry_asks_for():
    for benchmark in commands.BENCHMARKS.values():
        benchmark.add_arguments(argparse.ArgumentParser())
        assert benchmark.HELP and callable(benchmark.run)

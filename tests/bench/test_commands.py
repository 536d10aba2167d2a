"""``python -m bncourse bench``: a registry, and a benchmark that says ratios."""

import argparse

from bncourse.__main__ import main
from bncourse.bench import commands, cpu


def test_each_benchmark_can_be_asked_for_help(capsys):
    for name, benchmark in commands.BENCHMARKS.items():
        assert main(["bench", name, "--help"]) == 0
        assert capsys.readouterr().out.count(benchmark.TEXT.splitlines()[0]) == 1


def test_without_a_name_it_says_what_there_is(capsys):
    assert main(["bench"]) == 2
    listed = capsys.readouterr().err
    assert all(name in listed for name in commands.BENCHMARKS)


def test_a_benchmark_has_what_the_registry_asks_for():
    for benchmark in commands.BENCHMARKS.values():
        benchmark.add_arguments(argparse.ArgumentParser())
        assert benchmark.HELP and callable(benchmark.run)


def test_the_cpu_says_how_fast_each_is(capsys, monkeypatch, tmp_path):
    shapes = {(300, 20): 1, (8, 5, 5, 9): -1}
    monkeypatch.setattr(cpu, "SHAPES", shapes)
    picture = tmp_path / "bars.png"
    assert main(["bench", "cpu", "--threads", "1", "--save", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "300x20\n" in out and "8x5x5x9, channels last\n" in out
    assert out.count("textbook") == 2 and "  1.0 x  #" in out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_threads_are_counted(capsys):
    assert main(["bench", "cpu", "--threads", "0"]) == 2
    assert "at least 1, not '0'" in capsys.readouterr().err

"""``python -m bncourse experiment``: list, show, run; and under MPI."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from experiments.toy import calls, toy

from bncourse.__main__ import main
from bncourse.experiments import EXPERIMENTS, commands, record

TESTS = Path(__file__).parents[1]


@pytest.fixture
def does(monkeypatch, tmp_path):
    """``does("walks")`` makes a toy that can be named on the command line."""
    monkeypatch.setenv("BNCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(record, "folder", lambda: tmp_path / "results")

    def does(*what):
        quick = [{"does": "walks", "mean": 9, "log": str(tmp_path / "log")}]
        monkeypatch.setitem(
            EXPERIMENTS, "toy", toy(tmp_path, *what, quick=quick, chapter="why/toy")
        )

    return does


@pytest.fixture
def run(capsys):
    """``run("list")`` gives exit code, standard output and standard error."""

    def run(line):
        code = main(["experiment", *line.split()])
        return code, *capsys.readouterr()

    return run


def test_from_nothing_to_a_record(does, run, tmp_path):
    does("walks", "diverges")
    assert " toy A toy not recorded yet " in " ".join([*run("list")[1].split(), ""])
    code, out, _ = run("show toy")
    assert code == 0 and "book/why/toy" in out and "2 configs x 3 seeds" in out
    assert f"0 of 6 runs are done, in {tmp_path / 'cache' / 'experiments' / 'toy'}" in out

    code, out, err = run("run toy --workers 2")
    assert code == 0 and err.endswith("toy: 6 of 6 runs\n")
    assert "toy: 2 configs, 3 seeds, 6 runs" in out and "lowest" in out and "inf" in out
    assert "6 of 6 runs are done" in run("show toy")[1]
    assert not (tmp_path / "results").exists()

    code, out, err = run("run toy --record")
    assert code == 0 and err == "" and out.endswith("recorded in book/results/toy.json\n")
    assert len(calls(tmp_path)) == 6
    code, out, _ = run("show toy")
    assert code == 0 and "recorded  up to date" in out and "lowest" in out
    does("walks")
    assert "the configs or seeds of the experiment have changed since" in run("list")[1]


def test_quick_is_another_grid(does, run, tmp_path):
    does("fails")
    code, out, _ = run("run toy --quick --workers 1")
    assert code == 0 and "1 config, 1 seed, 1 run\n" in out and "run toy --quick" in out
    assert [call[1:] for call in calls(tmp_path)] == [("walks", 0)]


def test_failures_are_told_with_their_configs_and_nothing_is_recorded(does, run, tmp_path):
    does("walks", "fails")
    assert run("run toy --workers 2")[0] == 1
    code, out, err = run("run toy --record --workers 2")
    assert code == 1 and "1 config, 3 seeds, 3 runs" in out
    for seed in range(3):
        assert f"FloatingPointError: no luck with seed {seed}" in err
        assert f", seed={seed}\n" in err
    assert err.count("failed: does=fails, mean=1") == 3
    assert "error: 3 runs failed. The others are kept" in err
    assert not (tmp_path / "results").exists()


def test_a_reason_that_many_share_is_told_once(capsys):
    assert commands._tell([("a=1", "why\n"), ("a=2", "why\n"), ("a=3", "other")]) == 1
    err = capsys.readouterr().err
    assert err.startswith("\nwhy\nfailed: a=1\nfailed: a=2\n\nother\nfailed: a=3\nerror: 3 runs")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run toi", "invalid choice: 'toi'"),
        ("run toy --workers 0", "must be a whole number, at least 1, not '0'"),
        ("run toy --workers many", "must be a whole number, at least 1, not 'many'"),
        ("run toy --quick --record", "not allowed with argument --quick"),
        ("run", "the following arguments are required: NAME"),
    ],
)
def test_wrong_use_is_told_with_code_2(does, run, line, message):
    does("walks")
    code, out, err = run(line)
    assert code == 2 and out == "" and message in err


def test_nothing_is_computed_where_it_could_not_be_recorded(does, run, tmp_path, monkeypatch):
    def nowhere():
        raise FileNotFoundError("results are recorded in a checkout of the course")

    does("walks")
    monkeypatch.setattr(record, "folder", nowhere)
    code, out, err = run("run toy --record")
    assert code == 1 and err == "error: results are recorded in a checkout of the course\n"
    assert calls(tmp_path) == [] and "not in a checkout" in run("list")[1]


def test_ranks_that_would_all_do_the_same_are_stopped(does, run, monkeypatch, tmp_path):
    does("walks")
    monkeypatch.setenv("PMI_SIZE", "4")
    code, out, err = run("run toy")
    assert code == 1 and "each of the 4 MPI ranks would compute everything" in err
    assert "mpiexec -n 4 python -m mpi4py.futures -m bncourse" in err
    assert calls(tmp_path) == []


MPI = """
import sys
from pathlib import Path
from experiments.toy import toy
from bncourse.__main__ import main
from bncourse.experiments import EXPERIMENTS
if __name__ == "__main__":
    EXPERIMENTS["toy"] = toy(Path(sys.argv[1]), "walks", "steps")
    sys.exit(main(["experiment", "run", "toy"]))
"""


@pytest.mark.parametrize("ranks", [1, 3])
def test_mpi_ranks_share_the_work(tmp_path, ranks):
    pytest.importorskip("mpi4py", reason="mpi4py is not installed (extra 'mpi')")
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if not mpiexec:
        pytest.skip("there is no mpiexec")
    program = tmp_path / "program.py"
    program.write_text(MPI)
    command = [mpiexec, "-n", str(ranks), sys.executable, "-m", "mpi4py.futures", str(program)]
    done = subprocess.run(
        [*command, str(tmp_path)],
        env={
            **os.environ,
            "BNCOURSE_CACHE": str(tmp_path / "cache"),
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("toy: 2 configs, 3 seeds, 6 runs") == 1
    assert sorted(call[1:] for call in calls(tmp_path)) == sorted(
        (what, seed) for what in ("walks", "steps") for seed in range(3)
    )
    if ranks > 1:  # rank 0 leads, and computes nothing
        assert len({pid for pid, *_ in calls(tmp_path)}) == 2

"""Grids: resumed when killed, the same on every executor; failures are told, and alone."""

import os
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from experiments.toy import calls, toy

from bncourse.experiments import grid
from bncourse.experiments.cells import Store, compute

# A test run that was started in the background has Ctrl-C switched off, and its children too.
START = """
import signal
import sys
from pathlib import Path
from experiments.toy import toy
from bncourse.experiments import grid
signal.signal(signal.SIGINT, signal.default_int_handler)
folder, workers, *does = sys.argv[1:]
folder = Path(folder)
try:
    grid.run(toy(folder, *does), workers=int(workers), folder=folder / "cells", progress=True)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture
def run(tmp_path):
    """``run("walks", "fails")``: a toy, in threads of this process, its cells kept in tmp_path."""

    def run(*does, **options):
        with ThreadPoolExecutor(2) as executor:
            options = {"executor": executor, "folder": tmp_path / "cells"} | options
            return grid.run(toy(tmp_path, *does), **options)

    return run


def test_each_cell_is_run_once_and_kept(run, tmp_path):
    first, again = run("walks", "steps"), run("walks", "steps")
    assert sorted(calls(tmp_path))[0][1:] and len(calls(tmp_path)) == 6
    assert (first.found, again.found) == (0, 6)
    assert len(list((tmp_path / "cells" / "toy").iterdir())) == 6
    assert first.results.cells == again.results.cells
    assert [(c["config"]["does"], c["seed"]) for c in first.results.cells] == [
        (does, seed) for does in ("walks", "steps") for seed in range(3)
    ]


def test_processes_give_what_threads_give(run, tmp_path):
    here = run("walks").results.series("walk")
    other = tmp_path / "other"
    there = run("walks", executor=None, workers=2, folder=other).results.series("walk")
    np.testing.assert_array_equal(here, there)
    assert len(set(here[:, 0])) == 3
    assert os.getpid() not in {pid for pid, *_ in calls(tmp_path)[3:]}
    assert {pid for pid, *_ in calls(tmp_path)[:3]} == {os.getpid()}


def test_a_failure_is_told_with_its_config_and_takes_no_other_along(run, tmp_path):
    results, failures, _ = run("walks", "fails", "steps")
    assert [str(cell).split(", ")[0] for cell, _ in failures] == ["does=fails"] * 3
    assert {cell.seed for cell, _ in failures} == {0, 1, 2}
    for cell, why in failures:
        assert f"FloatingPointError: no luck with seed {cell.seed}" in why and "toy.py" in why
    assert {c["config"]["does"] for c in results.cells} == {"walks", "steps"}
    assert len(results.cells) == 6


def test_a_failed_cell_is_tried_again(run, tmp_path):
    run("fails")
    run("fails")
    assert len(calls(tmp_path)) == 6


def test_a_cell_that_kills_its_process_is_found_and_takes_no_other_along(run, tmp_path):
    results, failures, _ = run("walks", "dies", "steps", executor=None, workers=2)
    assert {(cell.config["does"], why) for cell, why in failures} == {("dies", grid.DIED[1])}
    assert len(failures) == 3 and len(results.cells) == 6


def test_the_neighbor_of_a_cell_that_kills_its_process_is_computed(tmp_path):
    experiment = toy(tmp_path, "waits for death", "dies", seeds=[0])
    results, failures, _ = grid.run(experiment, workers=2, folder=tmp_path / "cells")
    assert [cell.config["does"] for cell, _ in failures] == ["dies"]
    assert [cell["config"]["does"] for cell in results.cells] == ["waits for death"]


def test_no_more_cells_are_handed_over_than_an_executor_has_workers(run):
    class Alone(ThreadPoolExecutor):
        num_workers = 1
        waiting = 0

        def submit(self, *call):
            future = super().submit(*call)
            assert self.waiting == 0
            self.waiting += 1
            future.add_done_callback(self.is_done)
            return future

        def is_done(self, future):
            self.waiting -= 1

    with Alone(3) as executor:
        assert len(run("walks", executor=executor, workers=3).results.cells) == 3


def test_a_divergence_is_a_result(run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results, failures, _ = run("diverges")
    assert failures == []
    walk = results.series("walk")
    assert np.isneginf(walk[:, 2]).all() and np.isnan(walk[:, 3]).all()
    assert np.isposinf(walk[:, 4]).all() and np.isfinite(walk[:, :2]).all()


def test_a_damaged_cell_is_computed_anew(run, tmp_path):
    first = run("walks").results
    broken = next((tmp_path / "cells" / "toy").iterdir())
    broken.write_bytes(broken.read_bytes()[:50])
    with pytest.warns(UserWarning, match=f"{broken.name} is damaged; that cell is computed anew"):
        again = run("walks")
    assert again.found == 2
    np.testing.assert_array_equal(again.results.series("walk"), first.series("walk"))


def test_other_code_does_not_pass_for_this_one(run, tmp_path, monkeypatch):
    run("walks")
    monkeypatch.setattr("bncourse.experiments.Experiment.code", "another")
    assert run("walks").found == 0


def test_blas_has_one_thread_while_a_cell_is_computed(tmp_path):
    result, failure = compute(toy(tmp_path, "walks").cells()[0])
    assert failure == "" and result["environment"]["threads"] in (0, 1)


def test_what_says_where_a_cell_comes_from(tmp_path):
    result, _ = compute(toy(tmp_path, "walks").cells()[0])
    assert set(result) == {"config", "seed", "series", "seconds", "date", "environment"}
    made_by = result["environment"]
    assert made_by["numpy"] == np.__version__ and made_by["cores"] >= 1 and made_by["cpu"]
    assert not any("/" in str(value) for value in made_by.values())


@pytest.mark.parametrize("workers", [0, -1, 1.5])
def test_a_wrong_number_of_workers_is_told(tmp_path, workers):
    with pytest.raises((TypeError, ValueError), match="workers must be"):
        grid.run(toy(tmp_path, "walks"), workers=workers, folder=tmp_path)


def test_missing_data_is_told_before_anything_is_run(tmp_path, monkeypatch):
    monkeypatch.setenv("BNCOURSE_DATA", str(tmp_path / "typo"))
    experiment = toy(tmp_path, "walks", configs=[{"data": "mnist"}])
    with pytest.raises(OSError, match="BNCOURSE_DATA is set to"):
        grid.run(experiment, workers=1, folder=tmp_path)
    assert calls(tmp_path) == []


def started(folder, workers, *does):
    """A process that runs a toy, and is given time until three cells sleep or are done."""
    tests = Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(folder), str(workers), *does],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])},
        stderr=subprocess.PIPE,
        text=True,
    )
    return process


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)


def is_gone(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT", "SIGTERM"])
def test_what_was_finished_when_it_was_killed_is_kept(tmp_path, how):
    process = started(tmp_path, 2, "walks", "sleeps")
    cells = tmp_path / "cells" / "toy"
    wait_for(lambda: len(calls(tmp_path)) == 5 and len(list(cells.glob("*.json"))) == 3)
    process.send_signal(getattr(signal, how))
    process.communicate(timeout=30)
    assert process.returncode == (130 if how == "SIGINT" else -getattr(signal, how))
    workers = {pid for pid, *_ in calls(tmp_path)}
    wait_for(lambda: all(map(is_gone, workers)))  # nobody goes on in the background

    store = Store(tmp_path / "cells")
    before = {p: p.read_bytes() for p in cells.glob("*.json")}
    done = [store.load(cell) for cell in toy(tmp_path, "walks", "sleeps").cells()]
    assert [cell and cell["config"]["does"] for cell in done] == ["walks"] * 3 + [None] * 3
    with ThreadPoolExecutor(1) as executor:
        again = grid.run(toy(tmp_path, "walks"), executor=executor, folder=tmp_path / "cells")
    assert again.found == 3 and len(calls(tmp_path)) == 5
    assert {p: p.read_bytes() for p in cells.glob("*.json")} == before


def test_where_nobody_watches_progress_comes_in_lines(run, capsys):
    run("walks", progress=True)
    assert capsys.readouterr().err == "toy: 3 of 3 runs\n"
    run("walks", progress=True)
    run("steps")
    assert capsys.readouterr().err == ""

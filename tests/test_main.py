"""The command line, in this process and in one of its own."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from mirrors import FILES, SETS, Web, contents, isolate, put

import bncourse
from bncourse import about, arrays
from bncourse.__main__ import main
from bncourse.data import downloads
from bncourse.data.sources import SOURCES
from bncourse.exercises import EXERCISES, progress, room

COMMANDS = ["", "info", "progress", "data", "data fetch", "data verify", "data path"]
COMMANDS += ["experiment", "experiment list", "experiment show", "experiment run"]


@pytest.fixture(scope="module")
def web():
    with Web() as server:
        yield server
        server.shutdown()


@pytest.fixture
def cache(monkeypatch, tmp_path, web):
    """An empty cache before a good mirror."""
    return isolate(monkeypatch, tmp_path, web.mirror("good"))


@pytest.fixture
def offline(monkeypatch, tmp_path, web):
    return isolate(monkeypatch, tmp_path, web.mirror("dead"))


@pytest.fixture
def run(capsys):
    """``run("data path")`` gives exit code, standard output and standard error."""

    def run(line):
        code = main(line.split())
        return code, *capsys.readouterr()

    return run


def process(line, **environment):
    """The same by a process of its own, which has no way out to the web."""
    kept = {k: v for k, v in os.environ.items() if k.lower() not in ("no_proxy", "bncourse_data")}
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    return subprocess.run(
        [sys.executable, "-m", "bncourse", *line.split()],
        env={**kept, **nowhere, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_that_are_right(run, cache, command):
    code, out, err = run(f"{command} --help")
    assert code == 0 and err == ""
    assert f"usage: python -m bncourse {command}".strip() in out
    examples = [line.strip() for line in out.splitlines() if line.startswith("  python -m")]
    assert examples or command == "data path"
    for example in examples:
        words = example.split("   ")[0].split("  ")[0].removeprefix("python -m bncourse ")
        assert main([*words.split(), "--help"]) == 0
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("command", ["", "data", "experiment"])
def test_half_a_command_shows_the_help_as_an_error(run, command):
    code, out, err = run(command)
    assert code == 2 and out == "" and "examples:" in err


@pytest.mark.parametrize(
    "line, message",
    [
        ("dat", "invalid choice: 'dat'"),
        ("data load", "invalid choice: 'load'"),
        ("data fetch cifar", "invalid choice: 'cifar'"),
        ("data fetch mnist fashion-mnist", "unrecognized arguments: fashion-mnist"),
        ("info --js", "unrecognized arguments: --js"),
    ],
)
def test_wrong_use_is_told_with_code_2(run, line, message):
    code, out, err = run(line)
    assert code == 2 and out == "" and "usage: python -m bncourse" in err and message in err


def test_the_version(run):
    assert run("--version") == (0, f"bncourse {bncourse.__version__}\n", "")


def test_info_tells_what_is_here(run, cache):
    put(cache / "mnist", "mnist")
    put(cache / "fashion-mnist", "fashion-mnist", leave_out=FILES[:1])
    code, out, err = run("info")
    assert code == 0 and err == ""
    assert f"bncourse {bncourse.__version__}, Python {sys.version.split()[0]}" in out
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert lines["mnist"].endswith(f"{cache / 'mnist'} (intact)")
    assert lines["fashion-mnist"].endswith(f"({FILES[0]} is missing)")
    assert "always there" in lines["digits"]
    import numpy

    assert numpy.__version__ in lines["numpy"]


def test_info_as_json_is_the_same(run, cache):
    code, out, err = run("info --json")
    found = json.loads(out)
    assert code == 0 and found == about.environment()
    assert set(found["libraries"]) == set(about.LIBRARIES)
    assert found["data"]["cache"] == str(cache)
    problem = "not here yet: python -m bncourse data fetch mnist"
    assert found["data"]["mnist"] == {
        "folder": str(cache / "mnist"),
        "usable": False,
        "problem": problem,
    }
    assert problem in run("info")[1]


@pytest.mark.parametrize("reason", [None, "a test kernel failed (no driver)"])
def test_info_tells_why_a_gpu_cannot_be_used(run, cache, monkeypatch, reason):
    monkeypatch.setattr(arrays, "why_no_cupy", lambda: reason)
    assert json.loads(run("info --json")[1])["gpu"] == {"usable": reason is None, "reason": reason}
    line = next(line for line in run("info")[1].splitlines() if line.startswith("  GPU"))
    assert line.split(maxsplit=1)[1] == (f"not usable: CuPy: {reason}" if reason else "usable")


@pytest.mark.parametrize(
    "wanted, name, problem",
    [
        ("numpy", "numpy", None),
        ("auto", "numpy", None),
        ("torch", None, "BNCOURSE_BACKEND must be numpy, cupy or auto, not 'torch'"),
        ("cupy", None, "BNCOURSE_BACKEND=cupy, but CuPy cannot be used: there is no GPU"),
    ],
)
def test_info_reports_a_wrong_backend_and_goes_on(run, cache, monkeypatch, wanted, name, problem):
    monkeypatch.setattr(arrays, "why_no_cupy", lambda: "there is no GPU")
    arrays._automatic_backend.cache_clear()  # it prints once; that must not break the JSON
    monkeypatch.setenv("BNCOURSE_BACKEND", wanted)
    code, out, err = run("info --json")
    arrays._automatic_backend.cache_clear()
    assert (code, err) == (0, "")
    assert json.loads(out)["backend"] == {"name": name, "problem": problem}
    assert (name or problem) in run("info")[1]


def test_info_reports_a_wrong_data_folder_and_goes_on(run, cache, monkeypatch, tmp_path):
    monkeypatch.setenv("BNCOURSE_DATA", str(tmp_path / "typo"))
    code, out, _ = run("info")
    assert code == 0 and out.count(f"BNCOURSE_DATA is set to {tmp_path / 'typo'}") == len(SOURCES)


def test_info_lists_what_pyproject_asks_for():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    asked = {name: "" for name in project["dependencies"]}
    for extra in ("fast", "gpu", "mpi", "peers"):
        asked |= dict.fromkeys(project["optional-dependencies"][extra], extra)
    plain = {re.match(r"[\w-]+?(?=-cuda|[^\w-]|$)", n)[0]: extra for n, extra in asked.items()}
    plain.pop("mpich")  # a program, not a library
    assert plain.items() <= about.LIBRARIES.items()


def test_data_is_fetched_verified_and_found(run, cache):
    assert run("data verify")[0] == 1
    code, out, err = run("data fetch")
    assert code == 0 and out.splitlines() == [
        f"{SOURCES[name].title} is in {cache / name}" for name in SOURCES
    ]
    assert "note:" not in err and "error:" not in err
    assert {path.parts[0] for path in contents(cache)} == set(SETS)
    code, out, err = run("data verify all")
    assert code == 0 and err == "" and out.count(": intact\n") == 8
    assert run("data path") == (0, "".join(f"{cache / name}\n" for name in SOURCES), "")
    assert run("data path fashion-mnist") == (0, f"{cache / 'fashion-mnist'}\n", "")


def test_only_the_data_set_that_is_named_is_fetched(run, cache):
    assert run("data fetch fashion-mnist")[0] == 0
    assert os.listdir(cache) == ["fashion-mnist"]


def test_verify_names_what_is_wrong_and_changes_nothing(run, cache):
    place = put(cache / "mnist", "mnist", leave_out=FILES[3:])
    (place / FILES[1]).write_bytes(b"damaged")
    before = contents(cache)
    code, out, err = run("data verify mnist")
    assert code == 1 and contents(cache) == before
    assert [line.split(": ")[1] for line in out.splitlines()] == [
        "intact",
        "damaged",
        "intact",
        "missing",
    ]
    assert "error: 2 not intact" in err and "data fetch mnist" in err


def test_fetch_says_when_it_mends(run, cache):
    place = put(cache / "mnist", "mnist")
    (place / FILES[0]).write_bytes(b"damaged")
    code, out, err = run("data fetch mnist")
    assert code == 0 and f"note: {place / FILES[0]} is damaged" in err
    assert downloads.faults("mnist") == {}


def test_a_failure_of_one_does_not_keep_the_other_away(run, offline):
    put(offline / "fashion-mnist", "fashion-mnist")
    code, out, err = run("data fetch")
    assert code == 1 and "error: MNIST is not on this computer" in err
    assert out == f"Fashion-MNIST is in {offline / 'fashion-mnist'}\n"


@pytest.mark.parametrize("line", ["data path", "data verify", "data fetch"])
def test_an_expected_error_is_one_message_and_code_1(run, cache, monkeypatch, tmp_path, line):
    monkeypatch.setenv("BNCOURSE_DATA", str(tmp_path / "typo"))
    code, out, err = run(line)
    assert code == 1 and out == "" and err.startswith("error: BNCOURSE_DATA is set to")


def test_the_keyboard_stops_it_without_a_traceback(run, cache, monkeypatch):
    def stop(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "fetch", stop)
    assert run("data fetch") == (130, "", "stopped\n")


def test_a_process_of_its_own_prints_json_for_a_program(tmp_path):
    done = process("info --json", BNCOURSE_CACHE=str(tmp_path), BNCOURSE_BACKEND="auto")
    assert done.returncode == 0 and done.stderr == ""
    assert json.loads(done.stdout)["data"]["cache"] == str(tmp_path)


def test_a_process_of_its_own_fails_offline_without_a_traceback(tmp_path):
    done = process("data fetch mnist", BNCOURSE_CACHE=str(tmp_path))
    assert done.returncode == 1 and done.stdout == "" and contents(tmp_path) == {}
    assert "error: MNIST is not on this computer and could not be downloaded" in done.stderr
    assert "bncourse.data.digits()" in done.stderr and "Traceback" not in done.stderr


def test_a_process_of_its_own_gives_code_2_for_wrong_use():
    done = process("data fetch cifar")
    assert done.returncode == 2 and done.stdout == "" and "'cifar'" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="a closed pipe is told otherwise there")
def test_a_reader_that_leaves_early_causes_no_traceback(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "bncourse", "info"],
        env={**os.environ, "BNCOURSE_CACHE": str(tmp_path), "PYTHONUNBUFFERED": ""},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    os.close(writer)
    assert done.returncode == 1 and done.stderr == ""


def test_progress_shows_what_was_solved(run):
    room.check(7)
    code, out, err = run("progress")
    assert code == 0 and err == ""
    assert f"1 of {len(EXERCISES)} solved" in out and str(progress.file()) in out
    assert max(map(len, out.splitlines()[:-1])) <= 80


def test_progress_for_a_program(run):
    room.check(6)
    code, out, _ = run("progress --json")
    found = json.loads(out)
    assert code == 0 and set(found) == {e.name for e in EXERCISES}
    assert found["room"] == {"attempts": 1, "solved": "", "last": "unknown mistake"}


def test_progress_is_forgotten(run):
    room.check(7)
    code, out, _ = run("progress --forget")
    assert code == 0 and "is removed" in out
    assert progress.read() == {}

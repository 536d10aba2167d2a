"""What was solved is kept, one line an attempt, in a file that survives what happens to files."""

import json
import threading
from pathlib import Path

import pytest

from bncourse.exercises import EXERCISES, backward, progress, room
from bncourse.exercises.report import Report

RIGHT, WRONG = Report(True, "right", ""), Report(False, "raised", "")


def test_attempts_are_counted_and_the_first_right_one_is_dated():
    progress.record("room", WRONG)
    assert progress.read()["room"] == progress.State(1, "", "raised")
    progress.record("room", RIGHT)
    progress.record("room", WRONG)
    state = progress.read()["room"]
    assert (state.attempts, state.last) == (3, "raised")
    assert len(state.solved) == len("2026-11-21")


def test_a_check_is_an_attempt_but_a_stub_and_a_solution_of_the_book_are_not():
    def stub(*arguments):
        raise NotImplementedError

    room.check(...)
    backward.check(stub)
    room.check(7, mine=False)
    backward.check(backward.reference, mine=False)
    assert progress.read() == {}
    room.check(6)
    backward.check(backward.mistakes[0].wrong)
    room.check(7)
    states = progress.read()
    assert states["room"].solved and states["room"].attempts == 2
    assert states["backward"] == progress.State(1, "", "known mistake")


def test_a_solution_is_shown_after_an_answer_of_ones_own_only():
    assert "def gradients(" in repr(backward.check(backward.reference))
    assert "def " not in repr(backward.check(backward.reference, mine=False))


def test_lines_that_are_not_ours_are_passed_over():
    progress.record("room", RIGHT)
    with progress.file().open("a") as out:
        out.write('{"exercise": "room", "outc\nnull\n[1]\n{}\n')
    progress.record("room", RIGHT)
    assert progress.read()["room"].attempts == 2


@pytest.mark.parametrize(
    "line",
    ['{"exercise": ["room"], "outcome": "", "passed": true, "date": ""}', "[" * 100_000],
    ids=["a list", "a tower"],
)
def test_lines_that_nobody_can_have_written_are_passed_over(line):
    progress.file().write_text(line + "\n")
    progress.record("room", RIGHT)
    assert list(progress.read()) == ["room"]


def test_a_line_that_was_cut_off_takes_none_along():
    progress.record("room", RIGHT)
    progress.file().write_text(progress.file().read_text()[:-9])
    progress.record("pair", RIGHT)
    progress.record("pair", RIGHT)
    states = progress.read()
    assert "room" not in states and states["pair"].attempts == 2


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\xff\xfe\r\n", b"\x00\r\n"])
def test_what_an_editor_adds_does_no_harm(before):
    progress.record("room", RIGHT)
    lines = progress.file().read_bytes().replace(b"\n", b"\r\n")
    progress.file().write_bytes(before + lines)
    progress.record("room", RIGHT)
    assert progress.read()["room"].attempts == 2


def test_a_home_of_nobody_is_said(monkeypatch):
    monkeypatch.setenv("BNCOURSE_PROGRESS", "~nobody-of-this-name/progress.jsonl")
    with pytest.warns(UserWarning, match="not kept: BNCOURSE_PROGRESS is ~nobody"):
        assert room.check(7).passed
    with pytest.raises(OSError, match="BNCOURSE_PROGRESS"):
        progress.read()


def test_two_writers_lose_nothing():
    threads = [
        threading.Thread(target=lambda: [progress.record("room", RIGHT) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress.read()["room"].attempts == 200


def test_an_answer_is_checked_even_if_nothing_can_be_kept(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BNCOURSE_PROGRESS", str(tmp_path / "file" / "progress.jsonl"))
    with pytest.warns(UserWarning, match="your progress is not kept"):
        assert room.check(7).passed


def test_the_file_is_the_users_own_unless_one_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("BNCOURSE_PROGRESS", " ")
    assert progress.file().name == "progress.jsonl"
    assert progress.file().parent.name == "bncourse"
    monkeypatch.setenv("BNCOURSE_PROGRESS", "~/mine.jsonl")
    assert progress.file() == Path.home() / "mine.jsonl"


def test_forgetting():
    progress.forget()  # nothing there: fine
    progress.record("room", RIGHT)
    progress.forget()
    assert progress.read() == {} and not progress.file().exists()


def test_the_table_shows_every_exercise_by_chapter():
    progress.record("room", WRONG)
    progress.record("backward", RIGHT)
    lines = progress.table(EXERCISES).splitlines()
    assert lines[0].endswith(f"1 of {len(EXERCISES)} solved")
    by_name = {line.split()[0]: line for line in lines if line.startswith("  ")}
    assert set(by_name) == {e.name for e in EXERCISES}
    assert by_name["room"].endswith("1 attempt, last: raised")
    assert "solved 20" in by_name["backward"]
    assert by_name["pair"].endswith(" -")
    assert any(line.startswith("transform/backward  1 of ") for line in lines)


def test_a_line_holds_no_more_than_it_says():
    progress.record("room", RIGHT)
    (line,) = progress.file().read_text().splitlines()
    assert set(json.loads(line)) == {"exercise", "outcome", "passed", "date"}

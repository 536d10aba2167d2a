import re
import sys
from types import SimpleNamespace

import pytest

from bncourse.training import progress
from bncourse.training.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "monotonic", lambda: clock.now)
    return clock


def written(capfd, clock, steps, seconds, label="nets", done=0):
    with Progress(label, steps, done) as shown:
        for _ in range(steps - done):
            clock.now += seconds
            shown.advance(0.5)
    return capfd.readouterr()


def test_nothing_is_written_without_a_label(capfd, clock):
    assert written(capfd, clock, 100, 1, label="") == ("", "")


def test_a_short_run_leaves_one_plain_line(capfd, clock):
    out, err = written(capfd, clock, 40, 0.1)
    assert (out, err) == ("", "nets: 40 of 40 steps in 4 s, loss 0.5\n")


def test_a_run_without_steps_says_so(capfd, clock):
    assert written(capfd, clock, 0, 1).err == "nets: 0 of 0 steps in 0 s\n"


def test_lines_come_after_longer_and_longer_times(capfd, clock):
    lines = written(capfd, clock, 100, 1).err.splitlines()
    steps = [int(re.search(r": (\d+) of 100", line).group(1)) for line in lines]
    assert steps == [5, 15, 35, 75, 100]
    assert lines[0] == "nets: 5 of 100 steps in 5 s, loss 0.5, 1 min 35 s to go"


def test_a_run_of_ten_hours_leaves_about_130_lines_without_control_characters(capfd, clock):
    err = written(capfd, clock, 36000, 1).err
    assert 100 < len(err.splitlines()) < 150
    assert not re.search(r"[^\n -~]", err)
    assert "in 10 h 0 min" in err


def test_a_resumed_run_counts_all_steps_but_its_own_time(capfd, clock):
    lines = written(capfd, clock, 100, 1, done=90).err.splitlines()
    assert lines[0] == "nets: 95 of 100 steps in 5 s, loss 0.5, 5 s to go"
    assert lines[-1] == "nets: 100 of 100 steps in 10 s, loss 0.5"


def test_a_run_that_fails_says_where_it_stopped(capfd, clock):
    with pytest.raises(ZeroDivisionError), Progress("nets", 9) as shown:
        shown.advance(float("nan"))
        1 / 0  # noqa: B018
    assert capfd.readouterr().err == "nets: 1 of 9 steps in 0 s, loss nan, stopped\n"


class Terminal:
    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress("nets", 3, done=1) as shown:
        shown.advance(0.25)
        shown.advance(0.125)
    text = sys.stderr.text
    assert "\r" in text and "nets" in text and "1/3" in text and "\n" not in text


def test_a_notebook_gets_a_bar(monkeypatch):
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    bars = []

    def bar(**options):
        bars.append(options)
        return SimpleNamespace(update=lambda: None, close=lambda: None)

    monkeypatch.setattr(progress, "tqdm", bar)
    with Progress("nets", 3) as shown:
        shown.advance()
    assert bars == [{"total": 3, "initial": 0, "desc": "nets", "leave": False}]


def test_a_process_without_standard_error_goes_on(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with Progress("nets", 3) as shown:
        shown.advance(0.5)
    assert shown.done == 1

"""Whatever a function does not to return, it is stopped."""

import signal
import threading
import time

import pytest

from bncourse.exercises.deadline import TookTooLong, deadline


def endless():
    while True:
        pass


def swallows_exceptions():
    while True:
        try:
            sum(range(1000))
        except Exception:
            pass


def in_a_thread(body):
    """What ``body`` raises when it runs outside of the main thread."""
    raised = []

    def run():
        try:
            with deadline(0.1):
                body()
        except TookTooLong as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    return raised


@pytest.mark.parametrize("body", [endless, swallows_exceptions, lambda: time.sleep(30)])
def test_it_is_stopped(body):
    start = time.monotonic()
    with pytest.raises(TookTooLong), deadline(0.1):
        body()
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("body", [endless, swallows_exceptions])
def test_it_is_stopped_outside_of_the_main_thread(body):
    assert len(in_a_thread(body)) == 1


def stopped(body):
    """What ``body`` raises when it runs in the main thread."""
    try:
        with deadline(0.1):
            body()
    except TookTooLong as error:
        return [error]
    return []


@pytest.mark.parametrize("where", [stopped, in_a_thread], ids=["main thread", "another"])
def test_one_that_catches_everything_is_asked_again(where):
    """It catches the first; the loop around is hit by a later one."""
    calls = []

    def catches_a_few():
        while len(calls) < 3:
            try:
                endless()
            except BaseException as error:  # noqa: B036
                calls.append(error)
        endless()

    assert len(where(catches_a_few)) == 1
    assert len(calls) == 3


def test_what_returns_in_time_is_left_alone():
    with deadline(5):
        total = sum(range(1000))
    assert total == 499500
    assert in_a_thread(lambda: None) == []


def test_a_timer_that_was_set_before_goes_on():
    """pytest-timeout has one."""
    rung = []
    handler = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    left = signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with deadline(5):
            time.sleep(0.05)
        remaining = signal.getitimer(signal.ITIMER_REAL)[0]
        assert 0.1 < remaining <= 0.26
        time.sleep(0.5)
        assert rung == [True]
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *left)

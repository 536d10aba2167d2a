"""A function that never returns is stopped."""

import ctypes
import signal
import threading
import time
from contextlib import contextmanager

AGAIN = 0.1  # seconds until the next try, for a loop that catches everything


class TookTooLong(BaseException):
    """Raised inside the learner's function. No ``Exception``: ``except Exception`` lets it by."""


@contextmanager
def deadline(seconds):
    """Raise :class:`TookTooLong` in the body if it is not done after so many seconds.

    In the main thread a signal does it, which wakes even a sleeping function, and whatever timer
    was set before goes on afterwards. Elsewhere, and on Windows, another thread asks Python to
    raise the exception before the next line is run: endless loops are stopped, a call that
    blocks in a library is not.
    """
    main = threading.current_thread() is threading.main_thread()
    by = _signal if main and hasattr(signal, "setitimer") else _thread
    with by(seconds):
        yield


@contextmanager
def _signal(seconds):
    def stop(number, frame):
        raise TookTooLong

    start = time.monotonic()
    before = signal.signal(signal.SIGALRM, stop)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # somebody else's timer: a test runner has one
            left = max(left - (time.monotonic() - start), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left, interval)


@contextmanager
def _thread(seconds):
    done = threading.Event()
    learner = ctypes.c_ulong(threading.get_ident())
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def watch():
        wait = seconds
        while not done.wait(wait):
            raise_in(learner, ctypes.py_object(TookTooLong))
            wait = AGAIN

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        raise_in(learner, None)  # one that was asked for and did not come in time

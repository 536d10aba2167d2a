"""Parts for threads, and a pool that a forked child does without."""

import os
import subprocess
import sys
import threading

import pytest

from bncourse import kernels
from bncourse.kernels import threads


@pytest.mark.parametrize(
    "n, parts, unit, expected",
    [
        (10, 2, 1, [(0, 5), (5, 10)]),
        (10, 3, 4, [(0, 4), (4, 8), (8, 10)]),
        (10, 9, 4, [(0, 4), (4, 8), (8, 10)]),
        (3, 2, 128, [(0, 3)]),
    ],
)
def test_cuts_are_at_multiples_of_a_unit(n, parts, unit, expected):
    assert threads.cuts(n, parts, unit) == expected


def test_little_work_is_for_one_thread_and_much_for_those_that_may_be_used():
    much = 100 * threads.WORTH_IT
    with kernels.using(threads=3):
        assert threads.count(threads.WORTH_IT) == 1
        assert threads.count(2 * threads.WORTH_IT) == 2
        assert threads.count(much) == 3
    assert threads.count(much) == max(1, min(threads.limit(), 100))


def test_parts_run_at_the_same_time_and_an_error_comes_out():
    meeting = threading.Barrier(2, timeout=30)
    threads.share(lambda first, last: meeting.wait(), [(0, 1), (1, 2)])
    with pytest.raises(ZeroDivisionError):
        threads.share(lambda first, last: 1 / first, [(0, 1), (1, 2)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_threads_of_its_own():
    code = (
        "import os; from bncourse.kernels import threads;"
        "work = lambda: threads.share(lambda a, b: None, [(0, 1), (1, 2)]);"
        "work(); child = os.fork(); work();"
        "os._exit(0) if child == 0 else print(os.waitpid(child, 0)[1])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "0", done.stderr

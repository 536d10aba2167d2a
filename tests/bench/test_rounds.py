"""Functions take turns, and each is timed once a round."""

import time
from contextlib import contextmanager

from bncourse.bench.rounds import measure


def test_each_round_times_each_function_inside_its_context():
    inside = []

    @contextmanager
    def around(name):
        inside.append(name)
        yield
        inside.remove(name)

    def seen():
        assert inside == ["slow"]
        time.sleep(0.004)

    times = measure({"slow": seen, "quick": lambda: None}, 4, around=around)
    assert [len(t) for t in times.values()] == [4, 4]
    assert times["slow"].min() >= 0.004 > 0.001 > times["quick"].max() > 0


def test_time_ends_the_rounds_but_not_before_three():
    assert len(measure({"f": lambda: time.sleep(0.01)}, 100, seconds=0)["f"]) == 3

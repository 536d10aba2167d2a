"""Times of several functions that do the same work, measured in turn in one process."""

import random
import time
from contextlib import nullcontext

import numpy as np

_ENOUGH = 0.003  # seconds: what is shorter is called several times, and the calls are averaged


def measure(functions, rounds, seconds=float("inf"), around=nullcontext):
    """Seconds a call of each function, one number a round.

    In each round every function is measured once, in a new order, so that what else the machine
    does meets all alike. Divide within a round, and take the median of the ratios.

    Parameters
    ----------
    functions : dict
        From a name to a function without arguments.
    rounds : int
        How many rounds; fewer, but at least three, if they take longer than ``seconds``.
    seconds : float
        The time after which no further round begins.
    around : callable
        From a name to a context in which that function is called: settings that shall not be
        measured.

    Returns
    -------
    dict
        From each name to an array, shape (rounds,).
    """
    order, times = list(functions), {name: [] for name in functions}
    repeats = {}
    for name, function in functions.items():
        with around(name):
            function()  # the first call may compile
            repeats[name] = max(1, round(_ENOUGH / max(_seconds(function, 1), 1e-7)))
    shuffle = random.Random(0).shuffle
    start = time.perf_counter()
    for i in range(rounds):
        if i >= 3 and time.perf_counter() - start > seconds:
            break
        shuffle(order)
        for name in order:
            with around(name):
                times[name].append(_seconds(functions[name], repeats[name]))
    return {name: np.array(t) for name, t in times.items()}


def _seconds(function, repeats):
    function()  # into the cache what fits there, and its rivals' data out
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats

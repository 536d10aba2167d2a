"""A small experiment that can fail, diverge, die or sleep, and that writes down when it is run."""

import os
import time
import warnings
from pathlib import Path

import numpy as np

from bncourse.experiments import Experiment


def measure(config, seed):
    """What the config says; a line with the process in the file ``log`` for each call."""
    with Path(config["log"]).open("a", encoding="utf-8") as log:
        log.write(f"{os.getpid()} {config['does'].split()[0]} {seed}\n")
    if config["does"] == "fails":
        raise FloatingPointError(f"no luck with seed {seed}")
    if config["does"] == "dies":
        os._exit(3)
    if config["does"] == "sleeps":
        time.sleep(60)
    while config["does"] == "waits for death" and "dies" not in Path(config["log"]).read_text():
        time.sleep(0.05)
    walk = np.random.default_rng(seed).normal(config["mean"], 1, 5).cumsum()
    if config["does"] == "diverges":
        walk[2:] = np.float32(3e38) * np.arange(-1, 2, dtype="f4") * np.float32(10)
        walk[3] = walk[2] / walk[2]
        warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=2)
    return {"walk": walk, "step": np.arange(5), "last": walk[-1]}


def toy(folder, *does, **options):
    """One config for each thing it ``does``; the log is in ``folder``."""
    configs = [{"does": what, "mean": i, "log": str(folder / "log")} for i, what in enumerate(does)]
    default = {"name": "toy", "title": "A toy", "run": measure, "configs": configs, "shows": "last"}
    return Experiment(**(default | options))


def calls(folder):
    """What was run, a ``(process, does, seed)`` each, in order."""
    log = folder / "log"
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return [(int(pid), does, int(seed)) for pid, does, seed in map(str.split, lines)]

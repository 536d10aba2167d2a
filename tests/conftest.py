"""Fixtures of all tests, and settings that make them the same on each run."""

import matplotlib
import numpy as np
import pytest
from hypothesis import settings
from places import CASES, PLACES

# Not by the environment: the kernels of the notebooks would inherit that.
matplotlib.use("Agg")

settings.register_profile("course", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("course")


@pytest.fixture(params=CASES, ids=[f"{p.name}-{d}" for p, d in CASES])
def home(request):
    """Every place with each of its dtypes: ``place, dtype = home``."""
    return request.param


@pytest.fixture(params=PLACES.values(), ids=PLACES)
def place(request):
    return request.param


@pytest.fixture(autouse=True)
def progress_of_nobody(monkeypatch, tmp_path):
    """What tests solve is not the progress of who runs them."""
    monkeypatch.setenv("BNCOURSE_PROGRESS", str(tmp_path / "progress.jsonl"))


@pytest.fixture
def rng():
    return np.random.default_rng(20150211)

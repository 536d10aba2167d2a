"""The scoreboard of accuracy: what is recorded is not lost, and what is measured now agrees."""

import importlib.util
import json
import math
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
ROWS = json.loads((FOLDER / "results" / "accuracy.json").read_text(encoding="utf-8"))["rows"]


@pytest.fixture(scope="module")
def accuracy():
    spec = importlib.util.spec_from_file_location("accuracy", FOLDER / "accuracy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['case']}: {row['quantity']}")
def test_no_row_is_lost_and_ours_is_never_nan(accuracy, row):
    errors = {name: math.nan if e is None else e for name, e in row["errors"].items()}
    assert math.isfinite(errors["ours (N,C)"]) and math.isfinite(errors["ours NCHW"])
    assert not accuracy.lost(row | {"errors": errors})


@pytest.fixture
def only_ours(accuracy, monkeypatch):
    kept = {n: v for n, v in accuracy.IMPLEMENTATIONS.items() if n.startswith(("ours", "textbook"))}
    monkeypatch.setattr(accuracy, "IMPLEMENTATIONS", kept)


def test_ours_is_still_as_good_as_what_is_recorded(accuracy, only_ours):
    recorded = {(row["case"], row["quantity"]): row["errors"] for row in ROWS}
    for row in accuracy.measure(most=70_000):
        before = recorded[row["case"], row["quantity"]]
        for name in ("ours (N,C)", "ours NCHW"):
            limit = 2 * before[name] + 2 * before["rounding"]  # of other random numbers
            assert row["errors"][name] <= limit, (row["case"], row["quantity"], name)


@pytest.mark.parametrize(
    ("ours", "theirs", "lost"),
    [(1e-7, 1e-3, False), (3e-7, 1e-7, False), (3.1e-7, 1e-7, True), (math.nan, 1.0, True)],
)
def test_what_a_lost_row_is(accuracy, ours, theirs, lost):
    errors = {"rounding": 1e-7, "ours": ours, "theirs": theirs, "broken": math.nan}
    assert accuracy.lost({"errors": errors}) is lost

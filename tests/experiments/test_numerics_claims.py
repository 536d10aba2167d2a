"""The live evidence of the chapter on finite precision holds, and can fail."""

import inspect
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

from bncourse.experiments import numerics_claims
from bncourse.experiments.variance_methods import METHODS, corrected, pairwise, two_pass

ROOT = Path(__file__).parents[2]
CHECKS = [
    f
    for name, f in inspect.getmembers(numerics_claims, inspect.isfunction)
    if f.__module__ == numerics_claims.__name__ and not name.startswith("_")
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_holds(check):
    assert check() is True


@pytest.mark.parametrize(
    ("check", "name", "instead"),
    [
        ("one_pass_is_right_near_zero_and_negative_far_away", "one_pass", two_pass),
        ("welford_is_no_cure", "welford", pairwise),
        ("welford_is_no_cure", "two_pass", METHODS["Welford"]),
        ("eps_hides_a_negative_variance_while_it_is_small", "one_pass", two_pass),
        ("a_clipped_variance_inflates_the_output", "one_pass", corrected),
        ("averaged_variances_lack_the_distance_of_the_means", "merge", lambda a, b: a),
        ("centering_needs_a_wide_mean", "batch_norm_forward", lambda x: (x - x.mean(axis=0), 0)),
    ],
)
def test_it_fails_where_the_claim_is_not_true(check, name, instead, monkeypatch):
    monkeypatch.setattr(numerics_claims, name, instead)
    assert getattr(numerics_claims, check)() is False


TABLE = {
    "PyTorch, table": "PyTorch (N,C)",
    "PyTorch, images": "PyTorch NCHW",
    "Keras": "Keras",
    "Flax": "Flax",
    "Flax, slow": "Flax slow",
    "ours": "ours (N,C)",
}


def test_the_table_of_libraries_is_what_was_measured():
    text = "".join(
        c.source
        for c in nbformat.read(ROOT / "book/transform/numerics.ipynb", as_version=4).cells
        if c.cell_type == "markdown"
    )
    rows = json.loads((ROOT / "benchmarks/results/accuracy.json").read_text())["rows"]
    measured = {r["case"]: r["errors"] for r in rows if r["quantity"] == "y"}
    for shown, name in TABLE.items():
        cells = re.search(rf"^\| {re.escape(shown)} \|(.*)\|$", text, re.MULTILINE)[1].split("|")
        cells = [cell.strip().replace("\N{NON-BREAKING HYPHEN}", "-") for cell in cells]
        for cell, mean in zip(cells, ("0", "100", "10000", "1e+06"), strict=True):
            error = measured[f"float32, N 65536, mean {mean}"][name]
            if error is None:
                assert cell == "NaN"
            else:
                assert np.isclose(float(cell), error, rtol=0.05), (shown, mean)

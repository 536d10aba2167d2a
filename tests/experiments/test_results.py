"""What is asked of results, and what is said when there is no answer."""

import numpy as np
import pytest

from bncourse.experiments import Results


def cell(norm, lr, seed, walk, **more):
    return {
        "config": {"norm": norm, "lr": lr, "steps": 10},
        "seed": seed,
        "series": {"walk": walk, "step": [0, 5, 10]},
        "seconds": 40.0,
        "date": f"2026-01-0{1 + seed}",
        "environment": {"cpu": "Abacus"},
    } | more


@pytest.fixture
def results():
    cells = [
        cell(norm, lr, seed, [0.5, 10 * lr + norm, "inf" if lr == 8 else lr + seed])
        for norm in (False, True)
        for lr in (0.5, 8)
        for seed in (0, 1)
    ]
    return Results("walks", cells, "walk")


def test_a_series_has_one_row_a_seed(results):
    found = results.series("walk", norm=True, lr=0.5)
    np.testing.assert_array_equal(found, [[0.5, 6, 0.5], [0.5, 6, 1.5]])
    assert np.isposinf(results.series("walk", norm=False, lr=8)[:, 2]).all()
    assert results.series("step", norm=True, lr=8, steps=10).dtype.kind == "i"


def test_what_differs(results):
    assert results.settings == {"norm": [False, True], "lr": [0.5, 8]}
    assert results.seeds == [0, 1] and len(results.configs) == 4
    assert results.seconds == 320


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("wlak", {"norm": True, "lr": 8}, "name must be 'walk' or 'step', not 'wlak'"),
        ("walk", {"norm": True, "lr": 2}, "lr must be 0.5 or 8, not 2"),
        ("walk", {"rate": 2}, "there is no setting 'rate', only norm, lr, steps"),
        ("walk", {"norm": True}, "settings must pick one config, but .* leaves 2: say lr too"),
        ("walk", {}, "leaves 4: say norm, lr too"),
    ],
)
def test_what_is_not_there_is_told(results, name, settings, message):
    with pytest.raises(ValueError, match=message):
        results.series(name, **settings)


def test_a_combination_that_is_not_in_the_grid_is_told(results):
    part = Results("walks", results.cells[:6], "walk")
    with pytest.raises(ValueError, match="leaves 0$"):
        part.series("walk", norm=True, lr=8)


def test_the_table_has_a_line_for_each_config(results):
    head, *lines = results.table().splitlines()
    assert head.split() == ["norm", "lr", "walk", "lowest", "highest"]
    assert lines[0].split() == ["False", "0.5", "1", "0.5", "1.5"]
    assert lines[3].split() == ["True", "8", "inf", "inf", "inf"]


def test_it_says_what_it_is(results):
    text = repr(results)
    assert text.splitlines() == [
        "walks: 4 configs, 2 seeds, 8 runs",
        "  norm is False or True",
        "  lr is 0.5 or 8",
        "series walk (3,), step (3,)",
        "computed 2026-01-01 to 2026-01-02 in 5 min, one thread a run, on Abacus",
        "to reproduce it: python -m bncourse experiment run walks",
    ]
    assert repr(Results("walks", results.cells, quick=True)).endswith("run walks --quick")
    assert repr(Results("walks", [])) == "walks: no results"


def test_long_times_are_in_hours():
    assert "in 3.0 h" in repr(Results("w", [cell(True, 1, 0, [1], seconds=10800)]))

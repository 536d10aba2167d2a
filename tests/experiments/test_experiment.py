"""What an experiment may be, and what its digest sees."""

import importlib
import sys

import pytest
from experiments.toy import measure, toy

from bncourse.experiments import Experiment

SOURCE = '''"""An experiment."""

from bncourse.experiments.experiment import Experiment


def run(config, seed):
    """Twice."""
    return {"twice": 2 * config["x"]}  # the result


EXPERIMENT = Experiment("twice", "Twice", run, [{"x": 1}])
'''


@pytest.fixture
def code(tmp_path, monkeypatch):
    """``code(text)`` gives the digest of an experiment with this source; other modules by name."""
    monkeypatch.syspath_prepend(tmp_path)

    def code(text):
        (tmp_path / "of_today.py").write_text(text)
        sys.modules.pop("of_today", None)
        importlib.invalidate_caches()
        return importlib.import_module("of_today").EXPERIMENT.code

    yield code
    sys.modules.pop("of_today", None)


def test_the_cells_are_configs_times_seeds(tmp_path):
    cells = toy(tmp_path, "walks", "fails", seeds=[4, 2]).cells()
    assert [(c.config["does"], c.seed) for c in cells] == [
        ("walks", 4), ("walks", 2), ("fails", 4), ("fails", 2)
    ]  # fmt: skip
    assert len({cell.key for cell in cells}) == 4


def test_the_key_changes_with_all_that_decides_and_with_nothing_else(tmp_path):
    def keys(**options):
        configs = [{"x": 0.1, "y": "a"}]
        default = {"name": "e", "title": "E", "run": measure, "configs": configs}
        return Experiment(**(default | options)).cells()[0].key

    assert keys() == keys(title="F", chapter="a/b", shows="z")
    assert keys() == keys(configs=[{"y": "a", "x": 0.1}])
    others = [keys(version=2), keys(seeds=[3]), keys(configs=[{"x": 0.1, "y": "b"}])]
    assert len({keys(), *others}) == 4


def test_quick_has_a_grid_of_its_own(tmp_path):
    experiment = toy(tmp_path, "walks", quick=[{"n": 1}, {"n": 2}], quick_seeds=[7])
    assert [(c.config, c.seed) for c in experiment.cells(quick=True)] == [
        ({"n": 1}, 7), ({"n": 2}, 7)
    ]  # fmt: skip


def test_without_a_quick_version_that_is_told(tmp_path):
    with pytest.raises(ValueError, match="the experiment toy has no quick version"):
        toy(tmp_path, "walks").cells(quick=True)


def test_words_and_layout_do_not_change_the_digest(code):
    before = code(SOURCE)
    other = SOURCE.replace("Twice.", "Two times.").replace("  # the result", "\n")
    other = other.replace('"Twice", run', '"Two times", run').replace('"x": 1', '"x": 2')
    assert other != SOURCE and code(other) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [("2 *", "3 *"), ('"twice":', '"double":'), ("config, seed)", "config, seed=0)")],
)
def test_what_is_computed_changes_the_digest(code, old, new):
    assert old in SOURCE
    assert code(SOURCE.replace(old, new)) != code(SOURCE)


@pytest.mark.parametrize(
    "line",
    [
        "from bncourse.experiments import two_nets",
        "from bncourse.experiments.two_nets import run as r",
    ],
)
def test_an_experiment_that_is_built_upon_changes_the_digest(code, line, monkeypatch):
    text = SOURCE.replace("from bncourse", f"{line}\nfrom bncourse", 1)
    before = code(text)
    from bncourse.experiments import experiment

    real = experiment.inspect.getsource

    def changed(module):
        text = real(module)
        return text.replace("PERCENTILES = (15,", "PERCENTILES = (16,")

    monkeypatch.setattr(experiment.inspect, "getsource", changed)
    assert code(SOURCE) == code(SOURCE) and code(text) != before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": "Two nets"}, ValueError, "name must be words in lower case and hyphens"),
        ({"run": 3}, TypeError, "run must be a function, not int"),
        ({"configs": [3]}, TypeError, "configs must hold dicts of plain values, not"),
        ({"configs": [{"x": {1}}]}, TypeError, "configs must hold dicts of plain values: .*set"),
        ({"configs": [{"x": float("nan")}]}, TypeError, "configs must hold dicts of plain values"),
        ({"configs": [{"x": 1}, {"x": 1}]}, ValueError, "configs must differ from each other"),
        ({"quick": [{"x": 1}] * 2}, ValueError, "quick must differ from each other"),
        ({"seeds": []}, ValueError, "seeds must hold different numbers, at least one"),
        ({"seeds": [1, 1]}, ValueError, "seeds must hold different numbers"),
        ({"quick_seeds": [-1]}, ValueError, "quick_seeds must be at least 0, not -1"),
        ({"version": 0}, ValueError, "version must be at least 1, not 0"),
    ],
)
def test_bad_experiments_are_told(options, error, message):
    good = {"name": "a", "title": "A", "run": measure, "configs": [{"x": 1}]}
    with pytest.raises(error, match=message):
        Experiment(**(good | options))

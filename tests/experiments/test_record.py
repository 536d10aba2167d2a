"""Recorded results: complete, canonical, told when outdated; and those of the course are not."""

import hashlib
import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from experiments.toy import toy

import bncourse
from bncourse.experiments import EXPERIMENTS, grid, load, record
from bncourse.experiments.provenance import checksum

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "book" / "results").glob("*.json"))


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    made = toy(tmp_path, "walks", "diverges")
    monkeypatch.setitem(EXPERIMENTS, "toy", made)
    return made


@pytest.fixture
def results(experiment, tmp_path):
    with ThreadPoolExecutor(1) as executor:
        return grid.run(experiment, executor=executor, folder=tmp_path / "cells").results


@pytest.fixture
def path(experiment, results, tmp_path):
    return record.save(experiment, results, tmp_path / "results")


def test_what_was_recorded_is_loaded(path, results):
    found = load("toy", path.parent)
    assert found.cells == results.cells and found.shows == "last"
    walk = found.series("walk", does="diverges")
    np.testing.assert_array_equal(walk, results.series("walk", does="diverges"))
    assert np.isnan(walk[:, 3]).all()


def test_a_record_says_where_it_comes_from(path, experiment):
    found = record.read(path)
    assert found["name"] == "toy" and found["version"] == 1 and found["code"] == experiment.code
    assert len(found["cells"]) == 6 and len(found["environments"]) == 1
    assert {c["environment"] for c in found["cells"]} == {0}
    assert found["environments"][0]["numpy"] == np.__version__


def test_the_same_results_give_the_same_bytes(path, experiment, results, tmp_path):
    again = record.save(experiment, load("toy", path.parent), tmp_path / "again")
    assert again.read_bytes() == path.read_bytes()


def test_runs_of_two_machines_are_told_apart(experiment, results, tmp_path):
    results.cells[2]["environment"] = {"cpu": "another"}
    path = record.save(experiment, results, tmp_path / "two")
    assert [c["environment"] for c in record.read(path)["cells"]] == [0, 0, 1, 0, 0, 0]
    assert load("toy", path.parent).cells == results.cells


def test_nothing_incomplete_is_recorded(experiment, results, tmp_path):
    del results.cells[3]
    with pytest.raises(ValueError, match="the whole grid, 6 runs in their order, but 1 of them"):
        record.save(experiment, results, tmp_path / "no")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "it is of version 1, the experiment of 2"),
        ({"seeds": (0, 1)}, "the configs or seeds of the experiment have changed since"),
        ({"configs": ({"does": "walks"},)}, "the configs or seeds of the experiment have changed"),
    ],
)
def test_a_record_that_is_outdated_is_told(path, experiment, monkeypatch, change, reason):
    assert record.faults(path.parent) == {}
    monkeypatch.setitem(EXPERIMENTS, "toy", replace(experiment, **change))
    assert list(record.faults(path.parent)) == [path]
    text = record.faults(path.parent)[path]
    assert text.startswith(reason)
    assert text.endswith("to compute it anew: python -m bncourse experiment run toy --record")


def test_other_code_makes_a_record_outdated(path, experiment, monkeypatch):
    monkeypatch.setitem(vars(experiment), "code", "another")
    assert "the code of experiments.toy has changed since" in record.faults(path.parent)[path]


def test_a_title_does_not_make_a_record_outdated(path, experiment, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "toy", replace(experiment, title="New", quick=({"x": 1},)))
    assert record.faults(path.parent) == {}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', '{"version": NaN}'])
def test_a_file_that_is_no_record_is_told(path, content):
    path.write_text(content)
    assert "it is no record" in record.faults(path.parent)[path]


def test_a_record_without_experiment_is_told(path, monkeypatch):
    monkeypatch.delitem(EXPERIMENTS, "toy")
    assert "there is no such experiment" in record.faults(path.parent)[path]


def test_the_build_of_the_book_warns_of_it(path, experiment, monkeypatch):
    source = ROOT / "book" / "_ext" / "fresh_results.py"
    spec = importlib.util.spec_from_file_location("fresh_results", source)
    fresh_results = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh_results)
    warned = []
    monkeypatch.setattr(
        fresh_results.logger, "warning", lambda text, *values: warned.append(text % values)
    )
    fresh_results.check(path.parent)
    assert warned == []
    monkeypatch.setitem(EXPERIMENTS, "toy", replace(experiment, version=2))
    fresh_results.check(path.parent)
    (text,) = warned
    assert text.startswith("book/results/toy.json: it is of version 1")
    assert "experiment run toy --record" in text


@pytest.mark.parametrize("name", ["nets", ""])
def test_an_unknown_experiment_is_told(name):
    with pytest.raises(ValueError, match=f"name must be one of .*two-nets.*, not '{name}'"):
        load(name)


def test_what_is_not_recorded_is_told_with_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m bncourse experiment run two-nets"):
        load("two-nets", tmp_path)


def test_outside_of_a_checkout_what_was_installed_is_found(path, monkeypatch, tmp_path):
    monkeypatch.setattr(bncourse, "__file__", str(tmp_path / "site" / "bncourse" / "__init__.py"))
    with pytest.raises(FileNotFoundError, match="in a checkout of the course: clone it"):
        record.folder()
    with pytest.raises(FileNotFoundError, match="toy is not recorded here"):
        load("toy")

    class Installed(type(path)):
        def locate(self):
            return path

    files = [Installed("../../../share/bncourse/results/toy.json")]
    monkeypatch.setattr(record.metadata, "files", lambda name: files)
    assert len(load("toy").cells) == 6


def test_a_checksum_is_that_of_the_data():
    data = checksum("digits")
    assert data.startswith("sha256 ") and data.endswith(")") and data == checksum("digits")
    assert len({checksum("mnist"), checksum("fashion-mnist"), data}) == 3
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    order = np.concatenate([order[497:], order[:497]])  # as digits() splits them
    content = pixels[order].astype("u1").tobytes() + labels[order].astype("u1").tobytes()
    assert hashlib.sha256(content).hexdigest() in data
    with pytest.raises(ValueError, match="data in a config must be one of digits, mnist"):
        checksum("cifar")


@pytest.mark.skipif(not RECORDS, reason="nothing is recorded yet")
def test_the_records_of_the_course_are_up_to_date():
    assert record.faults(ROOT / "book" / "results") == {}


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_of_the_course_is_small_strict_and_canonical(path):
    assert path.stat().st_size < 300_000
    experiment = EXPERIMENTS[path.stem]
    content = record.read(path)
    assert json.dumps(content, allow_nan=False)
    assert record._text(experiment, load(path.stem, path.parent)).encode() == path.read_bytes()
    named = {c["config"].get("data") for c in content["cells"]} - {None}
    assert content["data"].keys() == named

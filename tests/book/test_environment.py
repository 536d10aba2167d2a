"""environment.yml (conda, Binder), pyproject.toml (pip) and the README tell the same story."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
README = (ROOT / "README.md").read_text("utf-8")


def test_conda_brings_python_and_pip_only():
    plain = [d for d in CONDA["dependencies"] if isinstance(d, str)]
    assert [re.split("[=<>]", d)[0] for d in plain] == ["python", "pip"]


def test_conda_python_is_one_that_the_package_takes():
    version = CONDA["dependencies"][0].removeprefix("python=")
    assert version in SpecifierSet(PROJECT["requires-python"])


def test_pip_installs_what_make_installs():
    (pip,) = [d["pip"] for d in CONDA["dependencies"] if isinstance(d, dict)]
    (wanted,) = re.findall(r'-e "(\.\[dev\])"', (ROOT / "Makefile").read_text("utf-8"))
    assert pip == [f"-e {wanted}"]


def test_dev_holds_what_the_readme_commands_need():
    (dev,) = PROJECT["optional-dependencies"]["dev"]
    assert Requirement(dev).extras == {"book", "fast", "test", "lint"}


def test_extras_of_the_design_exist():
    assert {"fast", "gpu", "mpi", "book", "test", "peers", "bench"} <= set(
        PROJECT["optional-dependencies"]
    )


def test_readme_names_the_environment():
    assert CONDA["name"] == PROJECT["name"]
    assert "conda env create -f environment.yml" in README
    assert f"conda activate {CONDA['name']}" in README

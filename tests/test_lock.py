"""The locked versions are what pyproject.toml asks for, and do not say where they come from."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
PINS = re.findall(r"^(\S+)==(\S+)(?: ; (.*?))? \\\n((?:    --hash=.*\n)+)", LOCK, re.M)


def wanted():
    """Direct dependencies of the extra ``dev``."""
    extras = PROJECT["optional-dependencies"]
    names = Requirement(extras["dev"][0]).extras
    lists = [PROJECT["dependencies"], *(extras[name] for name in names)]
    return sorted({text for requirements in lists for text in requirements})


@pytest.mark.parametrize("text", wanted())
def test_each_dependency_is_locked_in_its_range(text):
    requirement = Requirement(text)
    versions = [
        version for name, version, _, _ in PINS if name == canonicalize_name(requirement.name)
    ]
    assert versions, "run `make lock`"
    assert all(requirement.specifier.contains(version) for version in versions)


def test_every_line_is_a_version_with_hashes():
    lines = [line for line in LOCK.splitlines() if not line.startswith(("#", "    "))]
    assert len(PINS) == len(lines) > 100
    assert all(re.fullmatch(r"(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", p[3]) for p in PINS)


def test_there_is_no_address_in_it():
    assert "://" not in LOCK

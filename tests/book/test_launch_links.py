"""Launch buttons point at the repository that the book is built from, or are left out."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "book" / "_ext" / "launch_links.py"
spec = importlib.util.spec_from_file_location("launch_links", SOURCE)
launch_links = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launch_links)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty folder to work in, outside of GitHub; returns a way to give it a remote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)

    def with_remote(url):
        subprocess.run(["git", "init", "-q"], check=True)
        subprocess.run(["git", "remote", "add", "origin", url], check=True)

    return with_remote


def test_workflow_names_the_repository(checkout, monkeypatch):
    checkout("https://github.com/somebody/else.git")
    monkeypatch.setenv("GITHUB_REPOSITORY", "ada/course")
    assert launch_links.repository() == "ada/course"


@pytest.mark.parametrize(
    "remote",
    [
        "https://github.com/ada/course.git",
        "https://github.com/ada/course",
        "https://token@github.com/ada/course.git/",
        "git@github.com:ada/course.git",
        "ssh://git@github.com/ada/course",
    ],
)
def test_remote_names_the_repository(checkout, remote):
    checkout(remote)
    assert launch_links.repository() == "ada/course"


@pytest.mark.parametrize("remote", ["../course.git", "https://example.org/github.com/ada/course"])
def test_other_remotes_name_none(checkout, remote):
    checkout(remote)
    assert launch_links.repository() is None


def test_no_checkout_names_none(checkout):
    assert launch_links.repository() is None


def test_unknown_repository_has_no_buttons():
    assert launch_links.options(None) == {}


def test_known_repository_has_buttons():
    options = launch_links.options("ada/course")
    assert options["repository_url"] == "https://github.com/ada/course"
    assert {"binderhub_url", "colab_url"} <= set(options["launch_buttons"])

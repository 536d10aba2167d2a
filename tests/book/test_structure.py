"""The contents name every chapter, and tracked files hold nothing of one machine."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))

# A home folder, or the address of a package index or of one package file in it.
MACHINE_PATH = re.compile(r"(?<![\w.:/~])/(home|root|Users|work|tmp)/\w|[A-Z]:\\\\?Users")
REGISTRY = re.compile(
    r"pypi\.org/simple|files\.pythonhosted\.org|registry\.npmjs\.org|conda\.anaconda\.org"
    r"|(index-url|find-links)\s*=?\s*\S|//[^/\s]+/(simple|api/npm|api/pypi)\b"
)


def chapters(node):
    """Every page that the contents name, whatever part it is in."""
    if isinstance(node, dict):
        yield from (node[key] for key in ("root", "file") if key in node)
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from chapters(child)


def tracked_texts():
    """Name and text of each tracked file; MathJax's code is not ours, a picture is no text."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: which files are tracked is unknown")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        file = ROOT / name
        if file.is_file() and "mathjax" not in file.parts and file != Path(__file__):
            yield name, file.read_bytes().decode("utf-8", "replace")


def findings(pattern, texts):
    return [f"{name}: {found[0]}" for name, text in texts for found in pattern.finditer(text)]


@pytest.mark.parametrize("page", list(chapters(TOC)))
def test_chapter_exists_once(page):
    assert len(list(ROOT.glob(f"{page}.md")) + list(ROOT.glob(f"{page}.ipynb"))) == 1


def test_every_notebook_is_in_the_contents():
    notebooks = {
        p.relative_to(ROOT).with_suffix("").as_posix()
        for p in (ROOT / "book").rglob("*.ipynb")
        if ".ipynb_checkpoints" not in p.parts
    }
    assert notebooks <= set(chapters(TOC))


@pytest.mark.parametrize("notebook", sorted((ROOT / "book").rglob("*.ipynb")), ids=lambda p: p.stem)
def test_colab_installs_from_the_repository_of_the_project(notebook):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    first = next("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    assert f'git+{project["urls"]["Repository"]}"' in first


def test_no_machine_paths():
    assert findings(MACHINE_PATH, tracked_texts()) == []


def test_no_registry_addresses():
    assert findings(REGISTRY, tracked_texts()) == []


@pytest.mark.parametrize(
    "text", ["/home/ada/x.py", '"/work/main/a"', "at /Users/ada/", r"C:\Users\ada", "/tmp/x1/y"]
)
def test_machine_path_is_found(text):
    assert findings(MACHINE_PATH, [("planted", text)])


@pytest.mark.parametrize(
    "text", ["--index-url=https://a.b/c", "https://a.b/simple/numpy", "registry.npmjs.org/axe"]
)
def test_registry_address_is_found(text):
    assert findings(REGISTRY, [("planted", text)])


def test_addresses_of_the_web_are_no_machine_paths():
    assert not findings(
        MACHINE_PATH, [("page", "https://example.org/home/x framework/main ~/work/x")]
    )


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_lists_its_targets():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    for target in ("book", "test", "lint", "refresh", "bench", "gpu", "clean"):
        assert f"make {target}\t" in listed

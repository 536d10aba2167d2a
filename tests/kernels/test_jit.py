"""What is compiled is kept on disk until any file of loops changes."""

import importlib.util

import pytest

from bncourse.kernels import compiled, jit

if not compiled.available():
    pytest.skip("Numba is not installed: the extra 'fast'", allow_module_level=True)

SOURCE = """
from bncourse.kernels.jit import jit

@jit()
def twice(x):
    return 2 * x
"""


def times_found_on_disk(file):
    """How often a fresh import of ``twice`` found itself compiled."""
    spec = importlib.util.spec_from_file_location("twice_of_a_test", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.twice(21) == 42
    stats = module.twice.stats
    assert sum(stats.cache_hits.values()) + sum(stats.cache_misses.values()) == 1
    return sum(stats.cache_hits.values())


def test_it_is_kept_until_a_file_of_loops_changes(tmp_path, monkeypatch):
    file = tmp_path / "twice.py"
    file.write_text(SOURCE)
    assert times_found_on_disk(file) == 0
    assert times_found_on_disk(file) == 1
    with monkeypatch.context() as patch:
        patch.setattr(jit, "_sources", lambda: "of another version")
        assert times_found_on_disk(file) == 0
        assert times_found_on_disk(file) == 1
    assert times_found_on_disk(file) == 0


def test_all_files_of_loops_count(tmp_path, monkeypatch):
    for name in ("jit.py", "loops_of_a_test.py"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    digest = jit._sources.__wrapped__
    before = digest()
    assert digest() == before
    (tmp_path / "loops_of_a_test.py").write_text("changed")
    assert digest() != before

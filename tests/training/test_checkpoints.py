"""Files of a run: whole or not at all, refused when damaged. Resuming: tests/test_resume.py."""

import numpy as np
import pytest

from bncourse.training.checkpoints import Checkpoint, Snapshot, load


def snapshot(step, seed=0):
    rng = np.random.default_rng(seed)
    parts = {
        "net": {"0.w": rng.standard_normal((3, 2)), "n/odd name": np.array(3), "u": np.arange(3)},
        "order": {"rng": np.frombuffer(b'{"a": 1}', np.uint8), "none": np.zeros((0, 4), "f4")},
        "empty": {},
    }
    return Snapshot(step, parts, {"batch_size": 60, "text": "Zürich", "list": [1, 2]})


def assert_same(a, b):
    assert (a.step, a.run, a.parts.keys()) == (b.step, b.run, b.parts.keys())
    for part, state in a.parts.items():
        assert state.keys() == b.parts[part].keys()
        for name, value in state.items():
            other = b.parts[part][name]
            assert value.dtype == other.dtype and value.shape == other.shape
            assert value.tobytes() == other.tobytes()


@pytest.fixture
def store(tmp_path):
    return Checkpoint(tmp_path / "runs" / "a")


def test_a_snapshot_comes_back(store):
    assert store.latest() is None
    path = store.save(snapshot(5))
    assert path == store.directory / "step-00000005.safetensors"
    assert_same(load(path), snapshot(5))
    assert_same(store.latest(), snapshot(5))


def test_an_array_in_another_order_of_memory_comes_back(store):
    w = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    path = store.save(Snapshot(1, {"net": {"w": w, "v": w[:, ::2]}}, {}))
    assert np.array_equal(load(path).parts["net"]["w"], w)
    assert np.array_equal(load(path).parts["net"]["v"], w[:, ::2])


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept(tmp_path, keep):
    store = Checkpoint(tmp_path, keep=keep)
    for step in (0, 5, 20, 100, 123456789):
        store.save(snapshot(step))
    assert [load(p).step for p in store.paths()] == [0, 5, 20, 100, 123456789][-keep:]
    assert store.latest().step == 123456789


def test_other_files_are_left_alone(tmp_path):
    others = ["notes.txt", "step-best.safetensors", "step-3.safetensors.damaged"]
    for name in others:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".step-00000002.safetensors.x1").write_bytes(b"of a killed process")
    store = Checkpoint(tmp_path, keep=1)
    for step in (1, 2):
        store.save(snapshot(step))
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {*others, "step-00000002.safetensors"}


def damages(whole):
    """The same file, cut, with one bit flipped here and there, or another one altogether."""
    yield b""
    yield whole[: len(whole) // 2]
    yield whole[:-1]
    yield whole + b"\0"
    for at in np.linspace(0, len(whole) - 1, 60).astype(int):
        yield whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]


def test_any_damage_is_refused_by_name(store):
    path = store.save(snapshot(5))
    whole = path.read_bytes()
    for content in damages(whole):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="step-00000005.safetensors is"):
            load(path)


def test_a_file_of_something_else_is_refused_by_name(tmp_path):
    from bncourse import nn

    path = tmp_path / "step-1.safetensors"
    nn.save_file(nn.Dense(2, 2), path)
    with pytest.raises(ValueError, match="step-1.safetensors is not a checkpoint"):
        load(path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load(tmp_path / "step-2.safetensors")


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def test_a_damaged_one_is_refused_and_the_last_good_one_offered(store):
    for step in (5, 10):
        store.save(snapshot(step))
    cut(store.paths()[-1])
    words = "step-00000010.* is not .*; the last good checkpoint is .*step-00000005.safetensors"
    with pytest.raises(ValueError, match=words):
        store.latest()
    assert len(store.paths()) == 2


def test_without_a_good_one_none_is_offered(store):
    for step in (5, 10):
        cut(store.save(snapshot(step)))
    for on_damage in ("raise", "previous"):
        store.on_damage = on_damage
        with pytest.raises(ValueError, match="no checkpoint in .* is good: empty it to start anew"):
            store.latest()
    assert len(store.paths()) == 2


def test_the_last_good_one_is_used_when_asked_for(tmp_path):
    store = Checkpoint(tmp_path, keep=3, on_damage="previous")
    for step in (5, 10, 15):
        store.save(snapshot(step))
    for path in store.paths()[1:]:
        cut(path)
    with pytest.warns(UserWarning, match="step-0000001.* is damaged .*step-00000005") as told:
        assert_same(store.latest(), snapshot(5))
    assert len(told) == 2
    assert sorted(p.name for p in tmp_path.glob("*.damaged")) == [
        "step-00000010.safetensors.damaged",
        "step-00000015.safetensors.damaged",
    ]
    store.save(snapshot(10))
    assert store.latest().step == 10


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    store = Checkpoint(tmp_path, keep=1)
    store.save(snapshot(5))

    def full(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        store.save(snapshot(10))
    assert_same(store.latest(), snapshot(5))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "options, kind, message",
    [
        ({"every": 0}, ValueError, "every must be at least 1, not 0"),
        ({"every": 0.5}, TypeError, "every must be a whole number"),
        ({"keep": 0}, ValueError, "keep must be at least 1, not 0"),
        ({"on_damage": "ignore"}, ValueError, "on_damage must be 'raise' or 'previous'"),
    ],
)
def test_bad_options(tmp_path, options, kind, message):
    with pytest.raises(kind, match=message):
        Checkpoint(tmp_path, **options)

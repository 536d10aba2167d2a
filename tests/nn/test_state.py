"""What a network remembers, as a dict and as a file: all of it comes back, or nothing changes."""

import numpy as np
import pytest

from bncourse import nn


def network(seed=0, n=4):
    return nn.Sequential(
        nn.Dense(3, n, bias=False, rng=seed),
        nn.BatchNorm(n),
        nn.Sequential(nn.ReLU(), nn.Dense(n, 2, rng=seed + 1)),
    )


@pytest.fixture
def trained(rng):
    net = network()
    for _ in range(3):
        net.forward(rng.standard_normal((9, 3)).astype("float32"))
    net[1].observe(rng.standard_normal((5, 4)).astype("float32"))
    return net


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_names_are_dotted_and_counts_are_there(trained):
    assert {"0.w", "1.gamma", "1.running_var", "1.num_batches_tracked", "2.1.b"} <= set(
        trained.state_dict()
    )
    assert trained.state_dict()["1.num_batches_tracked"] == 3


def test_a_state_is_a_copy(trained):
    state = trained.state_dict()
    trained[0].w += 1
    assert not np.array_equal(state["0.w"], trained[0].w)


def test_everything_comes_back(trained):
    other = network(seed=9)
    assert not same(other, trained)
    other.load_state_dict(trained.state_dict())
    assert same(other, trained)
    assert other[1].num_batches_tracked == 3 and other[1].population.count == 5
    x = np.ones((2, 3), "float32")
    assert np.array_equal(other.eval().forward(x)[0], trained.eval().forward(x)[0])


def test_what_was_observed_goes_on_after_loading(trained, rng):
    more = rng.standard_normal((4, 4)).astype("float32")
    other = network()
    other.load_state_dict(trained.state_dict())
    other[1].observe(more)
    trained[1].observe(more)
    assert same(other, trained)


def test_counts_may_be_missing(trained):
    state = {k: v for k, v in trained.state_dict().items() if "num_batches" not in k}
    other = network()
    other[1].forward(np.ones((3, 4), "float32"))
    other.load_state_dict(state)
    assert other[1].num_batches_tracked == 0
    assert np.array_equal(other[1].running_mean, trained[1].running_mean)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("0.w"), "missing: 0.w"),
        (lambda s: s.update({"1.weight": s["1.gamma"]}), "no place for: 1.weight"),
        (lambda s: s.update({"0.w": s["0.w"].T}), r"shape: 0.w is \(4, 3\), not \(3, 4\)"),
        (lambda s: s.update({"3.w": s["0.w"]}), "no place for: 3.w"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(trained, change, words):
    state = network(seed=5).state_dict()
    change(state)
    before = trained.state_dict()
    with pytest.raises(ValueError, match=words):
        trained.load_state_dict(state)
    assert all(np.array_equal(before[k], v) for k, v in trained.state_dict().items())


def test_the_dtype_of_the_network_is_kept(trained):
    state = {
        k: v.astype("float64") if v.dtype == "float32" else v
        for k, v in trained.state_dict().items()
    }
    other = network()
    other.load_state_dict(state)
    assert other[0].w.dtype == "float32"


def test_a_file_brings_everything_back(trained, tmp_path):
    path = tmp_path / "net.safetensors"
    nn.save_file(trained, path)
    assert same(nn.load_into(network(seed=4), path), trained)
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_file_does_not_mind_the_memory_order_of_a_weight(trained, tmp_path):
    trained[0].w = np.asfortranarray(trained[0].w)  # as a transposed array is
    nn.save_file(trained, tmp_path / "net.safetensors")
    assert same(nn.load_into(network(seed=4), tmp_path / "net.safetensors"), trained)


def test_a_cut_or_foreign_file_is_refused_by_name(trained, tmp_path):
    path = tmp_path / "net.safetensors"
    nn.save_file(trained, path)
    whole = path.read_bytes()
    before = trained.state_dict()
    for content in (whole[:-3], whole[:20], b"", b"not a network at all"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="net.safetensors is not a complete safetensors file"):
            nn.load_into(trained, path)
    assert all(np.array_equal(before[k], v) for k, v in trained.state_dict().items())
    with pytest.raises(FileNotFoundError, match="there is no file"):
        nn.load_into(trained, tmp_path / "other")


def test_a_failed_write_leaves_the_old_file(trained, tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    nn.save_file(trained, path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        nn.save_file(network(seed=3), path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1

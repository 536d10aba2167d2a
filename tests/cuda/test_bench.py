"""The benchmark, as far as it can be run without a GPU: on emulated kernels, by another clock."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from host_memory import get, put

from bncourse.__main__ import main
from bncourse.arrays import why_no_cupy
from bncourse.bench import gpu

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clock(emulate, monkeypatch):
    """Emulated kernels, and a GPU whose calls take as many microseconds as there were calls."""
    place, calls = emulate(), []

    def seconds(function, repeats):
        for _ in range(min(repeats, 3)):
            function()
        calls.append(function)
        return 1e-6 * len(calls)

    monkeypatch.setattr(gpu, "seconds", seconds)
    monkeypatch.setattr(gpu, "on_gpu", lambda a, dtype="float32": put(a.astype(dtype)))
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    return place


def test_all_take_turns_on_all_buffers(clock, monkeypatch):
    monkeypatch.setattr(gpu, "_CACHE", 3 * 6 * 7 * 4)
    assert gpu.copies((6, 7), "float32") == 3
    found = gpu.race((6, 7), 1, "float32", rounds=5)
    assert {k: len(t) for k, t in found.times.items()} == {
        ("bncourse", "forward"): 5,
        ("bncourse", "backward"): 5,
    }
    names = [name for name, *_ in clock.device.launched]
    assert names.count("forward") > 10 and names.count("backward") > 10


def test_bytes_are_those_of_the_plan(clock):
    alone, shared = (gpu.Batch(shape, 1, "float32", 0) for shape in ((60, 100), (9001, 3)))
    assert gpu.least_bytes(alone) == {"forward": 2 * 24000, "backward": 3 * 24000}
    assert gpu.least_bytes(shared) == {"forward": 3 * 108012, "backward": 5 * 108012}


def test_ours_computes_a_batch_norm(clock):
    batch = gpu.Batch((8, 5, 6), -1, "float32", 0)
    y = get(gpu.ours([batch])["bncourse", "forward"]()[0])
    x, gamma, beta = (get(a) for a in (batch.x, batch.gamma, batch.beta))
    want = (x - x.mean((0, 1))) / x.std((0, 1)) * gamma + beta
    np.testing.assert_allclose(y, want, atol=1e-4)


def test_lines_say_how_near_the_copy_and_how_far_ahead():
    t = {("bncourse", "forward"): np.full(3, 2e-3), ("PyTorch", "forward"): np.full(3, 3e-3)}
    found = gpu.Found(t, {"forward": 3e9})
    text = "\n".join(gpu.lines((8, 5, 5, 9), -1, found, speed=2e12))
    assert "8x5x5x9, channels last\n" in text
    assert " 2000.0 us    75% of the copy    1.50 times as fast as PyTorch" in text
    assert text.endswith("PyTorch   forward       3000.0 us")


def test_what_is_recorded(clock, monkeypatch, tmp_path):
    script = runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"))
    main = script["main"]
    monkeypatch.setitem(main.__globals__, "why_no_cupy", lambda: None)
    monkeypatch.setitem(main.__globals__, "RESULTS", tmp_path)
    monkeypatch.setattr(gpu, "copy_speed", lambda: 1e12)
    monkeypatch.setattr(gpu, "device_name", lambda: "Some GPU 80GB")
    monkeypatch.setattr(gpu, "SHAPES", {(6, 7): 1, (4, 3, 8): -1})
    monkeypatch.setattr(gpu, "copies", lambda shape, dtype: 2)
    main(["--record", "--rounds", "3"])
    result = json.loads((tmp_path / "gpu-some-gpu-80gb.json").read_text())
    assert result["device"] == "Some GPU 80GB" and result["copy"] == 1e12
    assert [(r["shape"], r["dtype"]) for r in result["rows"]] == [
        ([6, 7], "float32"),
        ([4, 3, 8], "float32"),
        ([6, 7], "float16"),
        ([4, 3, 8], "float16"),
    ]
    backward = result["rows"][0]["times"]["bncourse"]["backward"]
    assert backward["share"][1] == pytest.approx(504 / backward["seconds"][1] / 1e12, rel=1e-3)


@pytest.mark.skipif(why_no_cupy() is None, reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert main(["bench", "gpu"]) == 1
    assert "nothing was measured: CuPy: " in capsys.readouterr().out
    runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"))["main"]([])
    assert "no GPU, so nothing was measured" in capsys.readouterr().out

"""MNIST and Fashion-MNIST: from small files that look like theirs, and from the real ones."""

import os

import numpy as np
import pytest
from mirrors import REAL, isolate, put, small_arrays

from bncourse import data
from bncourse.data import downloads

LOADERS = {"mnist": data.mnist, "fashion-mnist": data.fashion_mnist}
TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture(params=LOADERS)
def small(request, monkeypatch, tmp_path):
    """A loader, and the four arrays that lie in its files."""
    cache = isolate(monkeypatch, tmp_path)
    for name in LOADERS:
        put(cache / name, name)
    return LOADERS[request.param], list(small_arrays(list(LOADERS).index(request.param)))


def test_all_of_it_in_the_order_of_the_files(small):
    load, (x_train, y_train, x_test, y_test) = small
    found = load(dtype="float64")
    assert np.array_equal(found.x_train, x_train.reshape(6, 20) / 255)
    assert np.array_equal(found.x_test, x_test.reshape(4, 20) / 255)
    assert np.array_equal(found.y_train, y_train) and np.array_equal(found.y_test, y_test)
    assert found.y_train.dtype == found.y_test.dtype == "int64"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_pixels_go_from_0_to_1_in_the_dtype_asked_for(small, dtype):
    load, (x_train, *_) = small
    found = load(dtype=dtype)
    assert found.x_train.dtype == found.x_test.dtype == dtype
    assert found.x_train.min() == 0 and found.x_train.max() == 1
    assert np.array_equal(found.x_train, (x_train.reshape(6, 20) / 255).astype(dtype))


def test_binary_pixels_are_thresholded_at_half_of_full_ink(small):
    load, _ = small
    grey, binary = load(), load(binary=True)
    assert np.rint(grey.x_train[0, :4] * 255).tolist() == [0, 127, 128, 255]
    assert binary.x_train[0, :4].tolist() == [0, 0, 1, 1]
    assert np.array_equal(binary.x_test, grey.x_test >= 0.5)


def test_images_have_a_channel(small):
    load, (x_train, *_) = small
    rows, images = load(), load(images=True)
    assert images.x_train.shape == (6, 1, 4, 5) and images.x_test.shape == (4, 1, 4, 5)
    assert np.array_equal(images.x_train.reshape(6, 20), rows.x_train)
    assert np.array_equal(images.x_train[2, 0] * 255, x_train[2].astype("float32"))


def test_digits_may_be_images_too():
    rows, images = data.digits(), data.digits(images=True)
    assert images.x_train.shape == (1300, 1, 8, 8) and images.x_test.shape == (497, 1, 8, 8)
    assert np.array_equal(images.x_test[3, 0, 2], rows.x_test[3, 16:24])


def test_a_part_keeps_images_and_labels_together_and_grows(small):
    load, (x_train, y_train, *_) = small
    few, more = load(n_train=3, n_test=2), load(n_train=5, n_test=4)
    assert [len(part) for part in few] == [3, 3, 2, 2]
    assert all(np.array_equal(a, b[: len(a)]) for a, b in zip(few, more, strict=True))
    of_label = dict(zip(y_train.tolist(), x_train.reshape(6, 20), strict=True))
    for x, label in zip(more.x_train, more.y_train.tolist(), strict=True):
        assert np.array_equal(np.rint(x * 255), of_label[label])


def test_a_part_is_that_of_the_seed_and_each_example_comes_once(small):
    load, (_, y_train, _, _) = small
    orders = {tuple(load(n_train=6, seed=seed).y_train.tolist()) for seed in range(20)}
    assert len(orders) > 10
    assert all(sorted(order) == sorted(y_train.tolist()) for order in orders)
    assert np.array_equal(load(n_train=4, seed=3).y_train, load(n_train=4, seed=3).y_train)
    assert np.array_equal(load(n_train=4, n_test=2).y_test, load(n_test=2).y_test)


def test_the_caller_may_change_what_it_gets(small):
    load, _ = small
    load().x_train[:] = -1
    assert load().x_train.min() == 0


@pytest.mark.parametrize(
    "options, kind, message",
    [
        ({"n_train": 7}, ValueError, "n_train must lie in 1 to 6, not 7"),
        ({"n_test": 5}, ValueError, "n_test must lie in 1 to 4, not 5"),
        ({"n_train": 0}, ValueError, "n_train must be at least 1, not 0"),
        ({"n_test": 2.0}, TypeError, "n_test must be a whole number, not 2.0"),
        ({"dtype": "uint8"}, TypeError, "dtype must be a floating dtype"),
    ],
)
def test_bad_options(small, options, kind, message):
    load, _ = small
    with pytest.raises(kind, match=message):
        load(**options)


@pytest.mark.parametrize("options", [{"n_train": -1}, {"n_test": "all"}, {"dtype": None}])
def test_bad_options_are_told_before_anything_is_fetched(monkeypatch, options):
    def fetch(name):
        raise AssertionError("fetched")

    monkeypatch.setattr(downloads, "fetch", fetch)
    with pytest.raises((TypeError, ValueError)):
        data.mnist(**options)


@pytest.fixture
def real(monkeypatch):
    if "BNCOURSE_DATA" not in os.environ:
        if not REAL.is_dir():
            pytest.skip("the real files are not here: no BNCOURSE_DATA")
        monkeypatch.setenv("BNCOURSE_DATA", str(REAL))
    if any(downloads.faults(name) for name in LOADERS):
        pytest.skip("BNCOURSE_DATA does not hold both data sets")


def test_the_real_mnist(real):
    found = data.mnist(images=True)
    assert found.x_train.shape == (60000, 1, 28, 28) and found.x_test.shape == (10000, 1, 28, 28)
    assert np.bincount(found.y_train).tolist() == TRAIN_COUNTS
    assert np.bincount(found.y_test).tolist() == TEST_COUNTS
    assert found.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert found.x_train.mean(dtype="float64") == pytest.approx(0.1307, abs=5e-5)
    assert found.x_train.std(dtype="float64") == pytest.approx(0.3081, abs=5e-5)


def test_the_real_fashion_mnist(real):
    found = data.fashion_mnist(binary=True)
    assert found.x_train.shape == (60000, 784) and found.x_test.shape == (10000, 784)
    assert np.bincount(found.y_train).tolist() == [6000] * 10
    assert np.bincount(found.y_test).tolist() == [1000] * 10
    assert data.FASHION_CLASSES[found.y_train[0]] == "Ankle boot"
    ink = [found.x_test[found.y_test == k].mean() for k in range(10)]
    assert ink[data.FASHION_CLASSES.index("Sandal")] == min(ink)

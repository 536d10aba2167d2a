import functools
import hashlib
import io
import os
from pathlib import Path

import pooch
import pytest
from mirrors import FILES, REAL, SETS, Web, contents, isolate, put

from bncourse.data import downloads
from bncourse.data.sources import SOURCES

IMAGES = FILES[0]
BAD_MANNERS = ["dead", "404", "500", "cut", "login", "empty"]

# As their makers publish them: https://github.com/zalandoresearch/fashion-mnist has a table.
MD5 = {
    "mnist": [
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ],
    "fashion-mnist": [
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ],
}


@pytest.fixture(scope="module")
def web():
    with Web() as server:
        yield server
        server.shutdown()


@pytest.fixture
def use(monkeypatch, tmp_path, web):
    """``use(*manners)``: mirrors that behave like this, and an empty cache, which is returned."""

    def use(*manners):
        web.asked.clear()
        return isolate(monkeypatch, tmp_path, *[web.mirror(manner) for manner in manners])

    return use


def whole(name):
    return {Path(file): data for file, data in SETS[name].items()}


@pytest.mark.parametrize("name", SETS)
def test_files_are_fetched_once(use, web, name):
    cache = use("good")
    assert downloads.fetch(name) == cache / name == downloads.folder(name)
    assert contents(cache / name) == whole(name)
    assert len(web.asked) == len(FILES)
    assert downloads.fetch(name) == cache / name
    assert len(web.asked) == len(FILES)


@pytest.mark.parametrize("manner", BAD_MANNERS)
def test_the_next_mirror_is_asked(use, web, manner):
    cache = use(manner, "good")
    downloads.fetch("mnist")
    assert contents(cache) == {Path("mnist") / file: data for file, data in SETS["mnist"].items()}
    assert len(web.asked) == len(FILES) * (1 if manner == "dead" else 2)


@pytest.mark.parametrize("manner", ["unpacks", "no length"])
def test_a_mirror_with_manners_of_its_own_is_understood(use, manner):
    cache = use(manner)
    downloads.fetch("mnist")
    assert contents(cache / "mnist") == whole("mnist")


@pytest.mark.parametrize(
    "manner, reason",
    [
        ("dead", "no connection"),
        ("404", "the server answers 404"),
        ("cut", "it broke off"),
        ("login", "the wrong checksum"),
    ],
)
def test_when_no_mirror_helps_the_way_out_is_told_and_nothing_is_kept(use, web, manner, reason):
    cache = use(manner, manner)
    with pytest.raises(FileNotFoundError) as error:
        downloads.fetch("mnist")
    message = str(error.value)
    assert "MNIST is not on this computer" in message and "bncourse.data.digits()" in message
    assert f"{web.mirror(manner)}mnist/{IMAGES}: " in message and reason in message
    assert str(cache / "mnist") in message and "BNCOURSE_DATA" in message
    assert all(f"mnist/{file}" in message for file in FILES)
    assert contents(cache) == {}


def test_only_what_is_missing_is_fetched(use, web):
    cache = use("good")
    half = {file: data for file, data in SETS["mnist"].items() if "images" in file}
    put(cache / "mnist", "mnist", leave_out=half)
    downloads.fetch("mnist")
    assert contents(cache / "mnist") == whole("mnist")
    assert web.asked == [f"/good/mnist/{file}" for file in half]


DAMAGES = {
    "cut": lambda data: data[:-3],
    "longer": lambda data: data + b"\0",
    "changed": lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:],
    "empty": lambda data: b"",
    "mistaken": lambda data: SETS["fashion-mnist"][IMAGES],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_in_the_cache_is_named_and_fetched_again(use, web, damage):
    place = put(use("good") / "mnist", "mnist")
    (place / IMAGES).write_bytes(DAMAGES[damage](SETS["mnist"][IMAGES]))
    assert list(downloads.faults("mnist")) == [place / IMAGES]
    with pytest.warns(UserWarning, match=f"{IMAGES} is (damaged|not of MNIST).*downloaded again"):
        downloads.fetch("mnist")
    assert contents(place) == whole("mnist") and downloads.faults("mnist") == {}
    assert web.asked == [f"/good/mnist/{IMAGES}"]


def test_a_damaged_file_is_not_used_when_there_is_no_other(use):
    place = put(use("dead") / "mnist", "mnist")
    (place / IMAGES).write_bytes(b"damaged")
    with (
        pytest.warns(UserWarning, match="its size is 7 bytes, not"),
        pytest.raises(FileNotFoundError, match="could not be downloaded"),
    ):
        downloads.fetch("mnist")


def test_an_interrupted_download_leaves_nothing_behind(use, monkeypatch):
    cache = use("good")

    def interrupted(self, url, output_file, pooch):
        Path(output_file).write_bytes(SETS["mnist"][IMAGES][:9])
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        downloads.fetch("mnist")
    assert contents(cache) == {}


def test_progress_is_shown_on_a_terminal_only(use, monkeypatch, capsys):
    cache = use("good")
    downloads.fetch("fashion-mnist")
    assert "B/s" not in capsys.readouterr().err

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    look = {"file": screen, "ncols": 80, "delay": 0, "mininterval": 0}
    monkeypatch.setattr(downloads, "_Bar", functools.partial(downloads._Bar, **look))
    downloads.fetch("mnist")
    assert contents(cache / "mnist") == whole("mnist")
    shown = screen.getvalue().split("\r")
    for file, data in SETS["mnist"].items():
        assert any(line.startswith(f"{file}:   0%") for line in shown)
        assert any(line.startswith(f"{file}: 100%") and f" {len(data)}" in line for line in shown)


@pytest.mark.parametrize("inside", [False, True], ids=["files directly", "subfolders"])
@pytest.mark.parametrize("name", SETS)
def test_own_files_come_first(use, web, monkeypatch, tmp_path, name, inside):
    put(use("good") / name, name)
    own = put(tmp_path / "own" / name if inside else tmp_path / "own", name)
    monkeypatch.setenv("BNCOURSE_DATA", str(tmp_path / "own"))
    assert downloads.fetch(name) == downloads.folder(name) == own
    assert web.asked == []


def test_files_of_the_other_data_set_are_not_mistaken_for_ours(use, monkeypatch, tmp_path):
    """All their names are the same."""
    cache = use("good")
    monkeypatch.setenv("BNCOURSE_DATA", str(put(tmp_path / "own", "fashion-mnist")))
    assert downloads.fetch("fashion-mnist") == tmp_path / "own"
    assert downloads.fetch("mnist") == cache / "mnist"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_ones_own_is_named_and_left_alone(use, monkeypatch, tmp_path, damage):
    cache = use("good")
    own = put(tmp_path / "own" / "mnist", "mnist")
    (own / IMAGES).write_bytes(DAMAGES[damage](SETS["mnist"][IMAGES]))
    before = contents(own)
    monkeypatch.setenv("BNCOURSE_DATA", str(tmp_path / "own"))
    with pytest.raises(ValueError, match=f"{IMAGES} is (damaged|not of MNIST).*unset BN"):
        downloads.fetch("mnist")
    assert contents(own) == before and contents(cache) == {}


@pytest.mark.parametrize("missing", FILES)
def test_three_files_of_four_are_not_enough(use, monkeypatch, tmp_path, missing):
    use("good")
    put(tmp_path / "own" / "mnist", "mnist", leave_out=[missing])
    monkeypatch.setenv("BNCOURSE_DATA", str(tmp_path / "own"))
    with pytest.raises(FileNotFoundError, match=f"{missing} is missing"):
        downloads.fetch("mnist")


def test_a_folder_of_other_things_is_passed_over(use, monkeypatch, tmp_path):
    cache = use("good")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").write_text("mine")
    monkeypatch.setenv("BNCOURSE_DATA", str(tmp_path / "own"))
    assert downloads.fetch("mnist") == cache / "mnist"
    assert contents(tmp_path / "own") == {Path("notes.txt"): b"mine"}


def test_a_folder_that_is_not_there_is_told(use, monkeypatch, tmp_path):
    use("good")
    monkeypatch.setenv("BNCOURSE_DATA", str(tmp_path / "typo"))
    with pytest.raises(NotADirectoryError, match="BNCOURSE_DATA is set to .*typo"):
        downloads.fetch("mnist")


def test_folders_may_be_empty_words_relative_or_of_the_home(use, monkeypatch, tmp_path):
    cache = use("good")
    monkeypatch.setenv("BNCOURSE_DATA", "  ")
    assert downloads.folder("mnist") == cache / "mnist"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("BNCOURSE_CACHE", "~/elsewhere")
    assert downloads.cache() == tmp_path / "elsewhere"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BNCOURSE_CACHE", "here/../there")
    assert downloads.cache() == tmp_path / "there"
    monkeypatch.delenv("BNCOURSE_CACHE")
    assert downloads.cache() == Path(pooch.os_cache("bncourse"))


def test_a_cache_that_cannot_be_written_is_an_error(use, monkeypatch, tmp_path):
    use("good")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BNCOURSE_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        downloads.fetch("mnist")


@pytest.mark.parametrize("ask", [downloads.folder, downloads.faults, downloads.fetch])
def test_an_unknown_name_is_told(ask):
    with pytest.raises(ValueError, match="name must be 'mnist' or 'fashion-mnist', not 'cifar'"):
        ask("cifar")


@pytest.mark.parametrize("name", SOURCES)
def test_each_data_set_has_several_mirrors_of_different_owners(name):
    mirrors = SOURCES[name].mirrors
    assert len({mirror.split("/")[2] for mirror in mirrors}) == len(mirrors) >= 3
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in mirrors)


@pytest.mark.parametrize("name", SOURCES)
def test_the_checksums_are_those_of_the_published_files(name, monkeypatch):
    if "BNCOURSE_DATA" not in os.environ:
        monkeypatch.setenv("BNCOURSE_DATA", str(REAL))
    try:
        place = downloads.folder(name)
    except NotADirectoryError:
        pytest.skip("the real files are not here")
    if len(downloads.faults(name)) == len(FILES):
        pytest.skip("the real files are not here")
    assert downloads.faults(name) == {}
    for file, md5 in zip(SOURCES[name].files, MD5[name], strict=True):
        found = hashlib.md5((place / file).read_bytes(), usedforsecurity=False)
        assert found.hexdigest() == md5

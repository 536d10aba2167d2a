import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from mirrors import CODES, idx_bytes

from bncourse.data import idx

SHAPES = [(1,), (7,), (2, 3), (3, 4, 5), (1, 2, 1, 2), (0,), (0, 28, 28)]
PIXELS = np.arange(24, dtype="uint8").reshape(2, 3, 4)
HEADER = idx_bytes(PIXELS)[:16]


@pytest.fixture
def write(tmp_path):
    def write(unpacked, change=lambda packed: packed):
        path = tmp_path / "some-images.gz"
        path.write_bytes(change(gzip.compress(unpacked, mtime=0)))
        return path

    return write


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", CODES)
def test_what_was_written_is_read(write, rng, dtype, shape):
    array = rng.uniform(-100, 100, shape)
    array = (np.abs(array) if dtype == "u1" else array).astype(dtype)
    found = idx.read(write(idx_bytes(array)), dtype=dtype, ndim=len(shape))
    assert found.dtype == np.dtype(dtype) and found.dtype.isnative
    assert found.shape == shape and found.flags.writeable
    assert np.array_equal(found, array)


def test_the_type_and_the_dimensions_need_not_be_known(write):
    assert np.array_equal(idx.read(str(write(idx_bytes(PIXELS)))), PIXELS)


def header(*sizes, magic=(0, 0, 8)):
    return bytes([*magic, len(sizes)]) + b"".join(struct.pack(">I", n) for n in sizes)


@pytest.mark.parametrize(
    "unpacked, message",
    [
        (b"", "it ends inside its header"),
        (b"\0\0\x08", "it ends inside its header"),
        (HEADER[:15], "it ends inside its header"),
        (header(2, magic=(1, 0, 8)), "magic number is 01 00 08 01; wanted are 00 00, a type"),
        (header(2, magic=(0, 1, 8)), "magic number is 00 01 08 01"),
        (header(2, magic=(0, 0, 0x0A)), "magic number is 00 00 0a 01"),
        (header(), "magic number is 00 00 08 00"),
        (b"<html><body>Log in</body></html>", "magic number is 3c 68 74 6d"),
        (HEADER, r"says \(2, 3, 4\), 24 bytes, but only 0 follow"),
        (HEADER + bytes(23), r"says \(2, 3, 4\), 24 bytes, but only 23 follow"),
        (HEADER + bytes(25), r"says \(2, 3, 4\), 24 bytes, but more follow"),
        (HEADER + bytes(10**6), r"says \(2, 3, 4\), 24 bytes, but more follow"),
        (header(2**32 - 1), "4294967295 bytes: more than 2. bytes can unpack to"),
        (header(*[2**32 - 1] * 255), "more than .* bytes can unpack to"),
        (header(0, *[2**32 - 1] * 3), "too big"),
        (header(*[1] * 100) + b"7", "dimension"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_by_name(write, unpacked, message):
    with pytest.raises(ValueError, match=rf"some-images\.gz is no intact idx file: .*{message}"):
        idx.read(write(unpacked))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda packed: b"", "not gzip .*this with nothing"),
        (lambda packed: gzip.decompress(packed), "not gzip .*this with 00 00"),
        (lambda packed: b"PK" + packed[2:], "not gzip .*this with 50 4b"),
        (lambda packed: packed[:-9], "it is cut"),
        (lambda packed: packed[:-1], "it is cut"),
        (lambda packed: packed[:-8] + bytes(4) + packed[-4:], "incorrect data check"),
        (lambda packed: packed + b"!", "1 bytes follow the end"),
        (lambda packed: packed + packed, "bytes follow the end"),
    ],
)
def test_a_damaged_package_is_refused_by_name(write, change, message):
    with pytest.raises(ValueError, match=rf"some-images\.gz is no intact idx file: .*{message}"):
        idx.read(write(idx_bytes(PIXELS), change))


def test_a_file_cut_anywhere_is_refused(write):
    for length in range(len(gzip.compress(idx_bytes(PIXELS), mtime=0))):
        with pytest.raises(ValueError, match="no intact idx file"):
            idx.read(write(idx_bytes(PIXELS), lambda packed, n=length: packed[:n]))


def test_a_changed_byte_never_changes_a_number(write):
    unpacked = idx_bytes(PIXELS)
    refused = 0
    for at in range(len(gzip.compress(unpacked, mtime=0))):
        path = write(unpacked, lambda p, i=at: p[:i] + bytes([p[i] ^ 0x10]) + p[i + 1 :])
        try:
            assert np.array_equal(idx.read(path), PIXELS)  # e.g. the time stamp of gzip
        except ValueError:
            refused += 1
    assert refused > len(unpacked)


def test_another_type_or_number_of_dimensions_is_refused(write):
    path = write(idx_bytes(PIXELS))
    with pytest.raises(ValueError, match=r"some-images\.gz .*holds uint8, but int32 is wanted"):
        idx.read(path, dtype="int32")
    with pytest.raises(ValueError, match=r"some-images\.gz .*has 3 dimensions, but 1 are wanted"):
        idx.read(path, ndim=1)


@pytest.mark.parametrize(
    "unpacked", [header(100_000), header(3) + bytes(10**8)], ids=["promised", "packed"]
)
def test_a_bomb_takes_no_memory(write, unpacked):
    """Sizes that are not there, and bytes that were not announced."""
    path = write(unpacked, lambda packed: packed + bytes(1000 if len(packed) < 1000 else 0))
    tracemalloc.start()
    with pytest.raises(ValueError, match="no intact idx file"):
        idx.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * path.stat().st_size + 100_000


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        idx.read(tmp_path / "nowhere.gz")

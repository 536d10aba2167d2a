"""The idx format of MNIST: a few sizes, then the numbers; packed with gzip."""

import math
import zlib
from pathlib import Path

import numpy as np

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST_PACKED = 1032  # deflate never packs more bytes than this into one


def read(path, dtype=None, ndim=None):
    r"""The array in a gzipped idx file.

    The unpacked file holds, one after the other,

    .. math::
        & 0,\; 0,\; \text{type},\; d \\
        & n_1, \dots, n_d \\
        & n_1 n_2 \cdots n_d \text{ numbers in C order:}

    four single bytes, then the sizes in four bytes each, all with their largest part first.

    Nothing in the file is believed before it is checked: no more is unpacked than the header asks
    for, and a header that asks for more than a file of this size can hold is refused before
    memory is taken.

    Parameters
    ----------
    path : str or pathlib.Path
    dtype : str or numpy.dtype, optional
        What the numbers must be: uint8, int8, int16, int32, float32 or float64.
    ndim : int, optional
        How many dimensions there must be: 3 for images, 1 for labels.

    Returns
    -------
    numpy.ndarray
        Writable, of the machine's own byte order.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not gzip, is cut or damaged, has a header that is none, more or fewer numbers
        than its header says, or another dtype or number of dimensions than asked for. The message
        names the file.

    Notes
    -----
    Source: LeCun, Cortes and Burges, *The MNIST database of handwritten digits*, section on file
    formats.
    """
    packed = Path(path).read_bytes()
    try:
        return _decode(packed, None if dtype is None else np.dtype(dtype), ndim)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"{path} is no intact idx file: {error}") from None


def _decode(packed, dtype, ndim):
    if packed[:2] != b"\x1f\x8b":
        raise ValueError(f"it is not gzip (that begins with 1f 8b, this with {_hex(packed[:2])})")
    unzip = zlib.decompressobj(wbits=31)  # gzip, its check sum included
    first = _take(unzip, packed, 4)
    if first[:2] != b"\0\0" or first[2] not in _TYPES or first[3] == 0:
        raise ValueError(
            f"its magic number is {_hex(first)}; wanted are 00 00, a type "
            f"({', '.join(_hex([t]) for t in _TYPES)}) and the number of dimensions, at least 1"
        )
    found = np.dtype(_TYPES[first[2]])
    if dtype not in (None, found.newbyteorder("=")):
        raise ValueError(f"it holds {found.newbyteorder('=')}, but {dtype} is wanted")
    if ndim not in (None, first[3]):
        raise ValueError(f"it has {first[3]} dimensions, but {ndim} are wanted")
    sizes = _take(unzip, unzip.unconsumed_tail, 4 * first[3])
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    payload = _payload(unzip, math.prod(shape) * found.itemsize, shape, len(packed))
    return np.frombuffer(payload, found).reshape(shape).astype(found.newbyteorder("="))


def _payload(unzip, size, shape, packed_size):
    """All that is left, which must be ``size`` bytes: no more, no less, and the end of the file."""
    if size > _MOST_PACKED * packed_size:
        raise ValueError(
            f"its header says {shape}, {size} bytes: more than {packed_size} bytes can unpack to"
        )
    payload = unzip.decompress(unzip.unconsumed_tail, size + 1)  # one more would be one too many
    if len(payload) > size:
        raise ValueError(f"its header says {shape}, {size} bytes, but more follow")
    if not unzip.eof:
        raise ValueError(
            f"it is cut: the gzip stream does not end ({len(payload)} bytes of {size})"
        )
    if len(payload) < size:
        raise ValueError(f"its header says {shape}, {size} bytes, but only {len(payload)} follow")
    if unzip.unused_data:
        raise ValueError(f"{len(unzip.unused_data)} bytes follow the end of the gzip stream")
    return payload


def _take(unzip, packed, count):
    """The next ``count`` bytes of the header."""
    taken = unzip.decompress(packed, count)
    if len(taken) < count:
        raise ValueError("it ends inside its header")
    return taken


def _hex(data):
    return " ".join(f"{byte:02x}" for byte in data) or "nothing"

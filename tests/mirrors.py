"""Small data sets in idx files, and a web server on this computer that serves them, also badly."""

import gzip
import hashlib
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from bncourse.data.sources import SOURCES, Source

FILES = tuple(SOURCES["mnist"].files)
CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
REAL = Path(__file__).parents[2] / "shared" / "data"


def idx_bytes(array):
    """An unpacked idx file, written number by number."""
    kind = {"u1": "B", "i1": "b", "i2": "h", "i4": "i", "f4": "f", "f8": "d"}[array.dtype.str[1:]]
    head = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim])
    head += b"".join(struct.pack(">I", n) for n in array.shape)
    return head + b"".join(struct.pack(">" + kind, v) for v in array.ravel().tolist())


def small_arrays(seed):
    """Six images of 4 x 5 pixels to train, four to test, with labels: in the order of FILES."""
    rng = np.random.default_rng(seed)
    for n in (6, 4):
        pixels = rng.integers(0, 256, (n, 4, 5)).astype("uint8")
        pixels[0, 0, :4] = 0, 127, 128, 255
        yield from (pixels, rng.permutation(10)[:n].astype("uint8"))


SETS = {
    name: {
        file: gzip.compress(idx_bytes(array), mtime=0)
        for file, array in zip(FILES, small_arrays(seed), strict=True)
    }
    for seed, name in enumerate(SOURCES)
}


def put(folder, name, leave_out=()):
    """Write the files of a data set into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in SETS[name].items():
        if file not in leave_out:
            (folder / file).write_bytes(content)
    return folder


def contents(folder):
    """All that lies in a folder, subfolders included: name and bytes."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def isolate(monkeypatch, tmp_path, *mirrors):
    """Small data sets instead of the published ones, at these mirrors, and a cache of their own."""
    for name, files in SETS.items():
        known = {f: (len(data), hashlib.sha256(data).hexdigest()) for f, data in files.items()}
        addresses = tuple(f"{mirror}{name}/" for mirror in mirrors)
        monkeypatch.setitem(SOURCES, name, Source(SOURCES[name].title, addresses, known))
    monkeypatch.setenv("BNCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BNCOURSE_DATA", raising=False)
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(variable, "127.0.0.1")
    return tmp_path / "cache"


class Web(ThreadingHTTPServer):
    """Serves ``<address>/<manner>/<data set>/<file>``; ``asked`` is what it was asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def mirror(self, manner):
        """A mirror that is ``good``, or has one of the faults of :class:`_Handler`."""
        port = 9 if manner == "dead" else self.server_port  # nobody listens at the discard port
        return f"http://127.0.0.1:{port}/{manner}/"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        manner, name, file = self.path.strip("/").split("/")
        self.server.asked.append(self.path)
        data = SETS[name][file]
        if manner in ("404", "500"):
            return self.send_error(int(manner))
        sent = {"login": b"<html>Log in</html>", "empty": b""}.get(manner, data)
        self.send_response(200)
        if manner != "no length":
            self.send_header("Content-Length", str(len(sent)))
        if manner == "unpacks" and "gzip" in self.headers.get("Accept-Encoding", ""):
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(sent[: len(sent) // 2] if manner == "cut" else sent)

    def log_message(self, *args):
        pass

"""Parts of a batch on several threads, each with a BLAS of one thread.

A BLAS of its own accord splits each single product, and its threads meet after each. For many
small products that is slow, and very slow where other processes want the cores too: then the
threads wait in turn for one that is not running. Parts of a batch meet once, at the end.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

from bncourse.kernels.threads import blas

_WORTH_IT = 20_000_000  # multiplications: a millisecond, ten times what starting threads takes
_FEW = 10_000_000  # multiplications: a second thread would save less than 0.1 ms
_alone = Lock()  # the number of threads of a BLAS is one for the whole process
_usual = None  # that number, while the BLAS is held to one thread here


def share(f, n, multiplications):
    """``f(part)`` for slices that make up a batch of ``n``; the results in order, as a list.

    As many parts as the BLAS may use threads, by its own settings (``OPENBLAS_NUM_THREADS`` and
    the like, or threadpoolctl); a single one if there is little to do. So the same settings give
    the same parts, and sums over them the same bits.
    """
    usual = _threads() if multiplications >= _WORTH_IT else 1
    threads = min(n, usual)
    if threads <= 1:
        return [f(slice(0, n))]
    parts = [slice(n * i // threads, n * (i + 1) // threads) for i in range(threads)]
    if not _alone.acquire(blocking=False):  # another thread of the user's is in here
        return [f(part) for part in parts]
    try:
        with _limited(usual), ThreadPoolExecutor(threads) as pool:
            return list(pool.map(f, parts))
    finally:
        _alone.release()


def few(multiplications):
    """Whether little is lost if a product of matrices is done by one thread."""
    return multiplications < _FEW


@contextmanager
def one_thread():
    """The BLAS does with one thread what is called inside ``with``.

    For products of :func:`few` multiplications: the other threads of OpenBLAS keep a core busy
    for a tenth of a second after each, and whatever else has several threads has fewer cores.
    """
    usual = _threads()
    if usual <= 1 or not _alone.acquire(blocking=False):
        yield
        return
    try:
        with _limited(usual):
            yield
    finally:
        _alone.release()


@contextmanager
def _limited(usual):
    """A BLAS of one thread, while other threads of the user's still learn of the usual number."""
    global _usual
    _usual = usual
    try:
        with blas().limit(limits=1):
            yield
    finally:
        _usual = None


def _threads():
    before = _usual
    now = max((library.num_threads for library in blas().lib_controllers), default=1)
    return before or _usual or now  # where either is there, ``now`` may be the one of _limited

"""Where the kernels are tested: emulated on the CPU, in three orders of threads, and on a GPU."""

import shutil

import emulated
import host_memory
import numpy as np
import pytest

from bncourse.arrays import why_no_cupy
from bncourse.kernels.gpu import module


class Emulated:
    """Arrays of CuPy in host memory, and kernels that g++ has built."""

    def __init__(self, device):
        self.device = device
        self.put, self.get = host_memory.put, host_memory.get


class Gpu:
    """The real thing."""

    device = None

    def put(self, a, offset=0):
        import cupy

        a = np.asarray(a)
        order = sorted(range(a.ndim), key=lambda k: a.strides[k], reverse=True)
        packed = np.ascontiguousarray(a.transpose(order))
        flat = cupy.empty(packed.size + offset, packed.dtype)[offset:]
        flat.set(packed.ravel())
        return flat.reshape(packed.shape).transpose(np.argsort(order).tolist())

    def get(self, a):
        return a.get()


@pytest.fixture(scope="session")
def builds(tmp_path_factory):
    """Folder for what g++ builds."""
    return tmp_path_factory.mktemp("emulated")


@pytest.fixture
def emulate(builds, monkeypatch):
    """Function that makes CuPy run its kernels on the CPU; takes an edit of their source."""
    cupy = host_memory.cupy_or_skip()
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ to build the emulated kernels with")

    def emulate(edit=lambda source: source):
        device = emulated.Device(builds, edit)
        _forget()
        monkeypatch.setattr(cupy, "RawModule", device.RawModule)
        monkeypatch.setattr(cupy, "copyto", host_memory.copyto)
        monkeypatch.setattr(cupy, "ascontiguousarray", host_memory.gapless)
        return Emulated(device)

    with host_memory.used():
        yield emulate
    _forget()


def _forget():
    module.kernel.cache_clear()
    module._module.cache_clear()


@pytest.fixture
def gpu_home():
    """:class:`Gpu`, or a skip where there is none."""
    if why_no_cupy():
        pytest.skip(why_no_cupy())
    import cupy

    with cupy.cuda.using_allocator(None):  # not from a pool, whose parts no tool can tell apart
        yield Gpu()


ORDERS = {
    "as numbered": emulated.FAST,
    "backwards": emulated.BACKWARDS,
    "shuffled": emulated.SHUFFLED,
}


@pytest.fixture(params=[*ORDERS, pytest.param("gpu", marks=pytest.mark.gpu)])
def home(request):
    """Where the kernels run; :class:`Emulated` or :class:`Gpu`."""
    if request.param == "gpu":
        return request.getfixturevalue("gpu_home")
    place = request.getfixturevalue("emulate")()
    place.device.order = ORDERS[request.param]
    return place

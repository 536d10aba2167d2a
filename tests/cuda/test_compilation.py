"""NVRTC compiles every kernel for every architecture, without a GPU, and nothing spills."""

import json

import pytest
import resources
from host_memory import cupy_or_skip

from bncourse.kernels.gpu import module

MARGIN = 24  # registers: compilers differ from version to version


@pytest.fixture(scope="module")
def found():
    cupy_or_skip()
    try:
        resources.version()
    except Exception as error:  # CuPy raises another kind in each version
        pytest.skip(f"NVRTC cannot be loaded: {error}")
    return resources.everything()


@pytest.fixture(scope="module")
def recorded():
    return json.loads(resources.RESULT.read_text())["kernels"]


@pytest.mark.parametrize("architecture", resources.ARCHITECTURES)
def test_every_kernel_compiles_and_none_spills(found, architecture):
    kernels = found[architecture]
    assert len(kernels) == 15 * len(module.TYPED) + len(module.UNTYPED)
    assert {k: v for k, v in kernels.items() if v["spilled"]} == {}


@pytest.mark.parametrize("architecture", resources.ARCHITECTURES)
def test_resources_are_as_recorded(found, recorded, architecture):
    assert found[architecture].keys() == recorded[architecture].keys()
    for name, kernel in found[architecture].items():
        before = recorded[architecture][name]
        assert kernel["registers"] <= before["registers"] + MARGIN, name
        assert kernel["shared"] == before["shared"], name


def test_two_blocks_find_room_on_a_multiprocessor(recorded):
    # The registers of a multiprocessor are 65536, and shared memory is 64 KiB or more.
    for kernels in recorded.values():
        for name, kernel in kernels.items():
            assert kernel["registers"] <= 128 or "double>" in name or "double, " in name, name
            assert kernel["shared"] <= 16 << 10, name


def test_a_mistake_is_told_with_its_line(found):
    source = module.source
    try:
        module.source = lambda: "__global__ void wrong(float* x) {\n x[0] = nothing;\n}"
        with pytest.raises(AssertionError, match=r'kernels.cu\(2\).*"nothing" is undefined'):
            resources.compiled("80", {"wrong": 0})
    finally:
        module.source = source

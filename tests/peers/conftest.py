"""Tests against other libraries; each file is skipped where its library is not installed."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Arrays of a few numbers: a second thread of PyTorch would only be waited for."""
    try:
        import torch
    except ModuleNotFoundError:
        return
    torch.set_num_threads(1)

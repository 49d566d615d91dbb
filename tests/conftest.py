from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

import qnnw

# Derandomised: a failure seen once is seen by everybody.
settings.register_profile("qnnw", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("qnnw")


@pytest.fixture(params=[1, 2, 3, 8])
def num_threads(request):
    """Every test that takes this runs with each of these numbers of threads."""
    before = qnnw.get_num_threads()
    qnnw.set_num_threads(request.param)
    yield request.param
    qnnw.set_num_threads(before)


@pytest.fixture
def restore_threads():
    before = qnnw.get_num_threads()
    yield
    qnnw.set_num_threads(before)


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """MNIST in torchvision's layout: `QNNW_DATA`, or where torchvision downloads it to."""
    return Path(os.environ.get("QNNW_DATA", Path.home() / ".cache" / "qnnw"))

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

import qnnw

# Derandomised: a failure seen once is seen by everybody. With fresh seeds it finds what nobody has
# seen, and prints how to see it again: `pytest -m property`, with QNNW_HYPOTHESIS=fresh.
settings.register_profile("qnnw", deadline=None, derandomize=True, max_examples=60)
settings.register_profile("fresh", deadline=None, max_examples=100, print_blob=True)
settings.load_profile(os.environ.get("QNNW_HYPOTHESIS", "qnnw"))

# Files of which all tests take long: sweeps, examples, ranks. In others the slow ones are marked
# where they stand.
SLOW = {"test_distributed", "test_guide", "test_sweep"}


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """A whole folder of tests is for two to four workers; a file alone, or -n 0, is for none."""
    asked = config.getoption("numprocesses", 0), config.option.usepdb, config.option.capture
    if asked != (None, False, "fd") or hasattr(config, "workerinput"):
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if cores > 1 and all(Path(place).is_dir() for place in config.args):
        config.option.numprocesses, config.option.dist = min(cores, 4), "worksteal"
        # Workers fill the processors; torch's own threads in each would only wait for each other.
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)
        if hasattr(getattr(item, "obj", None), "hypothesis"):
            item.add_marker(pytest.mark.property)


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

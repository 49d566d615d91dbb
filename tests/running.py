"""Stopping runs and comparing records."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from qnnw.training.record import RunFolder
from qnnw.training.runs import resume, start
from qnnw.training.trainer import Reporter

TIMES = {
    "seconds", "evaluations_per_second", "steps_per_second", "run_dir", "circuit_seconds",
    "network_seconds", "rest_seconds", "circuit_seconds_per_step", "network_seconds_per_step",
    "rest_seconds_per_step",
}  # fmt: skip


def same_but_for_time(left, right):
    """Records compared bit for bit, times and places aside."""
    strip = lambda record: {k: v for k, v in record.items() if k not in TIMES}  # noqa: E731
    return strip(left) == strip(right)


class StopAfter(Reporter):
    """Interrupts a run as Ctrl-C would, after so many evaluations or steps."""

    def __init__(self, units):
        self.left = units

    def advanced(self, done, loss):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def cut(config, out, units):
    """Start a run and interrupt it; its folder."""
    with pytest.raises(KeyboardInterrupt):
        start(config, out, StopAfter(units))
    (path,) = out.iterdir()
    return path


def check_that_stops_change_nothing(config, tmp_path, stops):
    """A run that is interrupted again and again gives an uninterrupted one's bits."""
    whole = start(config, tmp_path / "whole")
    path = cut(config, tmp_path / "cut", stops[0])
    for stop in stops[1:]:
        with pytest.raises(KeyboardInterrupt):
            resume(path, StopAfter(stop))
    assert same_but_for_time(resume(path), whole)
    left, right = RunFolder(path), RunFolder(whole["run_dir"])
    assert left.model_path.read_bytes() == right.model_path.read_bytes()
    for a, b in zip(left.read_history(), right.read_history(), strict=True):
        assert same_but_for_time(a, b)
    arrays, expected = left.read_checkpoint()[0], right.read_checkpoint()[0]
    assert arrays.keys() == expected.keys()
    assert all(arrays[name].tobytes() == expected[name].tobytes() for name in arrays)


# Imports are done before the run is touched, so that kills fall into the run.
RESUME = """
import sys
from qnnw.training.runs import resume
print("ready", flush=True)
resume(sys.argv[1])
"""


def check_that_kills_change_nothing(config, tmp_path, times, seed):
    """kill -9, again and again, at any moment; the last one finishes."""
    whole = start(config, tmp_path / "whole")
    path = cut(config, tmp_path / "cut", 3)
    rng = random.Random(seed)
    for _ in range(times):
        command = [sys.executable, "-c", RESUME, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.8))
            os.kill(process.pid, signal.SIGKILL)
        RunFolder(path).read_checkpoint()
        RunFolder(path).read_history()
    assert same_but_for_time(resume(path), whole)

"""Stopping runs and comparing records."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from qnnw.nn import QuantumTrain
from qnnw.nn.pretrained import load_recipe, save_recipe
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


def check_that_it_trains_and_comes_back(model, net, folder):
    """A model of 4 inputs and 3 outputs, by torch's Adam; its files give the same bits."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    rng = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(30, 4, generator=rng), torch.arange(30) % 3
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05
    expected = model(inputs)
    model.save_pretrained(folder / "model")
    again = QuantumTrain.from_pretrained(net, folder / "model")
    assert torch.equal(again(inputs), expected)
    save_recipe(model, folder / "recipe")
    assert torch.equal(load_recipe(folder / "recipe", net)(inputs), expected)

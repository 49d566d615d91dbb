"""Small sweeps, made, run here, or pretended."""

from __future__ import annotations

from pathlib import Path

from qnnw.paper.presets import in_protocol
from qnnw.sweep.engines import LocalEngine
from qnnw.sweep.grid import parse_grid, trials_of
from qnnw.sweep.ledger import SweepFolder
from qnnw.training.config import TrainConfig

RELEASED = Path(__file__).parent / "releases" / "0.1.0" / "sweep"
SHORT = "periods=2 angle_evals=40 gamma_evals=4"


def make(path, grid, **options):
    trials = trials_of("iris", parse_grid(grid), base=in_protocol)
    return SweepFolder.create(path, trials, {"dataset": "iris"}, **options)


def local(folder, workers=2):
    return LocalEngine(workers, 1, folder.path / "workers.log")


def tables(folder):
    return [(folder.path / name).read_text() for name in ("results.csv", "table.csv", "table.md")]


class Pretended:
    """An engine that runs nothing: it says what it is told to."""

    def __init__(self, answers, capacity=1):
        self.capacity, self.answers, self.started, self.closed = capacity, answers, [], False
        self._due = []

    def start(self, trial, path):
        self.started.append(trial.name)
        self._due.append(trial)

    def reports(self, timeout):
        trial = self._due.pop(0)
        return [(trial, self.answers(trial, self.started.count(trial.name)))]

    def close(self):
        self.closed = True


def result(trial, **more):
    return {
        "num_trained": 33, "loss": 0.1 + trial.axes.get("seed", 0), "train_accuracy": 0.9,
        "test_accuracy": 0.8, "gamma": 0.3, **more,
    }  # fmt: skip


def config_of(trial):
    return TrainConfig.from_dict(trial.config)

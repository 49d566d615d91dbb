"""What every training is: data, network, circuit, the best point so far, and its record."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.extras import needs
from qnnw._common.files import write_atomically
from qnnw._common.runtime import get_num_threads
from qnnw._common.signals import finish_first, stop_if_asked
from qnnw.data.datasets import Dataset
from qnnw.training.behaviour import Buffers
from qnnw.training.config import TrainConfig
from qnnw.training.evaluation import Evaluator
from qnnw.training.given import data_of, loss_of, network_of
from qnnw.training.legacy import upgraded_checkpoint
from qnnw.training.losses import Evaluation
from qnnw.training.record import MODEL_FORMAT, RecordError, RunFolder
from qnnw.training.sources import source_of
from qnnw.training.tasks import TASKS
from qnnw.weights.source import named

with needs("train", "qnnw.training.trainer"):
    import torch
    from torch import nn

    from qnnw.nn import tensorfile


# What a result says of how the weights were made.
_OF_THE_MAP = ("seed", "shots", "signs", "mapping", "scale", "activation")


class Reporter:
    """Hears how a run goes, and says nothing; subclasses show it.

    Attributes
    ----------
    run_dir
        The run's folder, once the run has started.
    """

    run_dir: Path | None = None

    def started(self, trainer: Trainer, run_dir: Path) -> None:  # noqa: ARG002
        """The run begins, or goes on after ``len(trainer.history)`` finished rounds."""
        self.run_dir = run_dir

    def estimated(self, seconds: float) -> None:
        """What is left will take about this long."""

    def advanced(self, done: int, loss: float) -> None:
        """``done`` evaluations or steps are over since the run's first; ``loss`` is where it is."""

    def round_finished(self, line: dict[str, Any]) -> None:
        """One more line of the history is written."""

    def stopped(self) -> None:
        """Nothing more comes, whether the run is finished or not."""


class Stoppable(Reporter):
    """Says nothing; within a command, the first signal waits for the round that is under way."""

    def started(self, trainer: Trainer, run_dir: Path) -> None:
        """The run begins."""
        super().started(trainer, run_dir)
        self._trainer = trainer

    def estimated(self, seconds: float) -> None:
        """The rounds begin."""
        super().estimated(seconds)
        finish_first(f"this {self._trainer.round_name}")

    def round_finished(self, line: dict[str, Any]) -> None:
        """The round's record is on the disk; what is left of a finished run is not cut off."""
        super().round_finished(line)
        if len(self._trainer.history) < self._trainer.rounds:
            stop_if_asked()

    def stopped(self) -> None:
        """The run is over."""
        finish_first(None)
        super().stopped()


@dataclass(frozen=True)
class Point:
    """Where the run stands: a set of weights that was evaluated, and what it gave.

    ``parameters`` are the source's numbers by group. ``draw`` numbers the evaluation; with shots it
    is also the seed of the outcomes, so the weights can be made again. ``buffers`` are what the
    network kept, such as running statistics.
    """

    parameters: dict[str, NDArray[np.float64]]
    draw: int
    loss: float
    buffers: Buffers = field(default_factory=dict)


class Trainer(ABC):
    """One run: its source of weights, network and data, and the best point so far.

    Subclasses say what a round does: :class:`qnnw.training.periods.PeriodTrainer` and
    :class:`qnnw.training.epochs.EpochTrainer`.

    Parameters
    ----------
    config
        The settings.
    data, network
        What they are for; ``None``: made from the settings.

    Attributes
    ----------
    round_name, unit_name
        What a round is called, the key of its number in the history; and what is counted within it.
    rounds
        Of the whole run.
    sizes, many
        Trained numbers by group; the groups of more than one, the others being scales.
    num_trained
        Of all groups.

    Raises
    ------
    ValueError
        A setting is out of range.
    qnnw.data.datasets.DatasetError
        The data cannot be read.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: Dataset | None = None,
        network: nn.Module | None = None,
    ) -> None:
        self.config = config
        self.threads = config.threads or get_num_threads()
        self.data = data_of(config) if data is None else data
        self.task = TASKS[self.data.task]
        self.loss = loss_of(config, self.data)
        self.network = network_of(config, self.data) if network is None else network
        self.source, self.made_names = source_of(config, self.network)
        self.groups = dict(self.source.groups)
        self.sizes = {name: len(group.start) for name, group in self.groups.items()}
        self.many = [name for name, size in self.sizes.items() if size > 1]
        self.num_trained = sum(self.sizes.values())
        optimizer = config.optimizer
        self.round_name, self.unit_name = optimizer.round_name, optimizer.unit_name
        self.rounds = optimizer.rounds
        self._train = self._evaluator(self.data.train_inputs, self.data.train_labels)
        self._test = self._evaluator(self.data.test_inputs, self.data.test_labels)
        start = {name: group.start for name, group in self.groups.items()}
        self.best = Point(start, draw=0, loss=math.inf)
        self.history: list[dict[str, Any]] = []
        self._set_up()

    @abstractmethod
    def _set_up(self) -> None:
        """What the rounds need besides."""

    def _evaluator(self, inputs: torch.Tensor, labels: torch.Tensor) -> Evaluator:
        return Evaluator(
            self.network,
            inputs,
            labels,
            loss=self.loss,
            device=self.config.device,
            threads=self.threads,
            names=self.made_names,
            num_outputs=self.data.num_outputs,
            target_scale=self.data.target_scale,
        )

    @property
    @abstractmethod
    def units_per_round(self) -> int:
        """Evaluations or steps in a round, at most."""

    @abstractmethod
    def describe(self) -> list[str]:
        """What a round does, in a few lines for a person."""

    @abstractmethod
    def seconds_left(self) -> float:
        """How long the rounds that are left will take, from some work timed now."""

    @abstractmethod
    def run_round(self, reporter: Reporter) -> dict[str, Any]:
        """One round. Returns the line for the history."""

    @abstractmethod
    def _state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays and numbers besides the best point that the next round starts from."""

    @abstractmethod
    def _restore_state(self, arrays: dict[str, NDArray[Any]], state: dict[str, Any]) -> None:
        """Take them back; raises KeyError, TypeError or ValueError where they do not fit."""

    def scales(self, parameters: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """The groups of one number, for a line of the history."""
        return {name: float(parameters[name][0]) for name in self.groups if name not in self.many}

    def best_weights(self) -> NDArray[Any]:
        """The weights of the best point."""
        return self.source.weights(self.best.parameters, self.best.draw)

    def measure(self) -> tuple[Evaluation, Evaluation]:
        """The best point's weights on the training set and on the test set."""
        weights = self.best_weights()
        return self._train(weights, self.best.buffers), self._test(weights, self.best.buffers)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The plain network's state with the best weights."""
        return self._train.state_dict(self.best_weights(), self.best.buffers)

    def save(self, folder: RunFolder) -> None:
        """Write checkpoint, history and model."""
        arrays: dict[str, NDArray[Any]] = {
            **{f"best.{name}": values for name, values in self.best.parameters.items()},
            **packed_buffers("best", self.best.buffers),
        }
        state = {"draw": self.best.draw, "loss": self.best.loss}
        more_arrays, more_state = self._state()
        model = {
            "format": MODEL_FORMAT,
            "dataset": self.config.dataset,
            "activation": self.config.activation,
            "settings_sha256": folder.settings_digest,
        }
        write_atomically(folder.model_path, tensorfile.pack(self.state_dict(), model))
        folder.write_checkpoint({**arrays, **more_arrays}, {**state, **more_state}, self.history)

    def restore(self, folder: RunFolder) -> None:
        """Go back to where the folder's checkpoint stands; nothing to do before the first.

        Raises
        ------
        qnnw.training.record.RecordError
            The checkpoint is damaged or does not belong to this run.
        """
        checkpoint = folder.read_checkpoint()
        if checkpoint is None:
            return
        arrays, state, history = checkpoint
        try:
            arrays, state = upgraded_checkpoint(arrays, state, self.sizes)
            parameters = {name: arrays[f"best.{name}"].astype(np.float64) for name in self.sizes}
            buffers = unpacked_buffers("best", arrays)
            self.best = Point(parameters, int(state["draw"]), float(state["loss"]), buffers)
            for name, values in parameters.items():
                if values.shape != self.groups[name].start.shape:
                    raise RecordError(
                        f"{str(folder.checkpoint_path)!r} does not belong to "
                        f"{str(folder.config_path)!r}: its {name} have shape {values.shape}, not "
                        f"{self.groups[name].start.shape}"
                    )
            self._restore_state(arrays, state)
            self.history = [dict(line) for line in history]
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{str(folder.checkpoint_path)!r} is damaged: {error}") from error

    def result(self, folder: RunFolder) -> dict[str, Any]:
        """What ``result.json`` holds."""
        train, test = self.measure()
        config = self.config
        num_weights, num_trained = self.source.num_weights, self.num_trained
        seconds = sum(line["seconds"] for line in self.history)
        done = sum(line[self.unit_name] for line in self.history)
        return {
            "dataset": config.dataset,
            "optimizer": config.optimizer.name,
            "num_weights": num_weights,
            "num_qubits": num_qubits(num_weights),
            **{name: getattr(config, name) for name in ("reps", "source", "entanglement")},
            "num_trained": num_trained,
            "parameter_ratio": num_trained / num_weights,
            **{name: getattr(config, name) for name in _OF_THE_MAP},
            "loss_function": self.loss,
            "task": self.task.name,
            "train_samples": len(self.data.train_labels),
            "test_samples": len(self.data.test_labels),
            "validation_samples": config.validation_samples,
            **self.task.line(train.measures, test.measures),
            "loss": self.best.loss,
            "test_loss": jsonable(test.loss),
            **self.scales(self.best.parameters),
            f"{self.round_name}s": len(self.history),
            self.unit_name: done,
            "seconds": seconds,
            f"{self.unit_name}_per_second": done / seconds,
            "run_dir": str(folder.path),
        }

    def close(self) -> None:
        """Stop the threads."""
        self._train.close()
        self._test.close()


def jsonable(loss: float) -> float | None:
    """A loss that stops no run: a record, which holds finite numbers, has ``None`` for others."""
    return loss if math.isfinite(loss) else None


def num_qubits(num_weights: int) -> int:
    """N = max(1, ceil(log2 M)): of the circuit that makes so many weights."""
    return max(1, (num_weights - 1).bit_length())


def packed_buffers(when: str, buffers: Buffers) -> dict[str, NDArray[Any]]:
    """Buffers as a checkpoint's arrays; halves, which NumPy lacks, as float32."""
    return {
        f"buffer.{when}.{name}": (
            buffer.float() if buffer.dtype == torch.bfloat16 else buffer
        ).numpy()
        for name, buffer in buffers.items()
    }


def unpacked_buffers(when: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    """The buffers that :func:`packed_buffers` made arrays of."""
    own = named(arrays, f"buffer.{when}.")
    return {name: torch.from_numpy(array.copy()) for name, array in own.items()}

"""What every training is: data, network, circuit, the best point so far, and its record."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qnnw._common.extras import needs
from qnnw._common.runtime import get_num_threads
from qnnw.circuit.ansatz import EfficientSU2
from qnnw.data.datasets import Dataset
from qnnw.training.behaviour import Buffers
from qnnw.training.config import TrainConfig
from qnnw.training.evaluation import Evaluation, Evaluator
from qnnw.training.given import data_of, loss_of, network_of
from qnnw.training.record import RecordError, RunFolder
from qnnw.training.sources import source_of
from qnnw.training.tasks import TASKS
from qnnw.weights.mapping import WeightMap

with needs("train", "qnnw.training.trainer"):
    import torch
    from torch import nn

    from qnnw.nn import tensorfile
    from qnnw.weights.targets import find_targets

__all__ = ["Point", "Reporter", "Trainer"]


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


@dataclass(frozen=True)
class Point:
    """Where the run stands: a set of weights that was evaluated, and what it gave.

    ``draw`` numbers the evaluation; with shots it is also the seed of the outcomes, so the weights
    can be made again. ``buffers`` are what the network kept, such as running statistics.
    """

    angles: NDArray[np.float64]
    gamma: float
    draw: int
    loss: float
    buffers: Buffers = field(default_factory=dict)


class Trainer(ABC):
    """One run: its circuit, map, network and data, and the best point so far.

    Subclasses say what a round is, and what is counted in it: :class:`qnnw.training.periods.PeriodTrainer`
    and :class:`qnnw.training.epochs.EpochTrainer`.

    Parameters
    ----------
    config
        The settings.
    data, network
        What they are for; ``None``: made from the settings.

    Raises
    ------
    ValueError
        A setting is out of range.
    qnnw.data.datasets.DatasetError
        The data cannot be read.
    """

    #: What a round is called; the key of its number in the history.
    round_name: ClassVar[str]
    #: What is counted within a round; a key in the history.
    unit_name: ClassVar[str]

    #: Names of the network's parameters in the order of the flat weights.
    made_names: tuple[str, ...]

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
        targets = find_targets(self.network, None)
        self.made_names = tuple(target.name for target in targets)
        self.weight_map = WeightMap(
            sum(target.numel for target in targets), config.seed, config.signs, config.mapping
        )
        self.ansatz = EfficientSU2(self.weight_map.num_qubits, config.reps, config.pairs)
        self.generator, start = source_of(config, self.network, self.ansatz, self.weight_map)
        self._train = self._evaluator(self.data.train_inputs, self.data.train_labels)
        self._test = self._evaluator(self.data.test_inputs, self.data.test_labels)
        self.best = Point(start, config.gamma, draw=0, loss=math.inf)
        self.history: list[dict[str, Any]] = []

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
    def rounds(self) -> int:
        """Rounds of the whole run."""

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

    def best_weights(self) -> NDArray[np.float64]:
        """The weights of the best point."""
        return self.generator.weights(self.best.angles, self.best.gamma, self.best.draw)

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
            "angles": self.best.angles,
            "first": self.weight_map.first,
            "second": self.weight_map.second,
            "signs": self.weight_map.signs,
            **packed_buffers("best", self.best.buffers),
        }
        state = {"gamma": self.best.gamma, "draw": self.best.draw, "loss": self.best.loss}
        more_arrays, more_state = self._state()
        model = {"dataset": self.config.dataset, "activation": self.config.activation}
        folder.write_bytes(folder.model_path, tensorfile.pack(self.state_dict(), model))
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
            weight_map = WeightMap.from_arrays(
                arrays["first"], arrays["second"], arrays["signs"], self.config.mapping
            )
            angles = arrays["angles"].astype(np.float64)
            self.best = Point(
                angles,
                float(state["gamma"]),
                int(state["draw"]),
                float(state["loss"]),
                unpacked_buffers("best", arrays),
            )
            self._restore_state(arrays, state)
            self.history = [dict(line) for line in history]
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{str(folder.checkpoint_path)!r} is damaged: {error}") from error
        if weight_map != self.weight_map or angles.shape != (self.generator.num_angles,):
            raise RecordError(
                f"{str(folder.checkpoint_path)!r} does not belong to {str(folder.config_path)!r}: "
                "its map or its angles differ"
            )

    def result(self, folder: RunFolder) -> dict[str, Any]:
        """What ``result.json`` holds."""
        train, test = self.measure()
        config = self.config
        num_weights, num_angles = self.weight_map.num_weights, self.generator.num_angles
        seconds = sum(line["seconds"] for line in self.history)
        done = sum(line[self.unit_name] for line in self.history)
        return {
            "dataset": config.dataset,
            "optimizer": config.optimizer,
            "num_weights": num_weights,
            "num_qubits": self.ansatz.num_qubits,
            "reps": config.reps,
            "weights_from": config.weights_from,
            "entanglement": config.entanglement,
            "num_angles": num_angles,
            "parameter_ratio": num_angles / num_weights,
            "seed": config.seed,
            "shots": config.shots,
            "signs": config.signs,
            "mapping": config.mapping,
            "scale": config.scale,
            "activation": config.activation,
            "loss_function": self.loss,
            "task": self.task.name,
            "train_samples": len(self.data.train_labels),
            "test_samples": len(self.data.test_labels),
            "validation_samples": config.validation_samples,
            **self.task.line(train.measures, test.measures),
            "loss": self.best.loss,
            "gamma": self.best.gamma,
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
    start = f"buffer.{when}."
    return {
        name.removeprefix(start): torch.from_numpy(array.copy())
        for name, array in arrays.items()
        if name.startswith(start)
    }

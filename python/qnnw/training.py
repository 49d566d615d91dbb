"""Training as in the paper: periods of COBYLA on the angles, then Nelder-Mead on gamma."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import qnnw
from qnnw import networks
from qnnw._extras import needs
from qnnw._seeds import derived_seed
from qnnw.ansatz import EfficientSU2
from qnnw.config import NETWORKS, TrainConfig
from qnnw.datasets import Dataset, load
from qnnw.evaluation import Evaluation, Evaluator
from qnnw.generate import generate_weights
from qnnw.mapping import WeightMap
from qnnw.optimize import Cobyla, NelderMead
from qnnw.record import RecordError, RunFolder

with needs("train", "qnnw.training"):
    import safetensors.torch
    import torch

__all__ = ["Point", "Reporter", "Trainer"]

# Nelder-Mead may step to gamma <= 0. The map is even in gamma, and 0 makes every weight 0.
SMALLEST_GAMMA = 1e-12
# Derived seeds from here on turn COBYLA's coordinates; those below draw shots.
ROTATIONS = 1 << 40


class Reporter:
    """Hears how a run goes, and says nothing; subclasses show it.

    Attributes
    ----------
    run_dir
        The run's folder, once the run has started.
    """

    run_dir: Path | None = None

    def started(self, trainer: Trainer, run_dir: Path) -> None:  # noqa: ARG002
        """The run begins, or goes on after ``len(trainer.history)`` finished periods."""
        self.run_dir = run_dir

    def estimated(self, seconds: float) -> None:
        """What is left will take about this long."""

    def evaluated(self, period: int, evaluations: int, loss: float) -> None:
        """One more evaluation is done; ``loss`` is the best of the run so far."""

    def period_finished(self, line: dict[str, Any]) -> None:
        """One more line of the history is written."""

    def stopped(self) -> None:
        """Nothing more comes, whether the run is finished or not."""


@dataclass(frozen=True)
class Point:
    """Where the run stands: a set of weights that was evaluated, and what it gave.

    ``draw`` numbers the evaluation; with shots it is also the seed of the outcomes, so the weights
    can be made again.
    """

    angles: NDArray[np.float64]
    gamma: float
    draw: int
    loss: float


class Trainer:
    """One run: its circuit, map, network and data, and the best point so far.

    Parameters
    ----------
    config
        The settings.

    Raises
    ------
    ValueError
        A setting is out of range.
    qnnw.datasets.DatasetError
        The data cannot be read.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.threads = config.threads or qnnw.get_num_threads()
        self.data: Dataset = load(
            config.dataset,
            seed=config.seed,
            data_dir=config.data_dir,
            train_samples=config.train_samples,
        )
        self.network = NETWORKS[config.dataset](config.activation)
        self.weight_map = WeightMap(
            networks.num_weights(self.network), config.seed, config.signs, config.mapping
        )
        self.ansatz = EfficientSU2(self.weight_map.num_qubits, config.reps, config.entanglement)
        self._train = self._evaluator(self.data.train_inputs, self.data.train_labels)
        self._test = self._evaluator(self.data.test_inputs, self.data.test_labels)
        self.best = Point(
            self.ansatz.random_angles(config.seed), config.gamma, draw=0, loss=math.inf
        )
        self.evaluations = 0
        self.history: list[dict[str, Any]] = []
        self.gamma_optimizer = NelderMead(step=config.gamma_step)

    def _evaluator(self, inputs: torch.Tensor, labels: torch.Tensor) -> Evaluator:
        return Evaluator(
            self.network,
            inputs,
            labels,
            loss=self.config.loss,
            device=self.config.device,
            threads=self.threads,
        )

    def weights(self, angles: NDArray[np.float64], gamma: float, draw: int) -> NDArray[Any]:
        """The network's weights; with shots, those of the measurement number ``draw``."""
        shots = self.config.shots
        seed = None if shots is None else derived_seed(self.config.seed, draw)
        return generate_weights(self.ansatz, angles, self.weight_map, gamma, shots, seed)

    def evaluate(self, angles: NDArray[np.float64], gamma: float) -> float:
        """Loss on the training set, eq. 10, of freshly drawn weights; keeps the best point."""
        draw = self.evaluations
        self.evaluations += 1
        loss = self._train(self.weights(angles, gamma, draw)).loss
        # A loss that is not finite is the optimiser's to refuse; no comparison lets it in here.
        if loss < self.best.loss:
            self.best = Point(angles.copy(), gamma, draw, loss)
        return loss

    def measure(self) -> tuple[Evaluation, Evaluation]:
        """The best point's weights on the training set and on the test set."""
        weights = self.weights(self.best.angles, self.best.gamma, self.best.draw)
        return self._train(weights), self._test(weights)

    def seconds_per_evaluation(self) -> float:
        """Time of one evaluation now, measured on three; changes nothing."""
        start = time.perf_counter()
        for _ in range(3):
            self._train(self.weights(self.best.angles, self.best.gamma, 0))
        return (time.perf_counter() - start) / 3

    def angle_optimizer(self, period: int) -> Cobyla:
        """The optimiser of the angles in a period, counted from 1."""
        config = self.config
        share = (period - 1) / max(config.periods - 1, 1)
        return Cobyla(
            rhobeg=config.rhobeg * config.rhobeg_decay**share,
            rotation=derived_seed(config.seed, ROTATIONS + period) if config.rotate else None,
        )

    def seconds_left(self) -> float:
        """How long the periods that are left will take, from a few evaluations timed now."""
        config = self.config
        left = config.periods - len(self.history)
        per_period = config.angle_evals + config.gamma_evals
        seconds = left * per_period * self.seconds_per_evaluation()
        if seconds > 60:
            # Only a long run is worth a second or two of timing the optimiser itself.
            past_simplex = max(0, config.angle_evals - self.ansatz.num_parameters)
            overhead = self.angle_optimizer(1).overhead(self.ansatz.num_parameters)
            seconds += left * past_simplex * overhead
        return seconds

    def run_period(self, reporter: Reporter) -> dict[str, Any]:
        """One period: the angles, then gamma. Returns the line for the history."""
        start = time.perf_counter()
        before = self.evaluations
        period = len(self.history) + 1

        def angles_objective(angles: NDArray[np.float64]) -> float:
            loss = self.evaluate(angles, gamma)
            reporter.evaluated(period, self.evaluations, self.best.loss)
            return loss

        def gamma_objective(scale: NDArray[np.float64]) -> float:
            loss = self.evaluate(angles, max(abs(float(scale[0])), SMALLEST_GAMMA))
            reporter.evaluated(period, self.evaluations, self.best.loss)
            return loss

        gamma = self.best.gamma
        optimizer = self.angle_optimizer(period)
        optimizer.minimize(angles_objective, self.best.angles, self.config.angle_evals)
        if self.config.gamma_evals > 0:
            angles = self.best.angles
            scale = np.array([self.best.gamma])
            self.gamma_optimizer.minimize(gamma_objective, scale, self.config.gamma_evals)
        train, test = self.measure()
        return {
            "period": period,
            "loss": self.best.loss,
            "cross_entropy": train.cross_entropy,
            "train_accuracy": train.accuracy,
            "test_accuracy": test.accuracy,
            "gamma": self.best.gamma,
            "evaluations": self.evaluations - before,
            "seconds": time.perf_counter() - start,
        }

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The plain network's state with the best weights."""
        return self._train.state_dict(
            self.weights(self.best.angles, self.best.gamma, self.best.draw)
        )

    def save(self, folder: RunFolder) -> None:
        """Write checkpoint, history and model."""
        arrays: dict[str, NDArray[Any]] = {
            "angles": self.best.angles,
            "first": self.weight_map.first,
            "second": self.weight_map.second,
            "signs": self.weight_map.signs,
        }
        state = {
            "gamma": self.best.gamma,
            "draw": self.best.draw,
            "loss": self.best.loss,
            "evaluations": self.evaluations,
        }
        folder.write_bytes(folder.model_path, safetensors.torch.save(self.state_dict()))
        folder.write_checkpoint(arrays, state, self.history)

    def restore(self, folder: RunFolder) -> None:
        """Go back to where the folder's checkpoint stands; nothing to do before the first.

        Raises
        ------
        qnnw.record.RecordError
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
                angles, float(state["gamma"]), int(state["draw"]), float(state["loss"])
            )
            self.evaluations = int(state["evaluations"])
            self.history = [dict(line) for line in history]
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{str(folder.checkpoint_path)!r} is damaged: {error}") from error
        if weight_map != self.weight_map or angles.shape != (self.ansatz.num_parameters,):
            raise RecordError(
                f"{str(folder.checkpoint_path)!r} does not belong to {str(folder.config_path)!r}: "
                "its map or its angles differ"
            )

    def result(self, folder: RunFolder) -> dict[str, Any]:
        """What ``result.json`` holds."""
        train, test = self.measure()
        config = self.config
        num_weights, num_angles = self.weight_map.num_weights, self.ansatz.num_parameters
        seconds = sum(line["seconds"] for line in self.history)
        evaluations = sum(line["evaluations"] for line in self.history)
        return {
            "dataset": config.dataset,
            "num_weights": num_weights,
            "num_qubits": self.ansatz.num_qubits,
            "reps": config.reps,
            "entanglement": config.entanglement,
            "num_angles": num_angles,
            "parameter_ratio": num_angles / num_weights,
            "seed": config.seed,
            "shots": config.shots,
            "signs": config.signs,
            "mapping": config.mapping,
            "activation": config.activation,
            "loss_function": config.loss,
            "train_samples": len(self.data.train_labels),
            "test_samples": len(self.data.test_labels),
            "train_accuracy": train.accuracy,
            "test_accuracy": test.accuracy,
            "loss": self.best.loss,
            "cross_entropy": train.cross_entropy,
            "gamma": self.best.gamma,
            "periods": len(self.history),
            "evaluations": evaluations,
            "seconds": seconds,
            "evaluations_per_second": evaluations / seconds,
            "run_dir": str(folder.path),
        }

    def close(self) -> None:
        """Stop the threads."""
        self._train.close()
        self._test.close()

"""Training by exact gradients: epochs of Adam on the angles and gamma, over batches."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.extras import needs
from qnnw._common.seeds import derived_seed
from qnnw.data.datasets import Dataset
from qnnw.optim.derivative_free import NonFiniteLossError
from qnnw.optim.eigen_adam import EigenAdam
from qnnw.optim.schedules import one_cycle
from qnnw.training.config import TrainConfig
from qnnw.training.evaluation import Evaluation
from qnnw.training.gradient import BatchGradient
from qnnw.training.presets import preset
from qnnw.training.tasks import CLASSIFICATION
from qnnw.training.trainer import Point, Reporter, Trainer, packed_buffers, unpacked_buffers

with needs("train", "qnnw.training.epochs"):
    import torch
    from torch import nn

__all__ = ["EpochTrainer"]

# Derived seeds from here on order the samples of an epoch; those below draw shots.
ORDERS = 1 << 41
# The default peak learning rate: a step moves every angle by about that much, and the fewer there
# are, the less it moves the weights. Measured on MNIST (docs/results.md).
LR_TIMES_ANGLES, LARGEST_LR = 15.0, 0.1
# A run that fell back to chance after it had been better goes on from its best epoch, with a
# learning rate that is multiplied by this.
AFTER_COLLAPSE = 0.5


def _default_lr(num_angles: int) -> float:
    return min(LARGEST_LR, LR_TIMES_ANGLES / max(1, num_angles))


@dataclass
class _Seconds:
    """Where the time of an epoch's steps goes."""

    circuit: float = 0.0
    network: float = 0.0
    rest: float = 0.0

    def as_dict(self) -> dict[str, float]:
        return {f"{field.name}_seconds": getattr(self, field.name) for field in fields(self)}


class EpochTrainer(Trainer):
    """Epochs of Adam on angles and gamma with a one-cycle learning rate.

    A step makes the weights once, takes loss and gradient of one batch through the network, and
    the gradient through the circuit, which is exact (with shots: the straight-through estimator of
    :func:`qnnw.generate_weights_with_vjp`). After each epoch the whole training set is evaluated;
    the epoch with the lowest loss of eq. 10 there is the run's result. See
    :class:`qnnw.training.trainer.Trainer`.
    """

    round_name = "epoch"
    unit_name = "steps"

    def __init__(
        self,
        config: TrainConfig,
        data: Dataset | None = None,
        network: nn.Module | None = None,
    ) -> None:
        super().__init__(config, data, network)
        self.steps = 0
        self.peak_lr = config.lr or _default_lr(self.generator.num_angles)
        self.lr_factor = 1.0
        self._gradient = BatchGradient(
            self.network,
            loss=self.loss,
            device=config.device,
            threads=self.threads,
            names=self.made_names,
            seed=config.seed,
        )
        self._inputs = self._gradient.arranged(self.data.train_inputs)
        self._labels = self.data.train_labels.to(self._inputs.device)
        self._angles = torch.from_numpy(self.best.angles.copy())
        self._gamma = torch.tensor(self.best.gamma, dtype=torch.float64)
        self._optimizer = self._new_optimizer()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        kind = EigenAdam if self._in_eigenbasis() else torch.optim.Adam
        return kind(self._trained(), lr=self.peak_lr)

    def _in_eigenbasis(self) -> bool:
        # All weights of a network are too many for a matrix of their products.
        return self.config.preconditioning == "full" and self.config.weights_from != "direct"

    def _trained(self) -> list[torch.Tensor]:
        return [self._angles, self._gamma]

    @property
    def rounds(self) -> int:
        """Epochs of the whole run."""
        return self.config.epochs

    @property
    def units_per_round(self) -> int:
        """Steps in an epoch."""
        return self._gradient.num_batches(len(self._labels), self.config.batch_size)

    def describe(self) -> list[str]:
        """Optimiser, budget and map."""
        config = self.config
        lines = [
            f"{self._optimizer_name()} by exact gradients: {config.epochs} epochs of "
            f"{self.units_per_round} steps on batches of {config.batch_size} of "
            f"{len(self._labels)} samples, learning rate "
            f"{self.peak_lr:.3g}, {self.threads} thread{'s' if self.threads != 1 else ''}, "
            f"{config.device}",
            f"map {config.mapping}, scale {config.scale}, signs {config.signs}, "
            f"initial gamma {config.gamma:g}",
        ]
        return [*lines, *self._gradient.describe(), *self._paper_note()]

    def _optimizer_name(self) -> str:
        return "Adam in the gradients' eigenbasis," if self._in_eigenbasis() else "Adam"

    def _paper_note(self) -> list[str]:
        """Where the paper trained this dataset's kind: what its protocol would take here."""
        if self.config.dataset not in ("mnist", "fashion-mnist") or self.config.network:
            return []
        paper = preset(self.config.dataset, "cobyla")
        start = time.perf_counter()
        self._train(self.best_weights())
        evaluations = paper.periods * (paper.angle_evals + paper.gamma_evals)
        hours = evaluations * (time.perf_counter() - start) / 3600
        return [
            f"(the paper's own protocol is --optimizer cobyla: {evaluations} evaluations of all "
            f"samples, here at least {hours:.0f} h)"
        ]

    def seconds_left(self) -> float:
        """From a step's circuit and network on the first batch, and an evaluation."""
        angles, batch = self.best.angles, slice(0, self.config.batch_size)
        buffers = self._gradient.buffers()
        for warm in (True, False):
            start = time.perf_counter()
            # Another gamma each time: the last weights are remembered.
            gamma = self.best.gamma * (1.0 + 1e-9 * warm)
            weights = self.generator.weights(angles, gamma, record=True)
            _, cotangent = self._gradient(weights, self._inputs[batch], self._labels[batch])
            self.generator.gradients(angles, gamma, cotangent)
            step = time.perf_counter() - start
        self._gradient.set_buffers(buffers)
        start = time.perf_counter()
        self._train(weights)
        epoch = step * self.units_per_round + time.perf_counter() - start
        return (self.rounds - len(self.history)) * epoch

    def run_round(self, reporter: Reporter) -> dict[str, Any]:
        """One epoch. Returns the line for the history."""
        start = time.perf_counter()
        before = self.steps
        epoch = len(self.history) + 1
        order = self._order(epoch)
        seconds = _Seconds()
        for batch in self._gradient.batches(order, self.config.batch_size):
            loss = self._step(batch, seconds)
            reporter.advanced(self.steps, loss)
        train, test = self._measure_now()
        collapsed = self._recover_from_collapse(train)
        line = {
            "epoch": epoch,
            "loss": train.loss,
            **self.task.line(train.measures, test.measures),
            "gamma": float(self._gamma),
            "lr": self._lr(),
            "steps": self.steps - before,
            "seconds": time.perf_counter() - start,
            **seconds.as_dict(),
        }
        return {**line, "collapsed": True} if collapsed else line

    def _order(self, epoch: int) -> torch.Tensor:
        rng = np.random.default_rng(derived_seed(self.config.seed, ORDERS + epoch))
        return torch.from_numpy(rng.permutation(len(self._labels))).to(self._labels.device)

    def _lr(self) -> float:
        share = self.steps / (self.rounds * self.units_per_round)
        return self.peak_lr * self.lr_factor * one_cycle(share, self.config.warmup)

    def _step(self, batch: torch.Tensor, seconds: _Seconds) -> float:
        times = [time.perf_counter()]
        inputs, labels = self._inputs[batch], self._labels[batch]
        angles, gamma, draw = self._angles.numpy(), float(self._gamma), self.steps
        times.append(time.perf_counter())
        weights = self.generator.weights(angles, gamma, draw, record=True)
        times.append(time.perf_counter())
        loss, cotangent = self._gradient(weights, inputs, labels, self.steps)
        times.append(time.perf_counter())
        if not (math.isfinite(loss) and np.isfinite(cotangent).all()):
            raise NonFiniteLossError(
                f"the loss is {loss} at step {self.steps + 1}; it and its gradient must be finite"
            )
        by_angles, by_gamma = self.generator.gradients(angles, gamma, cotangent, draw)
        times.append(time.perf_counter())
        self._angles.grad = torch.from_numpy(by_angles)
        self._gamma.grad = torch.tensor(by_gamma, dtype=torch.float64)
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr()
        self._optimizer.step()
        self.steps += 1
        times.append(time.perf_counter())
        gather, forward, network, backward, update = np.diff(times)
        seconds.circuit += float(forward + backward)
        seconds.network += float(network)
        seconds.rest += float(gather + update)
        return loss

    def _measure_now(self) -> tuple[Evaluation, Evaluation]:
        """Both sets with the weights as they are; keeps the best point."""
        angles, gamma, draw = self._angles.numpy().copy(), float(self._gamma), self.steps
        weights, buffers = self.generator.weights(angles, gamma, draw), self._gradient.buffers()
        train, test = self._train(weights, buffers), self._test(weights, buffers)
        if not math.isfinite(train.loss):
            raise NonFiniteLossError(f"the loss is {train.loss} after step {self.steps}")
        if train.loss < self.best.loss:
            self.best = Point(angles, gamma, draw, train.loss, buffers)
        return train, test

    def _recover_from_collapse(self, now: Evaluation) -> bool:
        """Go back to the best epoch if the run fell from it to chance; whether it did."""
        if self.task is not CLASSIFICATION:
            return False
        chance = math.log(int(self._labels.max()) + 1)
        fell = now.cross_entropy > 0.98 * chance and self.best.loss < 0.8 * chance
        if fell:
            with torch.no_grad():
                self._angles.copy_(torch.from_numpy(self.best.angles))
                self._gamma.fill_(self.best.gamma)
            self._gradient.set_buffers(self.best.buffers)
            self._optimizer = self._new_optimizer()
            self.lr_factor *= AFTER_COLLAPSE
        return fell

    def _state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays = {"angles_now": self._angles.numpy(), "gamma_now": self._gamma.numpy()}
        moments = {
            f"{name}.{key}": moment.numpy()
            for name, tensor in (("angles", self._angles), ("gamma", self._gamma))
            for key, moment in self._optimizer.state[tensor].items()
        }
        state = {"steps": self.steps, "lr_factor": self.lr_factor, "moments": list(moments)}
        return {**arrays, **moments, **packed_buffers("now", self._gradient.buffers())}, state

    def _restore_state(self, arrays: dict[str, NDArray[Any]], state: dict[str, Any]) -> None:
        angles, gamma = arrays["angles_now"], arrays["gamma_now"]
        if angles.shape != tuple(self._angles.shape) or gamma.shape != ():
            raise ValueError(f"angles have shape {angles.shape}, gamma has {gamma.shape}")
        with torch.no_grad():
            self._angles.copy_(torch.from_numpy(angles))
            self._gamma.copy_(torch.from_numpy(gamma))
        self._optimizer = self._new_optimizer()
        tensors = {"angles": self._angles, "gamma": self._gamma}
        for place in state["moments"]:
            name, key = place.split(".")
            self._optimizer.state[tensors[name]][key] = torch.from_numpy(arrays[place].copy())
        self._gradient.set_buffers(unpacked_buffers("now", arrays))
        self.steps = int(state["steps"])
        self.lr_factor = float(state["lr_factor"])

    def result(self, folder: Any) -> dict[str, Any]:
        """What ``result.json`` holds, with a step's time split into its parts."""
        result = super().result(folder)
        per_step = {
            f"{part}_seconds_per_step": sum(line[f"{part}_seconds"] for line in self.history)
            / max(self.steps, 1)
            for part in ("circuit", "network", "rest")
        }
        return {
            **result,
            "batch_size": self.config.batch_size,
            "lr": self.peak_lr,
            **per_step,
        }

    def close(self) -> None:
        """Stop the threads."""
        self._gradient.close()
        super().close()

"""Training by exact gradients: epochs of Adam on the angles and gamma, over batches."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.extras import needs
from qnnw._common.seeds import derived_seed
from qnnw.optim.derivative_free import NonFiniteLossError
from qnnw.optim.schedules import one_cycle
from qnnw.training.augmentation import check_images, mirrored, shifted
from qnnw.training.config import TrainConfig
from qnnw.training.gradient import BatchGradient
from qnnw.training.losses import Evaluation
from qnnw.training.optimizers import EigenAdam
from qnnw.training.record import PARTS
from qnnw.training.tasks import CLASSIFICATION
from qnnw.training.trainer import (
    Point,
    Reporter,
    Trainer,
    jsonable,
    packed_buffers,
    unpacked_buffers,
)
from qnnw.weights.settings import LEARNED
from qnnw.weights.source import named

with needs("train", "qnnw.training.epochs"):
    import torch

# Derived seeds from here on order the samples of an epoch; those below draw shots.
ORDERS = 1 << 41
# A run that fell back to chance after it had been better goes on from its best epoch, with a
# learning rate that is multiplied by this.
AFTER_COLLAPSE = 0.5


class EpochTrainer(Trainer):
    """Epochs of Adam on a source's numbers with a one-cycle learning rate.

    A step makes the weights once, takes loss and gradient of one batch through the network, and
    the gradient back through the source; a circuit's is exact (with shots: the straight-through
    estimator of :func:`qnnw.generate_weights_with_vjp`). After each epoch the whole training set is
    evaluated; the epoch with the lowest loss of eq. 10 there is the run's result. See
    :class:`qnnw.training.trainer.Trainer`.
    """

    def _set_up(self) -> None:
        self.steps = 0
        config = self.config
        assert isinstance(config.optimizer, EigenAdam)
        self.budget = config.optimizer
        self.peak_lr = self.budget.peak_lr(sum(len(self.groups[name].start) for name in self.many))
        self.lr_factor = 1.0
        self._gradient = BatchGradient(
            self.network,
            loss=self.loss,
            device=config.device,
            threads=self.threads,
            names=self.made_names,
            seed=config.seed,
            label_smoothing=self.budget.label_smoothing,
        )
        check_images(self.budget.shift, self.budget.mirror, self.data.train_inputs)
        self._inputs = self._images = self._gradient.arranged(self.data.train_inputs)
        self._labels = self.data.train_labels.to(self._inputs.device)
        self._numbers = {
            name: torch.from_numpy(values.copy()) for name, values in self.best.parameters.items()
        }
        # Of every group, relative to the angles.
        own = self.budget.gamma_lr
        self._steps = [
            group.step if own is None or not group.even else group.step * own / self.peak_lr
            for group in self.groups.values()
        ]
        self._optimizer = self._new_optimizer()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        groups = [{"params": [numbers]} for numbers in self._numbers.values()]
        return self.budget.build(groups, self.peak_lr)

    def _now(self) -> dict[str, NDArray[np.float64]]:
        return {name: numbers.numpy() for name, numbers in self._numbers.items()}

    @property
    def units_per_round(self) -> int:
        """Steps in an epoch."""
        return self._gradient.num_batches(len(self._labels), self.budget.batch_size)

    def describe(self) -> list[str]:
        """Optimiser, budget and map."""
        config = self.config
        lines = [
            f"{self.budget.title} by {_gradients(config)}: {self.budget.epochs} epochs of "
            f"{self.units_per_round} steps on batches of {self.budget.batch_size} of "
            f"{len(self._labels)} samples, learning rate "
            f"{self.peak_lr:.3g}, {self.threads} thread{'s' if self.threads != 1 else ''}, "
            f"{config.device}",
            _map_line(config),
            *self._helps(),
        ]
        return [*lines, *self._gradient.describe()]

    def _helps(self) -> list[str]:
        """What helps to learn, in a line, where there is such."""
        gamma_lr, smoothing = self.budget.gamma_lr, self.budget.label_smoothing
        words = [f"gamma's learning rate {gamma_lr:.3g}"] if gamma_lr else []
        words += [f"labels smoothed by {smoothing:g}"] if smoothing else []
        words += [f"images moved by up to {self.budget.shift} px"] if self.budget.shift else []
        words += ["half of the images mirrored"] if self.budget.mirror else []
        return [", ".join(words)] if words else []

    def seconds_left(self) -> float:
        """From a step's circuit and network on the first batch, and an evaluation."""
        batch = slice(0, self.budget.batch_size)
        buffers = self._gradient.buffers()
        for _warm in range(2):
            start = time.perf_counter()
            weights, pullback = self.source.forward(self.best.parameters)
            _, cotangent = self._gradient(weights, self._inputs[batch], self._labels[batch])
            pullback(cotangent)
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
        rng = np.random.default_rng(derived_seed(self.config.seed, ORDERS + epoch))
        shuffled = torch.from_numpy(rng.permutation(len(self._labels)))
        order = shuffled.to(self._labels.device)
        seconds = dict.fromkeys(PARTS, 0.0)
        self._inputs = self._augmented(epoch)
        for batch in self._gradient.batches(order, self.budget.batch_size):
            loss = self._step(batch, seconds)
            reporter.advanced(self.steps, loss)
        train, test = self._measure_now()
        collapsed = self._recover_from_collapse(train)
        line = {
            "epoch": epoch,
            "loss": train.loss,
            "test_loss": jsonable(test.loss),
            **self.task.line(train.measures, test.measures),
            **self.scales(self._now()),
            "lr": self._lr(),
            "steps": self.steps - before,
            "seconds": time.perf_counter() - start,
            **{f"{part}_seconds": spent for part, spent in seconds.items()},
        }
        return {**line, "collapsed": True} if collapsed else line

    def _augmented(self, epoch: int) -> torch.Tensor:
        """The epoch's images."""
        images, budget, seed = self._images, self.budget, self.config.seed
        images = shifted(images, budget.shift, seed, epoch) if budget.shift else images
        return mirrored(images, seed, epoch) if budget.mirror else images

    def _lr(self) -> float:
        share = self.steps / (self.rounds * self.units_per_round)
        return self.peak_lr * self.lr_factor * one_cycle(share, self.budget.warmup)

    def _step(self, batch: torch.Tensor, seconds: dict[str, float]) -> float:
        times = [time.perf_counter()]
        inputs, labels = self._inputs[batch], self._labels[batch]
        times.append(time.perf_counter())
        weights, pullback = self.source.forward(self._now(), self.steps)
        times.append(time.perf_counter())
        loss, cotangent = self._gradient(weights, inputs, labels, self.steps)
        times.append(time.perf_counter())
        if not (math.isfinite(loss) and np.isfinite(cotangent).all()):
            raise NonFiniteLossError(
                f"the loss is {loss} at step {self.steps + 1}; it and its gradient must be finite"
            )
        gradients = pullback(cotangent)
        times.append(time.perf_counter())
        for name, numbers in self._numbers.items():
            numbers.grad = torch.from_numpy(gradients[name])
        for group, step in zip(self._optimizer.param_groups, self._steps, strict=True):
            group["lr"] = self._lr() * step
        self._optimizer.step()
        self.steps += 1
        times.append(time.perf_counter())
        gather, forward, network, backward, update = np.diff(times)
        parts = (forward + backward, network, gather + update)
        for part, spent in zip(PARTS, parts, strict=True):
            seconds[part] += float(spent)
        return loss

    def _measure_now(self) -> tuple[Evaluation, Evaluation]:
        """Both sets with the weights as they are; keeps the best point."""
        parameters = {name: values.copy() for name, values in self._now().items()}
        weights, buffers = self.source.weights(parameters, self.steps), self._gradient.buffers()
        train, test = self._train(weights, buffers), self._test(weights, buffers)
        if not math.isfinite(train.loss):
            raise NonFiniteLossError(f"the loss is {train.loss} after step {self.steps}")
        if train.loss < self.best.loss:
            self.best = Point(parameters, self.steps, train.loss, buffers)
        return train, test

    def _recover_from_collapse(self, now: Evaluation) -> bool:
        """Go back to the best epoch if the run fell from it to chance; whether it did."""
        if self.task is not CLASSIFICATION:
            return False
        chance = math.log(int(self._labels.max()) + 1)
        fell = now.cross_entropy > 0.98 * chance and self.best.loss < 0.8 * chance
        if fell:
            with torch.no_grad():
                for name, numbers in self._numbers.items():
                    numbers.copy_(torch.from_numpy(self.best.parameters[name]))
            self._gradient.set_buffers(self.best.buffers)
            self._optimizer = self._new_optimizer()
            self.lr_factor *= AFTER_COLLAPSE
        return fell

    def _state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays = {f"now.{name}": values for name, values in self._now().items()}
        moments = {
            f"moment.{name}.{key}": moment.numpy()
            for name, numbers in self._numbers.items()
            for key, moment in self._optimizer.state[numbers].items()
        }
        state = {"steps": self.steps, "lr_factor": self.lr_factor, "moments": list(moments)}
        return {**arrays, **moments, **packed_buffers("now", self._gradient.buffers())}, state

    def _restore_state(self, arrays: dict[str, NDArray[Any]], state: dict[str, Any]) -> None:
        for name, numbers in self._numbers.items():
            values = arrays[f"now.{name}"]
            if values.shape != tuple(numbers.shape):
                raise ValueError(f"{name} have shape {values.shape}")
            numbers.copy_(torch.from_numpy(values.copy()))
        self._optimizer = self._new_optimizer()
        for name, numbers in self._numbers.items():
            moments = named({place: arrays[place] for place in state["moments"]}, f"moment.{name}.")
            for key, moment in moments.items():
                self._optimizer.state[numbers][key] = torch.from_numpy(moment.copy())
        self._gradient.set_buffers(unpacked_buffers("now", arrays))
        self.steps = int(state["steps"])
        self.lr_factor = float(state["lr_factor"])

    def result(self, folder: Any) -> dict[str, Any]:
        """What ``result.json`` holds, with a step's time split into its parts."""
        result = super().result(folder)
        per_step = {
            f"{part}_seconds_per_step": sum(line[f"{part}_seconds"] for line in self.history)
            / max(self.steps, 1)
            for part in PARTS
        }
        return {**result, "batch_size": self.budget.batch_size, "lr": self.peak_lr, **per_step}

    def close(self) -> None:
        """Stop the threads."""
        self._gradient.close()
        super().close()


def _gradients(config: TrainConfig) -> str:
    if config.backend is not None:
        return f"{config.gradient} gradients, measured by {config.backend}"
    return "exact gradients" if config.noise is None else f"gradients under noise ({config.noise})"


def _map_line(config: TrainConfig) -> str:
    if config.source in LEARNED:
        return f"learned map {config.source} of {config.map_inputs} inputs, scale {config.scale}"
    return (
        f"map {config.mapping}, scale {config.scale}, signs {config.signs}, "
        f"initial gamma {config.gamma:g}"
    )

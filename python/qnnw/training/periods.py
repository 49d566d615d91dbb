"""Training as in the paper: periods of COBYLA or SPSA on the angles, Nelder-Mead on gamma."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.seeds import derived_seed
from qnnw.optim.derivative_free import Cobyla as CobylaMethod
from qnnw.optim.derivative_free import NelderMead, Optimizer
from qnnw.training.optimizers import Cobyla, Spsa
from qnnw.training.trainer import Point, Reporter, Trainer, jsonable

# Derived seeds from here on turn COBYLA's coordinates, or draw SPSA's directions; those below draw
# shots.
ROTATIONS = 1 << 40

Vector = NDArray[np.float64]


class PeriodTrainer(Trainer):
    """Periods of at most N_phi evaluations on the angles, then N_gamma on gamma (eq. 10).

    Of any source, the groups of many numbers are moved together, in units of their steps, and then
    those of one number. Every evaluation is the loss over the whole training set. See
    :class:`qnnw.training.trainer.Trainer`.
    """

    def _set_up(self) -> None:
        config = self.config
        assert isinstance(config.optimizer, Spsa)
        self.budget = config.optimizer
        self.evaluations = 0
        self.few = [name for name in self.groups if name not in self.many]
        self.count = sum(len(self.groups[name].start) for name in self.many)

    @property
    def units_per_round(self) -> int:
        """Evaluations in a period, at most."""
        return self.budget.angle_evals + self.budget.gamma_evals

    def describe(self) -> list[str]:
        """The budget, and openly what a budget below COBYLA's simplex means."""
        budget = self.budget
        lines = [
            f"{budget.periods} periods of {budget.angle_evals} {budget.title} and "
            f"{budget.gamma_evals} "
            f"Nelder-Mead evaluations on {len(self.data.train_labels)} samples, "
            f"{self.threads} thread{'s' if self.threads != 1 else ''}, {self.config.device}",
        ]
        simplex = self.count + 2
        if isinstance(budget, Cobyla) and budget.angle_evals < simplex:
            lines.append(
                f"note: {budget.angle_evals} evaluations are fewer than the {simplex} that "
                "COBYLA needs for a first model; each period walks along one direction after "
                "another"
            )
        return lines

    def evaluate(self, parameters: Mapping[str, Vector]) -> float:
        """Loss on the training set, eq. 10, of freshly drawn weights; keeps the best point."""
        draw = self.evaluations
        self.evaluations += 1
        loss = self._train(self.source.weights(parameters, draw)).loss
        # A loss that is not finite is the optimiser's to refuse; no comparison lets it in here.
        if loss < self.best.loss:
            copies = {name: values.copy() for name, values in parameters.items()}
            self.best = Point(copies, draw, loss)
        return loss

    def angle_optimizer(self, period: int) -> Optimizer:
        """The optimiser of the many numbers in a period, counted from 1."""
        budget = self.budget
        share = (period - 1) / max(budget.periods - 1, 1)
        step = budget.rhobeg * budget.rhobeg_decay**share
        return budget.method(step, derived_seed(self.config.seed, ROTATIONS + period))

    def seconds_left(self) -> float:
        """From a few evaluations, and COBYLA's own time where that matters."""
        budget = self.budget
        left = budget.periods - len(self.history)
        start = time.perf_counter()
        for draw in range(3):
            self._train(self.source.weights(self.best.parameters, draw))
        seconds = left * self.units_per_round * (time.perf_counter() - start) / 3
        optimizer = self.angle_optimizer(1)
        if seconds > 60 and isinstance(optimizer, CobylaMethod) and self.count:
            # Only a long run is worth a second or two of timing the optimiser itself.
            past_simplex = max(0, budget.angle_evals - self.count)
            seconds += left * past_simplex * optimizer.overhead(self.count)
        return seconds

    def run_round(self, reporter: Reporter) -> dict[str, Any]:
        """One period: the angles, then gamma. Returns the line for the history."""
        start = time.perf_counter()
        before = self.evaluations
        period = len(self.history) + 1
        if self.many:
            optimizer = self.angle_optimizer(period)
            self._move(self.many, optimizer, self.budget.angle_evals, reporter)
        if self.few and self.budget.gamma_evals > 0:
            optimizer = NelderMead(step=self.budget.gamma_step)
            self._move(self.few, optimizer, self.budget.gamma_evals, reporter)
        train, test = self.measure()
        return {
            "period": period,
            "loss": self.best.loss,
            "test_loss": jsonable(test.loss),
            **self.task.line(train.measures, test.measures),
            **self.scales(self.best.parameters),
            "evaluations": self.evaluations - before,
            "seconds": time.perf_counter() - start,
        }

    def _move(
        self, names: list[str], optimizer: Optimizer, evaluations: int, reporter: Reporter
    ) -> None:
        """Minimise by these groups from the best point; what is found becomes the best point."""
        fixed = dict(self.best.parameters)
        steps = [self.groups[name].step for name in names]
        ends = np.cumsum([len(self.groups[name].start) for name in names])[:-1]

        def objective(point: Vector) -> float:
            parts = zip(names, np.split(point, ends), steps, strict=True)
            moved = {name: self.groups[name].settled(part * step) for name, part, step in parts}
            loss = self.evaluate({**fixed, **moved})
            reporter.advanced(self.evaluations, self.best.loss)
            return loss

        scaled = [fixed[name] / step for name, step in zip(names, steps, strict=True)]
        optimizer.minimize(objective, np.concatenate(scaled), evaluations)

    def _state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        return {}, {"evaluations": self.evaluations}

    def _restore_state(self, arrays: dict[str, NDArray[Any]], state: dict[str, Any]) -> None:  # noqa: ARG002
        self.evaluations = int(state["evaluations"])

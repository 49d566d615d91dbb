"""Training as in the paper: periods of COBYLA or SPSA on the angles, Nelder-Mead on gamma."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.extras import needs
from qnnw._common.seeds import derived_seed
from qnnw.data.datasets import Dataset
from qnnw.optim.derivative_free import Cobyla, FastCobyla, NelderMead, Optimizer, Spsa
from qnnw.training.config import TrainConfig
from qnnw.training.trainer import Point, Reporter, Trainer
from qnnw.weights.generator import SMALLEST_GAMMA

with needs("train", "qnnw.training.periods"):
    from torch import nn

__all__ = ["PeriodTrainer"]

# Derived seeds from here on turn COBYLA's coordinates, or draw SPSA's directions; those below draw
# shots.
ROTATIONS = 1 << 40
_NAMES = {"cobyla": "COBYLA", "cobyla-fast": "COBYLA (O(n^2) steps)", "spsa": "SPSA"}


class PeriodTrainer(Trainer):
    """Periods of at most N_phi evaluations on the angles, then N_gamma on gamma (eq. 10).

    Every evaluation is the loss over the whole training set. See
    :class:`qnnw.training.trainer.Trainer`.
    """

    round_name = "period"
    unit_name = "evaluations"

    def __init__(
        self,
        config: TrainConfig,
        data: Dataset | None = None,
        network: nn.Module | None = None,
    ) -> None:
        super().__init__(config, data, network)
        self.evaluations = 0
        self.gamma_optimizer = NelderMead(step=config.gamma_step)

    @property
    def rounds(self) -> int:
        """Periods of the whole run."""
        return self.config.periods

    @property
    def units_per_round(self) -> int:
        """Evaluations in a period, at most."""
        return self.config.angle_evals + self.config.gamma_evals

    def describe(self) -> list[str]:
        """The budget, and openly what a budget below COBYLA's simplex means."""
        config = self.config
        name = _NAMES[config.optimizer]
        lines = [
            f"{config.periods} periods of {config.angle_evals} {name} and {config.gamma_evals} "
            f"Nelder-Mead evaluations on {len(self.data.train_labels)} samples, "
            f"{self.threads} thread{'s' if self.threads != 1 else ''}, {config.device}",
        ]
        simplex = self.generator.num_angles + 2
        if config.optimizer != "spsa" and config.angle_evals < simplex:
            lines.append(
                f"note: {config.angle_evals} evaluations are fewer than the {simplex} that "
                "COBYLA needs for a first model; each period walks along one direction after "
                "another"
            )
        return lines

    def evaluate(self, angles: NDArray[np.float64], gamma: float) -> float:
        """Loss on the training set, eq. 10, of freshly drawn weights; keeps the best point."""
        draw = self.evaluations
        self.evaluations += 1
        loss = self._train(self.generator.weights(angles, gamma, draw)).loss
        # A loss that is not finite is the optimiser's to refuse; no comparison lets it in here.
        if loss < self.best.loss:
            self.best = Point(angles.copy(), gamma, draw, loss)
        return loss

    def seconds_per_evaluation(self) -> float:
        """Time of one evaluation now, measured on three; changes nothing."""
        start = time.perf_counter()
        for draw in range(3):
            # Weights of another draw or gamma each time: those of the last are remembered.
            gamma = self.best.gamma * (1 + draw * 1e-9)
            self._train(self.generator.weights(self.best.angles, gamma, draw))
        return (time.perf_counter() - start) / 3

    def angle_optimizer(self, period: int) -> Optimizer:
        """The optimiser of the angles in a period, counted from 1."""
        config = self.config
        share = (period - 1) / max(config.periods - 1, 1)
        step = config.rhobeg * config.rhobeg_decay**share
        seed = derived_seed(config.seed, ROTATIONS + period)
        if config.optimizer == "spsa":
            return Spsa(step=step, seed=seed)
        method = FastCobyla if config.optimizer == "cobyla-fast" else Cobyla
        return method(rhobeg=step, rotation=seed if config.rotate else None)

    def seconds_left(self) -> float:
        """From a few evaluations, and COBYLA's own time where that matters."""
        config = self.config
        left = config.periods - len(self.history)
        seconds = left * self.units_per_round * self.seconds_per_evaluation()
        optimizer = self.angle_optimizer(1)
        if seconds > 60 and isinstance(optimizer, Cobyla) and self.generator.num_angles:
            # Only a long run is worth a second or two of timing the optimiser itself.
            past_simplex = max(0, config.angle_evals - self.generator.num_angles)
            seconds += left * past_simplex * optimizer.overhead(self.generator.num_angles)
        return seconds

    def run_round(self, reporter: Reporter) -> dict[str, Any]:
        """One period: the angles, then gamma. Returns the line for the history."""
        start = time.perf_counter()
        before = self.evaluations
        period = len(self.history) + 1

        def angles_objective(angles: NDArray[np.float64]) -> float:
            loss = self.evaluate(angles, gamma)
            reporter.advanced(self.evaluations, self.best.loss)
            return loss

        def gamma_objective(scale: NDArray[np.float64]) -> float:
            # Nelder-Mead may step to gamma <= 0; the map is even in it.
            loss = self.evaluate(angles, max(abs(float(scale[0])), SMALLEST_GAMMA))
            reporter.advanced(self.evaluations, self.best.loss)
            return loss

        gamma = self.best.gamma
        if self.generator.num_angles > 0:
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
            **self.task.line(train.measures, test.measures),
            "gamma": self.best.gamma,
            "evaluations": self.evaluations - before,
            "seconds": time.perf_counter() - start,
        }

    def _state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        return {}, {"evaluations": self.evaluations}

    def _restore_state(self, arrays: dict[str, NDArray[Any]], state: dict[str, Any]) -> None:  # noqa: ARG002
        self.evaluations = int(state["evaluations"])

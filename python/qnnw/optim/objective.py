"""A function under an optimiser's eyes: counted, checked, its best point kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qnnw._common.errors import UserError

__all__ = ["BudgetSpentError", "NonFiniteLossError", "Objective", "Vector", "Watched"]

Vector = NDArray[np.float64]
Objective = Callable[[Vector], float]


class NonFiniteLossError(UserError, ArithmeticError):
    """The objective gave NaN or infinity."""


class BudgetSpentError(Exception):
    """The evaluations are used up; no public function lets it out."""


@dataclass
class Watched:
    """The objective, with ``left`` evaluations to go."""

    objective: Objective
    left: int
    best: Vector = field(default_factory=lambda: np.empty(0))
    value: float = math.inf
    evaluations: int = 0

    def __call__(self, point: Vector) -> float:
        """Evaluate.

        Raises
        ------
        BudgetSpentError
            None is left.
        NonFiniteLossError
            The value is NaN or infinite.
        """
        if self.left == 0:
            raise BudgetSpentError
        value = float(self.objective(point))
        self.left -= 1
        self.evaluations += 1
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"the objective is {value} at evaluation {self.evaluations}; it must be finite"
            )
        if value < self.value:
            self.best, self.value = point.copy(), value
        return value

    def check_start(self, start: Vector) -> None:
        """Raise a ``ValueError`` if nothing can be evaluated, or from nowhere."""
        if self.left < 1:
            raise ValueError(f"`max_evaluations` is {self.left}; it must be at least 1")
        if start.ndim != 1 or start.size == 0:
            raise ValueError(f"`start` has shape {start.shape}; one axis, not empty, is needed")


def check_positive(name: str, value: float) -> None:
    """Raise a ``ValueError`` that names the argument unless it is positive and finite."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"`{name}` is {value}; it must be positive and finite")

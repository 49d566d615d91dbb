"""A function under an optimiser's eyes: counted, checked, its best point kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw._common.checks import integer, kind_of
from qnnw._common.errors import UserError

Vector = NDArray[np.float64]
#: Takes float64 of shape (n,); gives a real number, or an array or a tensor that holds one.
Objective = Callable[[Vector], Any]


class NonFiniteLossError(UserError, ArithmeticError):
    """The objective gave NaN or infinity."""


class BudgetSpentError(Exception):
    """The evaluations are used up; no public function lets it out."""


@dataclass
class Watched:
    """The objective, with ``left`` evaluations to go.

    Raises
    ------
    TypeError, ValueError
        ``left``, which is the caller's ``max_evaluations``, is no integer, or below 1.
    """

    objective: Objective
    left: int
    best: Vector = field(default_factory=lambda: np.empty(0))
    value: float = math.inf
    evaluations: int = 0

    def __post_init__(self) -> None:
        self.left = integer("max_evaluations", self.left, least=1)

    def __call__(self, point: Vector) -> float:
        """Evaluate; the objective gets a copy, which it may write to.

        Raises
        ------
        BudgetSpentError
            None is left.
        TypeError
            The value is no real number.
        NonFiniteLossError
            The value is NaN or infinite.
        """
        if self.left == 0:
            raise BudgetSpentError
        value = _value(self.objective(point.copy()))
        self.left -= 1
        self.evaluations += 1
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"the objective is {value} at evaluation {self.evaluations}; it must be finite"
            )
        if value < self.value:
            self.best, self.value = point.copy(), value
        return value


def as_start(name: str, start: ArrayLike) -> Vector:
    """A start as float64 of its own, shape (n,).

    Raises
    ------
    TypeError
        It does not hold real numbers, or has masked entries.
    ValueError
        It has not one axis, is empty, or has NaN or infinity.
    """
    try:
        given = np.asanyarray(start)
    # Whatever an object raises that NumPy cannot read: a tensor that requires grad, a ragged list.
    except Exception as error:
        remedy = "; take its `.detach()`" if getattr(start, "requires_grad", False) else ""
        raise TypeError(
            f"`{name}` is {kind_of(start)}; an array of real numbers is needed{remedy}"
        ) from error
    if np.ma.is_masked(given):
        raise TypeError(f"`{name}` has masked entries; an array of real numbers is needed")
    if given.dtype.kind not in "iuf" and given.size > 0:
        raise TypeError(f"`{name}` has dtype {given.dtype}; an array of real numbers is needed")
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"`{name}` has shape {given.shape}; one axis, not empty, is needed")
    vector = np.array(given, dtype=np.float64, subok=False)
    if not np.isfinite(vector).all():
        raise ValueError(f"`{name}` has NaN or infinity; every entry must be finite")
    return vector


def _value(value: Any) -> float:
    """The real number that an objective gave, out of an array or a tensor of one entry too."""
    number = value
    if math.prod(getattr(value, "shape", (0,))) == 1 and not isinstance(value, np.ma.MaskedArray):
        number = value.item()
    if isinstance(number, bool | np.timedelta64) or not isinstance(number, Real):
        raise TypeError(f"`objective` gave {kind_of(value)}; it must give a real number")
    try:
        return float(number)
    except OverflowError:
        return math.inf

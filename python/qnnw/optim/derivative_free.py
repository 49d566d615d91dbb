"""Optimisers that need values only, behind one small protocol: COBYLA, SPSA and Nelder-Mead."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy.fft import dct
from scipy.optimize import minimize

from qnnw._common.checks import real
from qnnw._common.seeds import seed_to_int
from qnnw.optim.cobyla import minimize_cobyla
from qnnw.optim.objective import (
    BudgetSpentError,
    Objective,
    Vector,
    Watched,
    as_start,
)
from qnnw.optim.objective import NonFiniteLossError as NonFiniteLossError

# Up to SciPy 1.15 COBYLA is Fortran, which complains on stderr when an exception goes through it.
_FORTRAN = tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 16)


@dataclass(frozen=True)
class Outcome:
    """The best point that was evaluated, its value, and the number of evaluations."""

    point: Vector
    value: float
    evaluations: int


class Optimizer(Protocol):
    """Minimises a function within a number of evaluations."""

    def minimize(self, objective: Objective, start: ArrayLike, max_evaluations: int) -> Outcome:
        """Minimise ``objective`` from ``start``.

        Parameters
        ----------
        objective
            Takes float64 of shape (n,), gives a finite number, or an array or a tensor that holds
            one.
        start
            Real numbers, shape (n,); finite.
        max_evaluations
            At most this many calls, at least 1.

        Returns
        -------
        Outcome
            The best point seen, wherever the method ended.

        Raises
        ------
        TypeError, ValueError
            An argument, or what the objective gave, is of the wrong kind, shape or value.
        NonFiniteLossError
            The objective gave NaN or infinity.
        """
        ...


@dataclass(frozen=True)
class Cobyla:
    """SciPy's COBYLA (linear models in a trust region), unconstrained.

    Its first n + 1 evaluations build a simplex: ``start``, then one coordinate after another moved
    by ``rhobeg`` from the best point so far. With fewer evaluations than that the method is just
    this walk along the coordinates: it is stopped when they are spent, and the best point counts.

    Parameters
    ----------
    rhobeg
        Size of the first steps, in the units of the point (radians for angles).
    tol
        Size of the last steps; at most ``rhobeg``, whatever it says.
    rotation
        Seed of a random orthogonal turn of the coordinates; ``None`` leaves them. SciPy's first
        simplex always tries the same directions, one coordinate after another: a method that is
        started again and again from its best point never tries others, unless it is turned.
    """

    rhobeg: float = 1.0
    tol: float = 1e-4
    rotation: int | None = None

    def __post_init__(self) -> None:
        _positive(self, "rhobeg", "tol")
        if self.rotation is not None:
            object.__setattr__(self, "rotation", seed_to_int(self.rotation, "rotation"))

    def minimize(self, objective: Objective, start: ArrayLike, max_evaluations: int) -> Outcome:
        """See :meth:`Optimizer.minimize`."""
        watched, start = Watched(objective, max_evaluations), as_start("start", start)
        # SciPy takes no maxiter below n + 2; the budget stops it at the number that was asked for.
        options = {"rhobeg": self.rhobeg, "maxiter": max(watched.left, len(start) + 2)}
        place, origin = _turned(start, self.rotation)
        # A last step above the first one is the first one, as in FastCobyla.
        tol = min(self.tol, self.rhobeg)
        return _run("COBYLA", watched, origin, place, tol=tol, options=options)

    def overhead(self, size: int) -> float:
        """Seconds that the method itself takes per evaluation at ``size`` variables, measured."""
        started: list[float] = []

        def bowl(point: Vector) -> float:
            started.append(time.perf_counter())
            return float(point @ point)

        # Past the simplex every evaluation solves a linear model, which is what costs.
        self.minimize(bowl, np.ones(size), size + 10)
        steps = np.diff(started[size + 1 :])
        return float(np.median(steps)) if len(steps) else 0.0


@dataclass(frozen=True)
class FastCobyla(Cobyla):
    """The same method in :func:`minimize_cobyla`: O(n^2) steps per evaluation, not O(n^3).

    Its first evaluations are those of :class:`Cobyla`; later ones take other turns.
    """

    def minimize(self, objective: Objective, start: ArrayLike, max_evaluations: int) -> Outcome:
        """See :meth:`Optimizer.minimize`."""
        watched, start = Watched(objective, max_evaluations), as_start("start", start)
        place, origin = _turned(start, self.rotation)
        minimize_cobyla(
            lambda point: watched(place(point)),
            origin,
            max_evaluations=watched.left,
            rhobeg=self.rhobeg,
            tol=self.tol,
        )
        return Outcome(watched.best, watched.value, watched.evaluations)


@dataclass(frozen=True)
class Spsa:
    """Simultaneous perturbation stochastic approximation (Spall 1992), for noisy objectives.

    Iteration k = 0, 1, … evaluates f at x + c_k d and x - c_k d, d a random vector of signs, and
    moves by -a_k (f_plus - f_minus) / (2 c_k) d, with a_k = a / (k + 1 + A)^0.602 and
    c_k = c / (k + 1)^0.101 (Spall 1998, who names these exponents); A is a tenth of the number of
    iterations. The first evaluations, at most a tenth and 10, measure the mean size of the
    differences, from which a is set so that a step of that size has the length ``step`` at first;
    no step is longer. The last evaluation is spent on the point that was reached.

    Parameters
    ----------
    step
        Length of the first step, in the units of the point (radians for angles).
    perturbation
        Length of the first perturbation c d, relative to ``step``.
    seed
        Seed of the directions.
    """

    step: float = 1.0
    perturbation: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        _positive(self, "step", "perturbation")
        object.__setattr__(self, "seed", seed_to_int(self.seed))

    def minimize(self, objective: Objective, start: ArrayLike, max_evaluations: int) -> Outcome:
        """See :meth:`Optimizer.minimize`."""
        watched, start = Watched(objective, max_evaluations), as_start("start", start)
        rng = np.random.default_rng(self.seed)
        size = len(start)
        width = self.perturbation * self.step / math.sqrt(size)

        def slope(point: Vector, width: float) -> tuple[float, Vector]:
            signs = rng.choice([-1.0, 1.0], size=size)
            difference = watched(point + width * signs) - watched(point - width * signs)
            return difference / (2 * width), signs

        budget = watched.left
        pairs = budget // 2
        calibration = min(5, pairs // 10 + 1) if pairs > 1 else 0
        sizes = [abs(slope(start, width)[0]) for _ in range(calibration)]
        iterations = max(0, (budget - 1) // 2 - calibration)
        stability = 0.1 * iterations
        typical = float(np.mean(sizes)) if sizes else 0.0
        # On a plateau there is no slope to scale by; the point stays.
        gain = self.step / (typical * math.sqrt(size)) if typical > 0 else 0.0
        point = start.copy()
        for k in range(iterations):
            along, signs = slope(point, width / (k + 1) ** 0.101)
            share = ((1 + stability) / (k + 1 + stability)) ** 0.602
            longest = self.step / math.sqrt(size)
            point = point - share * min(max(gain * along, -longest), longest) * signs
        if watched.left > 0:
            watched(point)
        return Outcome(watched.best, watched.value, watched.evaluations)


@dataclass(frozen=True)
class NelderMead:
    """SciPy's Nelder-Mead simplex method.

    Parameters
    ----------
    step
        Edge of the first simplex relative to each coordinate (absolute where that is 0).
    """

    step: float = 0.05

    def __post_init__(self) -> None:
        _positive(self, "step")

    def minimize(self, objective: Objective, start: ArrayLike, max_evaluations: int) -> Outcome:
        """See :meth:`Optimizer.minimize`."""
        watched, start = Watched(objective, max_evaluations), as_start("start", start)
        simplex = np.tile(start, (len(start) + 1, 1))
        edges = np.where(start == 0.0, self.step, self.step * start)
        simplex[1:] += np.diag(edges)
        options = {"maxfev": watched.left + 1, "initial_simplex": simplex}
        return _run("Nelder-Mead", watched, start, lambda point: point, options=options)


def _turned(start: Vector, seed: int | None) -> tuple[Callable[[Vector], Vector], Vector]:
    """Coordinates around ``start`` that are turned at random, and where it lies in them.

    The turn is orthogonal: permute, flip signs, cosine transform, flip signs. It takes O(n log n)
    steps and no BLAS, whose last bits would depend on its threads.
    """
    if seed is None:
        return (lambda point: point), start
    size = len(start)
    rng = np.random.default_rng(seed)
    order = rng.permutation(size)
    before, after = rng.choice([-1.0, 1.0], size=(2, size))

    def place(point: Vector) -> Vector:
        moved: Vector = start + after * dct(before * point[order], norm="ortho")
        return moved

    return place, np.zeros_like(start)


def _run(
    method: str,
    watched: Watched,
    start: Vector,
    place: Callable[[Vector], Vector],
    **arguments: Any,
) -> Outcome:
    """Run SciPy's method until it ends or the budget does; ``place`` maps its points to ours."""
    stop: list[BaseException] = []

    def value(point: Vector) -> float:
        if stop:
            return math.nan
        try:
            return watched(place(point))
        except BaseException as error:
            if method != "COBYLA" or not _FORTRAN:
                raise
            # NaN ends the Fortran, after the rest of its first simplex at most.
            stop.append(error)
            return math.nan

    with contextlib.suppress(BudgetSpentError):
        minimize(value, start, method=method, **arguments)
        if stop:
            raise stop[0]
    return Outcome(watched.best, watched.value, watched.evaluations)


def _positive(settings: Any, *names: str) -> None:
    """Make these fields Python's floats; an error names one that is not positive and finite."""
    for name in names:
        object.__setattr__(settings, name, real(name, getattr(settings, name), above=0))

"""Linear interpolation in a trust region, unconstrained, with O(n^2) work per evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from qnnw._common.checks import real
from qnnw.optim.objective import BudgetSpentError, Objective, Vector, Watched, as_start

# A vertex is well placed if it is at most FAR radii from the best one and at least NEAR radii from
# the face of the others (Powell 1994).
NEAR, FAR = 0.25, 2.1
# Length of a step that mends the simplex, relative to the radius.
MENDING = 0.5
# From this many radii on, distance counts for giving a vertex up.
DISTANT = 0.2
# Ratios of actual to predicted reduction at which the radius halves, stays, or doubles.
POOR, GOOD = 0.1, 0.7

_MESSAGES = {
    0: "the trust region is as small as `tol`",
    3: "`max_evaluations` are spent",
}


def minimize_cobyla(
    f: Objective,
    x0: ArrayLike,
    *,
    max_evaluations: int = 1000,
    rhobeg: float = 1.0,
    tol: float = 1e-4,
    callback: Callable[[Vector], None] | None = None,
) -> OptimizeResult:
    """Minimise a function of n variables by linear models, as COBYLA does without constraints.

    The model interpolates f at n + 1 vertices, the best of which is x: it predicts
    f(x + d) = f(x) + g . d with g from (v_i - x) . g = f(v_i) - f(x). A step goes to
    x - radius * g / abs(g), and replaces a vertex; where a step fails and a vertex is badly placed,
    that one is moved; where all are well placed, the radius shrinks, down to ``tol``. The method is
    Powell's (1994), with the radii and the choice of the vertex to replace as in PRIMA (Zhang
    2023), which SciPy's COBYLA is too. The inverse of the simplex is kept through its changes, in
    O(n^2) steps each, where SciPy takes O(n^3). Nothing here uses BLAS: results do not depend on
    the number of threads.

    Parameters
    ----------
    f
        Takes float64 of shape (n,), gives a finite number, or an array or a tensor that holds one.
    x0
        Where to start: real numbers, shape (n,); finite.
    max_evaluations
        At most this many calls, at least 1. The first n + 1 walk along the coordinates.
    rhobeg
        First radius, and the length of those first steps.
    tol
        Last radius.
    callback
        Called with the best point after each step.

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``x``, ``fun``, ``nfev``, ``success``, ``status`` (0: the radius reached ``tol``; 3: the
        evaluations are spent) and ``message``, as SciPy's COBYLA has them.

    Raises
    ------
    TypeError, ValueError
        An argument, or what f gave, is of the wrong kind or out of range.
    qnnw.optim.derivative_free.NonFiniteLossError
        f gave NaN or infinity.
    """
    start = as_start("x0", x0)
    rhobeg, tol = real("rhobeg", rhobeg, above=0), real("tol", tol, above=0)
    watched = Watched(f, max_evaluations)
    try:
        _Search(watched, start, rhobeg, min(tol, rhobeg), callback).run()
        status = 0
    except BudgetSpentError:
        status = 3
    return OptimizeResult(
        x=watched.best,
        fun=watched.value,
        nfev=watched.evaluations,
        success=status == 0,
        status=status,
        message=_MESSAGES[status],
    )


class _Simplex:
    """n + 1 vertices and values; one is the pole, from which the others are measured.

    Row i of ``points`` is a vertex p_i, relative to the start. With v_i = p_i - pole, row i of
    ``dual`` is t_i with v_i . t_k = 1 if i = k else 0: the inverse of the matrix of the v_i.
    Then g = sum_i (f_i - f_pole) t_i, and 1 / |t_i| is p_i's distance to the others' face.
    """

    def __init__(self, watched: Watched, start: Vector, size: float) -> None:
        count = len(start)
        self.start = start
        self.pole = np.zeros(count)
        self.pole_value = watched(start)
        self.points = np.zeros((count, count))
        self.values = np.zeros(count)
        self.dual = np.zeros((count, count))
        self._from_pole = np.empty((count, count))
        self._turn = 0
        for i in range(count):
            trial = self.pole.copy()
            trial[i] += size
            value = watched(start + trial)
            self.points[i], self.values[i] = trial, value
            self.dual[i, i] = 1.0 / size
            if value < self.pole_value:
                self._make_pole(i, slice(i + 1))
        self._measure()

    def gradient(self) -> Vector:
        """Slope of the linear model."""
        return _combination(self.values - self.pole_value, self.dual)

    def coordinates(self, step: Vector) -> Vector:
        """How much of each v_i the step is."""
        return _products(self.dual, step)

    def replace(self, i: int, step: Vector, value: float, along: Vector) -> None:
        """Vertex i gives way to pole + step; ``along`` are the step's coordinates."""
        self.points[i] = self.pole + step
        self.values[i] = value
        fresh = self.dual[i] / along[i]
        self.dual -= along[:, None] * fresh
        self.dual[i] = fresh
        if value < self.pole_value:
            self._make_pole(i, slice(None))
        self._measure()

    def _make_pole(self, i: int, rows: slice) -> None:
        """Exchange vertex i, the new best one, and the pole, among the vertices there are."""
        point, value = self.points[i].copy(), self.values[i]
        self.points[i], self.values[i] = self.pole, self.pole_value
        self.pole, self.pole_value = point, value
        self.dual[i] = -self.dual[rows].sum(axis=0)

    def _measure(self) -> None:
        """Distances of every vertex, after one more row of the inverse is polished."""
        np.subtract(self.points, self.pole, out=self._from_pole)
        # A step of Newton's iteration for the inverse, one row after another: the rounding of n
        # rank-one changes is swept out before it can grow.
        i = self._turn
        residual = -_products(self._from_pole, self.dual[i])
        residual[i] += 1.0
        self.dual[i] += _combination(residual, self.dual)
        self._turn = (i + 1) % len(self.pole)
        self.distances = np.sqrt(_squares(self._from_pole))
        self.heights = 1.0 / np.sqrt(_squares(self.dual))


class _Search:
    """Steps, mending and radii; ``radius`` is the step's, ``resolution`` its present lower end."""

    def __init__(
        self,
        watched: Watched,
        start: Vector,
        rhobeg: float,
        tol: float,
        callback: Callable[[Vector], None] | None,
    ) -> None:
        self.watched, self.tol, self.callback = watched, tol, callback
        self.radius = self.resolution = rhobeg
        self.simplex = _Simplex(watched, start, rhobeg)

    def run(self) -> None:
        """Until the resolution is ``tol`` and nothing is left to be found at it."""
        while True:
            well_placed = self._well_placed()
            ratio = self._step()
            if ratio <= POOR and not well_placed:
                self._mend()
            elif ratio <= 0.0 and well_placed and self.radius <= self.resolution:
                if self.resolution <= self.tol:
                    return
                self._refine()

    def _well_placed(self) -> bool:
        simplex = self.simplex
        far = simplex.distances.max() > FAR * self.radius
        return not far and bool(simplex.heights.min() >= NEAR * self.radius)

    def _step(self) -> float:
        """One step down the model's slope: actual over predicted reduction, 0 if it was no use."""
        simplex = self.simplex
        slope = simplex.gradient()
        steepness = float(np.sqrt(np.square(slope).sum()))
        if steepness == 0.0 or not np.isfinite(steepness):
            self._shrink()
            return 0.0
        length = self.radius
        step = -(length / steepness) * slope
        before = simplex.pole_value
        value = self._evaluate(step)
        ratio = (before - value) / (length * steepness)
        if ratio <= POOR:
            self._shrink()
        elif ratio > GOOD:
            self.radius = 2.0 * length
        along = simplex.coordinates(step)
        outgoing = self._outgoing(step, value < before, along)
        if outgoing is not None:
            simplex.replace(outgoing, step, value, along)
        self._tell()
        return ratio if outgoing is not None else 0.0

    def _shrink(self) -> None:
        self.radius *= 0.5
        if self.radius <= 1.5 * self.resolution:
            self.radius = self.resolution

    def _outgoing(self, step: Vector, better: bool, along: Vector) -> int | None:
        """The vertex to give up: far from where the best one will be, and close to the step."""
        simplex = self.simplex
        distances = simplex.distances
        if better:
            distances = np.sqrt(_squares(simplex.points - (simplex.pole + step)))
        weights = np.maximum(1.0, (distances / (DISTANT * self.radius)) ** 2)
        scores = weights * np.abs(along)
        best = int(np.argmax(scores))
        # A step that found nothing better takes a vertex's place only where the simplex gains.
        return best if scores[best] > (0.0 if better else 1.0) else None

    def _mend(self) -> None:
        """Put the worst placed vertex above the middle of the others' face."""
        simplex = self.simplex
        i = int(np.argmax(simplex.distances))
        if simplex.distances[i] <= FAR * self.radius:
            i = int(np.argmin(simplex.heights))
        direction = simplex.dual[i] * simplex.heights[i]
        step = MENDING * self.radius * direction
        if float((simplex.gradient() * step).sum()) > 0.0:
            step = -step
        value = self._evaluate(step)
        simplex.replace(i, step, value, simplex.coordinates(step))
        self._tell()

    def _refine(self) -> None:
        """A lower resolution: by tens at first, at the end straight to ``tol``."""
        before = self.resolution
        left = before / self.tol
        if left <= 16.0:
            self.resolution = self.tol
        elif left <= 250.0:
            self.resolution = float(np.sqrt(left)) * self.tol
        else:
            self.resolution = 0.1 * before
        self.radius = max(0.5 * before, self.resolution)

    def _evaluate(self, step: Vector) -> float:
        simplex = self.simplex
        return self.watched(simplex.start + (simplex.pole + step))

    def _tell(self) -> None:
        if self.callback is not None:
            self.callback(self.watched.best.copy())


# Without BLAS: rows times a vector; and the sum of rows, each with its factor.
_products: Callable[[Vector, Vector], Vector] = partial(np.einsum, "ij,j->i")
_combination: Callable[[Vector, Vector], Vector] = partial(np.einsum, "i,ij->j")


def _squares(matrix: NDArray[np.float64]) -> Vector:
    """Every row's square, without BLAS."""
    result: Vector = np.einsum("ij,ij->i", matrix, matrix)
    return result

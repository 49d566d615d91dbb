"""Forward and second derivatives of a circuit's weights: exact, at two evolutions an angle.

With p the probabilities, c the map's argument (:func:`map_argument`), u = s gamma c and theta =
scale gamma tanh u:

    d theta = scale (gamma^2 s sech^2 u dc + (tanh u + u sech^2 u) d gamma)

c is affine in p, but for the square root's: dc = f'(p) dp, and f'' has a part in the second
derivatives. Of a probability below the rounding of amplitudes, whose root has a direction of noise
alone, both count as 0.

Derivatives of p, and of its gradients, along an angle are differences at +pi/2 and -pi/2 (the
parameter-shift rule), which are exact: p has one frequency in the angle of every rotation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw._core import walsh_hadamard
from qnnw.circuit import Ansatz, Circuit
from qnnw.circuit.derivatives import shifted
from qnnw.weights.mapping import WeightMap

Vector = NDArray[np.float64]
#: A circuit at its angles, with map and gamma; and how angles and gamma change.
Chain = tuple[Ansatz, WeightMap, Vector, float | Vector]
Along = tuple[Vector, float | Vector]
# Mean and standard deviation of the root of an exponential variable of mean 1.
ROOT_MEAN, ROOT_SPREAD = math.sqrt(math.pi) / 2, math.sqrt(1 - math.pi / 4)
# Probabilities below it are those of amplitudes that are rounding alone.
ROUNDING = 1e-30


def map_argument(probabilities: Vector, weight_map: WeightMap) -> Vector:
    """X of :class:`qnnw.WeightMap`: what the map multiplies by s * gamma."""
    if weight_map.mapping == "sqrt":
        root = np.sqrt(len(probabilities) * probabilities)
        return _gathered((root - ROOT_MEAN) / ROOT_SPREAD, weight_map)
    if weight_map.mapping == "hadamard":
        return _linear(probabilities - 1 / len(probabilities), weight_map)
    argument = _linear(probabilities, weight_map)
    return argument - 1 if weight_map.mapping == "centered" else argument


def push_weights(
    ansatz: Ansatz, weight_map: WeightMap, angles: Vector, gamma: float | Vector,
    along: Vector, by_gamma: float | Vector,
) -> Vector:  # fmt: skip
    """Derivative of t(angles, gamma) along (along, by_gamma), shape (M,)."""
    argument, slope, (by_probability, _) = _at(ansatz, weight_map, angles, gamma)
    moved = _linear(by_probability * push_probabilities(ansatz, angles, along), weight_map)
    pushed: Vector = gamma**2 * weight_map.signs * slope * moved
    return pushed + (np.tanh(argument) + argument * slope) * by_gamma


def turn_gradient(
    ansatz: Ansatz, weight_map: WeightMap, angles: Vector, gamma: float | Vector,
    cotangent: Vector, along: Vector, by_gamma: float | Vector,
) -> tuple[Vector, float | Vector]:  # fmt: skip
    """Derivative of the gradient of sum(cotangent * t) along (along, by_gamma): a Hessian times it.

    Returns
    -------
    ndarray of float64, shape of ``angles``, and float or ndarray of shape (M,)
        The change of the gradient by the angles, and of that by gamma, or by every weight's.
    """
    argument, slope, (by_probability, bend) = _at(ansatz, weight_map, angles, gamma)
    signs, tangent = weight_map.signs, np.tanh(argument)
    change_of_p = push_probabilities(ansatz, angles, along)
    moved = _linear(by_probability * change_of_p, weight_map)
    turned = signs * gamma * moved + argument / gamma * by_gamma  # du
    in_gamma = 2 * cotangent * turned * slope * (1 - argument * tangent)
    by_argument = cotangent * signs * gamma**2 * slope
    change = 2 * cotangent * signs * gamma * slope * (by_gamma - gamma * tangent * turned)
    cotangents = _adjoint(by_argument, weight_map)
    turned_cotangents = by_probability * _adjoint(change, weight_map) + (
        bend * change_of_p * cotangents
    )
    back = np.asarray(ansatz.probabilities_vjp(angles, turned_cotangents))
    by_angles = back + turn_probabilities(ansatz, angles, by_probability * cotangents, along)
    return by_angles, float(in_gamma.sum()) if np.ndim(gamma) == 0 else in_gamma


def push_probabilities(ansatz: Ansatz, angles: Vector, along: Vector) -> Vector:
    """Derivative of the probabilities along ``along``, shape (2^N,)."""
    if isinstance(ansatz, Circuit):
        # Every rotation has the one frequency; a parameter may be in several, times any number.
        rotations = ansatz.rotations
        angles, along = rotations.angles(angles), rotations.turns(along)
        return push_probabilities(rotations, angles, along)  # type: ignore[arg-type]
    return _shifted(ansatz, ansatz.probabilities, angles, along, 2**ansatz.num_qubits)


def turn_probabilities(ansatz: Ansatz, angles: Vector, cotangent: Vector, along: Vector) -> Vector:
    """Derivative of ``probabilities_vjp(angles, cotangent)`` along ``along``."""
    if isinstance(ansatz, Circuit):
        rotations = ansatz.rotations
        angles, along = rotations.angles(angles), rotations.turns(along)
        turned = turn_probabilities(rotations, angles, cotangent, along)  # type: ignore[arg-type]
        return rotations.brought_back(turned)

    def gradients(sets: Vector) -> Vector:
        repeated = np.broadcast_to(cotangent, (len(sets), len(cotangent)))
        return np.asarray(ansatz.probabilities_vjp(sets, np.ascontiguousarray(repeated)))

    return _shifted(ansatz, gradients, angles, along, len(angles))


def _at(
    ansatz: Ansatz, weight_map: WeightMap, angles: Vector, gamma: float | Vector
) -> tuple[Vector, Vector, tuple[Vector | float, Vector | float]]:
    """u, sech^2 u, and the first and second derivative of what :func:`_linear` takes, by p."""
    probabilities = np.asarray(ansatz.probabilities(angles), np.float64)
    argument = weight_map.signs * gamma * map_argument(probabilities, weight_map)
    slope = 1 - np.tanh(argument) ** 2
    if weight_map.mapping != "sqrt":
        return argument, slope, (1.0, 0.0)
    size = len(probabilities)
    seen = probabilities >= ROUNDING
    scaled = np.where(seen, size * probabilities, 1.0)
    first = np.where(seen, size / (2 * ROOT_SPREAD * np.sqrt(scaled)), 0.0)
    return argument, slope, (first, np.where(seen, -first * size / (2 * scaled), 0.0))


def _gathered(values: Vector, weight_map: WeightMap) -> Vector:
    """One basis' number, or what two share."""
    alone = weight_map.first == weight_map.second
    shared = values[weight_map.first] + values[weight_map.second]
    return shared * np.where(alone, 0.5, math.sqrt(0.5))


def _linear(values: Vector, weight_map: WeightMap) -> Vector:
    """The linear part of the map's argument: of p, or of the root's change."""
    size = len(values)
    if weight_map.mapping == "sqrt":
        return _gathered(values, weight_map)
    if weight_map.basis_signs is not None:
        changed = _transformed(weight_map.basis_signs * values)
        return math.sqrt(size) * _gathered(changed, weight_map)
    mean: Vector = (values[weight_map.first] + values[weight_map.second]) / 2
    return (size if weight_map.mapping == "centered" else size / 2) * mean


def _adjoint(by_argument: Vector, weight_map: WeightMap) -> Vector:
    """The way back through :func:`_linear`."""
    size = 2**weight_map.num_qubits
    share = np.full(len(by_argument), 0.5)
    if weight_map.mapping in ("sqrt", "hadamard"):
        share[weight_map.first != weight_map.second] = math.sqrt(0.5)
    found = np.zeros(size)
    np.add.at(found, weight_map.first, share * by_argument)
    np.add.at(found, weight_map.second, share * by_argument)
    if weight_map.basis_signs is not None:
        return math.sqrt(size) * weight_map.basis_signs * _transformed(found)
    factors = {"paper": size / 2, "centered": float(size), "sqrt": 1.0}
    found *= factors[weight_map.mapping]
    return found


def _transformed(values: Vector) -> Vector:
    """H values; of two bases, for which the map has no transform, sqrt(2) values."""
    return walsh_hadamard(values) if len(values) > 2 else math.sqrt(2) * values


def _shifted(
    ansatz: Any, function: Callable[[Vector], Any], angles: Vector, along: ArrayLike, size: int
) -> Vector:
    """Sum over the angles of along_k (f(+pi/2 at k) - f(-pi/2 at k)) / 2, shape (size,)."""
    weights, live = np.asarray(along, dtype=np.float64), ansatz.live_angles
    total = np.zeros(size)
    # One after another: a product of matrices would depend on BLAS's threads.
    for place, change in shifted(function, angles, live[weights[live] != 0]):
        total += weights[place] / 2 * change
    return total

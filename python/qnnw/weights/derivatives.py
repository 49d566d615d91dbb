"""Forward and second derivatives of a circuit's weights: exact, at two evolutions an angle.

With p the probabilities, c the map's argument (:func:`map_argument`, affine in p), u = s gamma c
and theta = scale gamma tanh u:

    d theta = scale (gamma^2 s sech^2 u dc + (tanh u + u sech^2 u) d gamma)

Derivatives of p, and of its gradients, along an angle are differences at +pi/2 and -pi/2 (the
parameter-shift rule), which are exact: p has one frequency in every angle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw.circuit.ansatz import EfficientSU2
from qnnw.circuit.derivatives import reduced
from qnnw.weights.mapping import WeightMap

__all__ = ["map_argument", "push_weights", "turn_gradient"]

Vector = NDArray[np.float64]
# Shifted sets of angles that are evolved together.
BATCH = 32


def map_argument(probabilities: Vector, weight_map: WeightMap) -> Vector:
    """What the map multiplies by s * gamma: 2^(N-1) q, or 2^N q - 1 for the centred one."""
    argument = _linear(probabilities, weight_map)
    return argument - 1 if weight_map.mapping == "centered" else argument


def push_weights(
    ansatz: EfficientSU2, weight_map: WeightMap, angles: Vector, gamma: float, along: Vector,
    by_gamma: float,
) -> Vector:  # fmt: skip
    """Derivative of t(angles, gamma) along (along, by_gamma), shape (M,)."""
    argument, slope = _at(ansatz, weight_map, angles, gamma)
    moved = _linear(_pushed(ansatz, angles, along), weight_map)
    pushed: Vector = gamma**2 * weight_map.signs * slope * moved
    return pushed + (np.tanh(argument) + argument * slope) * by_gamma


def turn_gradient(
    ansatz: EfficientSU2, weight_map: WeightMap, angles: Vector, gamma: float, cotangent: Vector,
    along: Vector, by_gamma: float,
) -> tuple[Vector, float]:  # fmt: skip
    """Derivative of the gradient of sum(cotangent * t) along (along, by_gamma): a Hessian times it.

    Returns
    -------
    ndarray of float64, shape of ``angles``, and float
        The change of the gradient by the angles, and of that by gamma.
    """
    argument, slope = _at(ansatz, weight_map, angles, gamma)
    signs, tangent = weight_map.signs, np.tanh(argument)
    moved = _linear(_pushed(ansatz, angles, along), weight_map)
    turned = signs * gamma * moved + argument / gamma * by_gamma  # du
    in_gamma = 2 * cotangent * turned * slope * (1 - argument * tangent)
    by_argument = cotangent * signs * gamma**2 * slope
    change = 2 * cotangent * signs * gamma * slope * (by_gamma - gamma * tangent * turned)
    back = np.asarray(ansatz.probabilities_vjp(angles, _adjoint(change, weight_map)))
    cotangents = _adjoint(by_argument, weight_map)

    def gradients(sets: Vector) -> Vector:
        repeated = np.broadcast_to(cotangents, (len(sets), len(cotangents)))
        return np.asarray(ansatz.probabilities_vjp(sets, np.ascontiguousarray(repeated)))

    by_angles: Vector = back + _shifted(ansatz, gradients, angles, along, len(angles))
    return by_angles, float(in_gamma.sum())


def _at(
    ansatz: EfficientSU2, weight_map: WeightMap, angles: Vector, gamma: float
) -> tuple[Vector, Vector]:
    """u, and sech^2 u."""
    probabilities = np.asarray(ansatz.probabilities(angles))
    argument = weight_map.signs * gamma * map_argument(probabilities, weight_map)
    return argument, 1 - np.tanh(argument) ** 2


def _factor(weight_map: WeightMap) -> float:
    size = float(2**weight_map.num_qubits)
    return size if weight_map.mapping == "centered" else size / 2


def _linear(probabilities: Vector, weight_map: WeightMap) -> Vector:
    mean: Vector = (probabilities[weight_map.first] + probabilities[weight_map.second]) / 2
    return _factor(weight_map) * mean


def _adjoint(by_argument: Vector, weight_map: WeightMap) -> Vector:
    """From a cotangent of the argument to one of the probabilities."""
    half = _factor(weight_map) / 2 * by_argument
    found = np.zeros(2**weight_map.num_qubits)
    np.add.at(found, weight_map.first, half)
    np.add.at(found, weight_map.second, half)
    return found


def _pushed(ansatz: EfficientSU2, angles: Vector, along: Vector) -> Vector:
    def probabilities(sets: Vector) -> Vector:
        return np.asarray(ansatz.probabilities(sets))

    return _shifted(ansatz, probabilities, angles, along, 2**ansatz.num_qubits)


def _shifted(
    ansatz: EfficientSU2,
    function: Callable[[Vector], Any],
    angles: Vector,
    along: ArrayLike,
    size: int,
) -> Vector:
    """Sum over the angles of along_k (f(+pi/2 at k) - f(-pi/2 at k)) / 2, shape (size,)."""
    weights, angles = np.asarray(along, dtype=np.float64), reduced(angles)
    total = np.zeros(size)
    # The last RZ layer moves nothing.
    moving = np.flatnonzero(weights[: len(weights) - ansatz.num_qubits])
    for start in range(0, len(moving), BATCH):
        part = moving[start : start + BATCH]
        shifts = np.zeros((len(part), len(weights)))
        shifts[np.arange(len(part)), part] = np.pi / 2
        differences = function(angles + shifts) - function(angles - shifts)
        # One after another: a product of matrices would depend on BLAS's threads.
        for number, difference in zip(part, differences, strict=True):
            total += weights[number] / 2 * difference
    return total

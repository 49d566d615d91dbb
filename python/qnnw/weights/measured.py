"""Weights from probabilities that somebody else obtained: a device, or an engine with noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qnnw.circuit.execution import Execution
from qnnw.weights.derivatives import map_argument, pull_argument
from qnnw.weights.mapping import WeightMap, probs_to_weights

__all__ = ["measured_weights", "record_measured"]

Back = Callable[[ArrayLike], tuple[NDArray[Any], NDArray[Any]]]


def measured_weights(
    execution: Execution, circuit: Any, angles: Any, weight_map: WeightMap, gamma: Any, seed: int,
    *, dtype: DTypeLike,
) -> NDArray[Any]:  # fmt: skip
    """The weights of :func:`record_measured` alone."""
    probabilities = execution.probabilities(circuit, angles, seed)
    return probs_to_weights(probabilities, weight_map, gamma, dtype=dtype)


def record_measured(
    execution: Execution, circuit: Any, angles: Any, weight_map: WeightMap, gamma: Any, seed: int,
    *, dtype: DTypeLike,
) -> tuple[NDArray[Any], Back]:  # fmt: skip
    """Weights, and their way back to angles and gamma.

    The map's derivative is taken at the probabilities that were obtained, the circuit's is the
    execution's own: as :func:`qnnw.generate_weights_with_vjp` has it for shots.
    """
    probabilities, back = execution.forward(circuit, angles, seed)
    made = probs_to_weights(probabilities, weight_map, gamma, dtype=dtype)

    def pullback(cotangent: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        by_weights = np.asarray(cotangent, dtype=np.float64)
        argument = weight_map.signs * gamma * map_argument(probabilities, weight_map)
        tangent = np.tanh(argument)
        slope = 1 - tangent**2
        by_argument = by_weights * weight_map.signs * gamma**2 * slope
        least = 0.0 if execution.shots is None else 1 / execution.shots
        by_angles = back(pull_argument(probabilities, weight_map, by_argument, least))
        by_gamma = by_weights * (tangent + argument * slope)
        return by_angles, by_gamma.sum() if np.ndim(gamma) == 0 else by_gamma

    return made, pullback

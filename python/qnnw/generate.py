"""Angles to weights in one call: circuit, shots and map."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw import _core
from qnnw._seeds import Seed, seed_to_int
from qnnw.ansatz import EfficientSU2
from qnnw.mapping import WeightMap, _core_of

__all__ = ["generate_weights"]


def generate_weights(
    ansatz: EfficientSU2,
    angles: ArrayLike,
    weight_map: WeightMap,
    gamma: ArrayLike,
    shots: int | None = None,
    seed: Seed | None = None,
) -> NDArray[np.float64]:
    """Make a network's weights from the circuit's angles.

    Equal to ``probs_to_weights(ansatz.probabilities(angles), weight_map, gamma)``, or with shots to
    ``probs_to_weights(sample_counts(probabilities, shots, seed) / shots, weight_map, gamma)``, but
    in one call that keeps nothing else.

    Parameters
    ----------
    ansatz
        The circuit; it must have the map's number of qubits.
    angles
        Real numbers, shape (num_parameters,) or (B, num_parameters); radians.
    weight_map
        The map.
    gamma
        Scale, > 0; with a batch axis also of shape (B,).
    shots
        ``None``: exact probabilities. Otherwise each set of angles is measured this often.
    seed
        Seed of the outcomes; needed with ``shots``.

    Returns
    -------
    ndarray of float64, shape (M,) or (B, M)

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, shape or value.
    MemoryError
        The state does not fit in memory; the message says how many GiB it needs.
    """
    if not isinstance(ansatz, EfficientSU2):
        kind = type(ansatz).__name__
        raise TypeError(f"`ansatz` is of type {kind}; it must be a qnnw.EfficientSU2")
    number = None if seed is None else seed_to_int(seed)
    return _core.generate_weights(ansatz._core, angles, _core_of(weight_map), gamma, shots, number)

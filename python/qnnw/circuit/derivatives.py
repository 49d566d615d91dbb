"""What the Jacobian of the probabilities and the Fisher information are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
# Shifted sets of angles that are evolved together.
BATCH = 32


def shifted(
    function: Callable[[Vector], NDArray[Any]], angles: Vector, places: NDArray[np.intp]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Of each place f(+pi/2) - f(-pi/2), the angle there shifted; f takes several sets at a time.

    Half of it is the derivative, exactly, where f has one frequency in that angle.
    """
    far = np.abs(angles) > 16
    if far.any():
        # Beyond 1e16 neighbouring floats are more than pi/2 apart. Sines reduce any angle exactly;
        # that of the half angle keeps the state's sign.
        half = angles / 2
        angles = np.where(far, 2 * np.arctan2(np.sin(half), np.cos(half)), angles)
    # Batches keep the memory of the shifted sets small beside the result.
    for start in range(0, len(places), BATCH):
        part = places[start : start + BATCH]
        shifts = np.zeros((len(part), len(angles)))
        shifts[np.arange(len(part)), part] = np.pi / 2
        differences = function(angles + shifts) - function(angles - shifts)
        yield from zip(part.tolist(), differences, strict=True)


def pauli_covariances(state: NDArray[Any], num_qubits: int) -> NDArray[np.float64]:
    """Covariances Re<G_j G_k> - <G_j><G_k> of Y on every qubit, then Z on every qubit."""
    moved = np.empty((2 * num_qubits, state.size), dtype=state.dtype)
    for qubit in range(num_qubits):
        pairs = state.reshape(-1, 2, 1 << qubit)
        flipped = moved[qubit].reshape(pairs.shape)
        flipped[:, 0] = -1j * pairs[:, 1]
        flipped[:, 1] = 1j * pairs[:, 0]
        signed = moved[num_qubits + qubit].reshape(pairs.shape)
        signed[:, 0] = pairs[:, 0]
        signed[:, 1] = -pairs[:, 1]
    means = (moved @ state.conj()).real
    products: NDArray[np.float64] = (moved.conj() @ moved.T).real
    return products - np.outer(means, means)

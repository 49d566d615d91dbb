"""The whole chain in plain NumPy, slow and short: what everything else is held against."""

from __future__ import annotations

import numpy as np


def entangler_pairs(entanglement, num_qubits: int, block: int):
    """CNOTs of a block, written from Qiskit's documentation of `efficient_su2`."""
    n = num_qubits
    linear = [(q, q + 1) for q in range(n - 1)]
    circular = [(n - 1, 0), *linear] if n > 2 else linear
    if not isinstance(entanglement, str):
        return list(entanglement)
    if entanglement == "linear":
        return linear
    if entanglement == "reverse_linear":
        return linear[::-1]
    if entanglement == "circular":
        return circular
    if entanglement == "full":
        return [(i, j) for i in range(n) for j in range(i + 1, n)]
    if entanglement == "pairwise":
        return linear[0::2] + linear[1::2]
    if entanglement == "sca":
        shift = block % max(len(circular), 1)
        shifted = circular[len(circular) - shift :] + circular[: len(circular) - shift]
        return [(t, c) for c, t in shifted] if block % 2 else shifted
    raise AssertionError(entanglement)


def one_qubit(state: np.ndarray, matrix: np.ndarray, qubit: int) -> np.ndarray:
    """Apply a 2x2 matrix to one qubit; qubit 0 is the least significant bit."""
    parts = state.reshape(-1, 2, 1 << qubit)
    return np.einsum("ab,xby->xay", matrix, parts).reshape(-1)


def cnot(state: np.ndarray, control: int, target: int) -> np.ndarray:
    index = np.arange(state.size)
    return state[index ^ (((index >> control) & 1) << target)]


def statevector(num_qubits: int, reps: int, entanglement, angles) -> np.ndarray:
    state = np.zeros(1 << num_qubits, dtype=np.complex128)
    state[0] = 1.0
    hadamard = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    for qubit in range(num_qubits):
        state = one_qubit(state, hadamard, qubit)
    layers = np.asarray(angles, dtype=np.float64).reshape(reps + 1, 2, num_qubits)
    for layer in range(reps + 1):
        for qubit, theta in enumerate(layers[layer, 0]):
            c, s = np.cos(theta / 2), np.sin(theta / 2)
            state = one_qubit(state, np.array([[c, -s], [s, c]]), qubit)
        for qubit, phi in enumerate(layers[layer, 1]):
            phases = np.exp(np.array([-0.5j, 0.5j]) * phi)
            state = one_qubit(state, np.diag(phases), qubit)
        if layer < reps:
            for control, target in entangler_pairs(entanglement, num_qubits, layer):
                state = cnot(state, control, target)
    return state


def probabilities(num_qubits: int, reps: int, entanglement, angles) -> np.ndarray:
    return np.abs(statevector(num_qubits, reps, entanglement, angles)) ** 2


def weights(probabilities, first, second, signs, mapping: str, gamma: float) -> np.ndarray:
    """Eqs. 8 and 9, and the centred map, one weight after another."""
    bases = probabilities.shape[-1]
    result = np.empty(len(first))
    for j in range(len(first)):
        q = probabilities[first[j]]
        if second[j] != first[j]:
            q = (probabilities[first[j]] + probabilities[second[j]]) / 2
        if mapping == "paper":
            result[j] = gamma * np.tanh(signs[j] * gamma * (bases / 2) * q)
        else:
            result[j] = gamma * np.tanh(signs[j] * gamma * (bases * q - 1))
    return result

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


def derivative_states(num_qubits: int, reps: int, entanglement, angles) -> np.ndarray:
    """d psi / d angles_k, one row per angle: half the state with the angle moved by pi."""
    angles = np.asarray(angles, dtype=np.float64)
    rows = [
        statevector(num_qubits, reps, entanglement, row)
        for row in angles + np.pi * np.eye(angles.size)
    ]
    return np.array(rows) / 2


def jacobian(num_qubits: int, reps: int, entanglement, angles) -> np.ndarray:
    """d p_i / d angles_k, from the amplitudes and their derivatives."""
    state = statevector(num_qubits, reps, entanglement, angles)
    moved = derivative_states(num_qubits, reps, entanglement, angles)
    return 2 * (state.conj() * moved).real.T


def fisher(num_qubits: int, reps: int, entanglement, angles) -> np.ndarray:
    """Quantum Fisher information of all angles."""
    state = statevector(num_qubits, reps, entanglement, angles)
    moved = derivative_states(num_qubits, reps, entanglement, angles)
    along = moved.conj() @ state
    return 4 * (moved.conj() @ moved.T - np.outer(along, along.conj())).real


def shift_rule(probabilities, angles, cotangent, indices=None) -> np.ndarray:
    """d(cotangent . p) / d angles[indices]; `probabilities` is a function of batches."""
    indices = np.arange(angles.size) if indices is None else np.asarray(indices)
    shifts = np.zeros((len(indices), angles.size))
    shifts[np.arange(len(indices)), indices] = np.pi / 2
    values = probabilities(np.concatenate([angles + shifts, angles - shifts])) @ cotangent
    return (values[: len(indices)] - values[len(indices) :]) / 2


def walsh(bases: int) -> np.ndarray:
    """The matrix H: -1 to the number of ones that row and column share."""
    matrix = np.ones((1, 1))
    while len(matrix) < bases:
        matrix = np.kron([[1.0, 1.0], [1.0, -1.0]], matrix)
    return matrix


def features(probabilities, mapping: str, basis_signs=None) -> np.ndarray:
    """What the square-root and the Hadamard map read, a number a basis."""
    bases = probabilities.shape[-1]
    if mapping == "sqrt":
        return (np.sqrt(bases * probabilities) - np.sqrt(np.pi) / 2) / np.sqrt(1 - np.pi / 4)
    centred = np.asarray(basis_signs) * (bases * probabilities - 1)
    return centred if bases == 2 else walsh(bases) @ centred / np.sqrt(bases)


def weights(
    probabilities, first, second, signs, mapping: str, gamma: float, basis_signs=None
) -> np.ndarray:
    """Eqs. 8 and 9, and the other maps, one weight after another."""
    bases = probabilities.shape[-1]
    result = np.empty(len(first))
    y = None
    if mapping in ("sqrt", "hadamard"):
        y = features(probabilities, mapping, basis_signs)
    for j in range(len(first)):
        q = probabilities[first[j]]
        if second[j] != first[j]:
            q = (probabilities[first[j]] + probabilities[second[j]]) / 2
        if mapping == "paper":
            result[j] = gamma * np.tanh(signs[j] * gamma * (bases / 2) * q)
        elif mapping == "centered":
            result[j] = gamma * np.tanh(signs[j] * gamma * (bases * q - 1))
        else:
            shared = y[first[j]]
            if second[j] != first[j]:
                shared = (y[first[j]] + y[second[j]]) / np.sqrt(2)
            result[j] = gamma * np.tanh(signs[j] * gamma * shared)
    return result


def weights_vjp(
    probabilities, first, second, signs, mapping: str, gamma: float, cotangent, basis_signs=None
) -> tuple[np.ndarray, float]:
    """Gradient of cotangent . weights by the probabilities and by gamma."""
    bases = probabilities.shape[-1]
    by_probabilities, by_gamma = np.zeros(bases), 0.0
    slopes = np.diag(np.full(bases, float(bases)))  # of what is read, by the probabilities
    y = bases * probabilities - 1
    if mapping == "paper":
        slopes, y = slopes / 2, bases / 2 * probabilities
    elif mapping == "sqrt":
        y = features(probabilities, mapping)
        spread = np.sqrt(1 - np.pi / 4)
        slopes = np.diag(bases / (2 * spread * np.sqrt(bases * probabilities)))
    elif mapping == "hadamard":
        y = features(probabilities, mapping, basis_signs)
        matrix = np.eye(2) if bases == 2 else walsh(bases) / np.sqrt(bases)
        slopes = bases * matrix * np.asarray(basis_signs)
    mean = mapping in ("paper", "centered")
    for j in range(len(first)):
        fed_by = sorted({int(first[j]), int(second[j])})
        share = len(fed_by) if mean else np.sqrt(len(fed_by))
        x = sum(y[basis] for basis in fed_by) / share
        derivative = np.cosh(gamma * x) ** -2
        by_gamma += cotangent[j] * signs[j] * (np.tanh(gamma * x) + gamma * x * derivative)
        for basis in fed_by:
            slope = cotangent[j] * signs[j] * gamma**2 * derivative / share
            by_probabilities += slope * slopes[basis]
    return by_probabilities, by_gamma

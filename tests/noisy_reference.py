"""A noisy circuit's density matrix, slowly: what trajectories are held against."""

from __future__ import annotations

from functools import reduce

import numpy as np

X, Z = np.array([[0, 1], [1, 0]]), np.diag([1, -1])
Y = 1j * X @ Z
LETTERS = {"I": np.eye(2), "X": X, "Y": Y, "Z": Z}
ROOT = (X + Z) / np.sqrt(2)
ZERO, ONE = np.diag([1, 0]), np.diag([0, 1])


def on(num_qubits, places):
    """Matrices at qubits; qubit 0 is the least significant bit, the last factor."""
    return reduce(np.kron, [places.get(q, np.eye(2)) for q in reversed(range(num_qubits))])


def unitary(num_qubits, name, qubits, angle):
    if name.startswith("r"):
        letters = dict(zip(qubits, (LETTERS[c] for c in name[1:].upper()), strict=True))
        return np.cos(angle / 2) * np.eye(2**num_qubits) - 1j * np.sin(angle / 2) * on(
            num_qubits, letters
        )
    phase = np.diag([1, 1j])
    single = {"h": ROOT, "x": X, "y": Y, "z": Z, "s": phase, "sdg": phase.conj()}
    single |= {"sx": ROOT @ phase @ ROOT, "sxdg": ROOT @ phase.conj() @ ROOT}
    if name in single:
        return on(num_qubits, {qubits[0]: single[name]})
    first, last = qubits
    if name == "swap":
        return sum(on(num_qubits, {first: L, last: L}) for L in LETTERS.values()) / 2
    target = X if name == "cx" else Z
    return on(num_qubits, {first: ZERO}) + on(num_qubits, {first: ONE, last: target})


def noisy_probabilities(num_qubits, gates, slots, depolarizing, damping):
    size = 2**num_qubits
    rho = np.zeros((size, size), complex)
    rho[0, 0] = 1
    for name, qubits, slot in gates:
        gate = unitary(num_qubits, name, qubits, None if slot is None else slots[slot])
        rho = gate @ rho @ gate.conj().T
        chance, loss = (pair[len(qubits) - 1] for pair in (depolarizing, damping))
        paulis = [on(num_qubits, {qubits[0]: L}) for L in LETTERS.values()]
        if len(qubits) == 2:
            paulis = [P @ on(num_qubits, {qubits[1]: L}) for P in paulis for L in LETTERS.values()]
        rho = (1 - chance) * rho + chance * sum(P @ rho @ P.conj().T for P in paulis) / len(paulis)
        for qubit in qubits:
            kraus = np.diag([1, np.sqrt(1 - loss)]), np.array([[0, np.sqrt(loss)], [0, 0]])
            wide = [on(num_qubits, {qubit: K}) for K in kraus]
            rho = sum(K @ rho @ K.conj().T for K in wide)
    return rho.diagonal().real

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


# A circuit of any gates, by matrices written down as in Qiskit's documentation.

I2, X, Y, Z = np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
PAULIS = {"x": X, "y": Y, "z": Z}


def rotation(pauli, theta):
    return np.cos(theta / 2) * np.eye(len(pauli)) - 1j * np.sin(theta / 2) * pauli


def u(theta, phi, lam):
    c, s = np.cos(theta / 2), np.sin(theta / 2)
    return np.array(
        [[c, -np.exp(1j * lam) * s], [np.exp(1j * phi) * s, np.exp(1j * (phi + lam)) * c]]
    )


def controlled(matrix, controls=1):
    """The controls are the first qubits, the least significant bits."""
    ones = 2**controls - 1
    large = np.eye(len(matrix) * 2**controls, dtype=complex)
    places = ones + 2**controls * np.arange(len(matrix))
    large[np.ix_(places, places)] = matrix
    return large


def gate_matrix(name, angles):
    """A gate's matrix; its first qubit is the least significant bit."""
    swap = np.eye(4)[[0, 2, 1, 3]]
    hadamard, sx = (X + Z) / np.sqrt(2), (np.eye(2) * (1 + 1j) + X * (1 - 1j)) / 2
    s, t = np.diag([1, 1j]), np.diag([1, np.exp(0.25j * np.pi)])
    fixed = {
        "id": I2, "x": X, "y": Y, "z": Z, "h": hadamard, "s": s, "sdg": s.conj(), "t": t,
        "tdg": t.conj(), "sx": sx, "sxdg": sx.conj().T, "swap": swap,
        "iswap": swap @ np.diag([1, 1j, 1j, 1]), "cx": controlled(X), "cy": controlled(Y),
        "cz": controlled(Z), "ch": controlled(hadamard), "cs": controlled(s),
        "csdg": controlled(s.conj()), "csx": controlled(sx), "ccx": controlled(X, 2),
        "ccz": controlled(Z, 2), "cswap": controlled(swap),
        "dcx": np.eye(4)[[0, 3, 1, 2]],
        "ecr": (np.kron(I2, X) - np.kron(X, Y)) / np.sqrt(2),
    }  # fmt: skip
    if name in fixed:
        return fixed[name]
    if name in ("rx", "ry", "rz"):
        return rotation(PAULIS[name[1]], *angles)
    if name in ("p", "u1"):
        return u(0, 0, *angles)
    if name == "u2":
        return u(np.pi / 2, *angles)
    if name in ("u", "u3"):
        return u(*angles)
    if name == "r":
        theta, phi = angles
        return rotation(np.cos(phi) * X + np.sin(phi) * Y, theta)
    if name in ("crx", "cry", "crz"):
        return controlled(rotation(PAULIS[name[2]], *angles))
    if name in ("cp", "cu1"):
        return controlled(u(0, 0, *angles))
    if name in ("xx_plus_yy", "xx_minus_yy"):
        theta, beta = angles
        one, other = (1, 2) if name == "xx_plus_yy" else (0, 3)
        matrix = np.eye(4, dtype=complex)
        matrix[one, one] = matrix[other, other] = np.cos(theta / 2)
        matrix[one, other] = -1j * np.sin(theta / 2) * np.exp(-1j * beta)
        matrix[other, one] = -1j * np.sin(theta / 2) * np.exp(1j * beta)
        return matrix
    if name == "cu3":
        return controlled(u(*angles))
    if name == "cu":
        return controlled(np.exp(1j * angles[3]) * u(*angles[:3]))
    first, second = name[1:]
    return rotation(np.kron(PAULIS[second], PAULIS[first]), *angles)


def run_gates(num_qubits, gates, values):
    """Probabilities of a circuit of (name, qubits, angles), angles as the package has them."""
    state = np.zeros([2] * num_qubits, dtype=complex)
    state[(0,) * num_qubits] = 1.0
    for name, qubits, angles in gates:
        count = len(qubits)
        given = [a.constant + sum(c * values[k] for k, c in a.terms) for a in angles]
        matrix = np.asarray(gate_matrix(name, given), dtype=complex).reshape([2] * 2 * count)
        axes = [num_qubits - 1 - qubit for qubit in reversed(qubits)]
        state = np.tensordot(matrix, state, (list(range(count, 2 * count)), axes))
        state = np.moveaxis(state, list(range(count)), axes)
    return np.abs(state.reshape(-1)) ** 2

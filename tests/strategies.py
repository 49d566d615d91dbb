"""Hypothesis builders: circuits, angles, distributions."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import qnnw
from qnnw.circuit.gates import GATES, Angle, parameter

ENTANGLEMENTS = ["linear", "reverse_linear", "circular", "full", "pairwise", "sca"]
WITH_PAIRS = [*ENTANGLEMENTS, "pairs"]


@st.composite
def ansatzes(draw, max_qubits: int = 10, max_reps: int = 6):
    """Circuits of every entanglement, pair lists among them."""
    num_qubits = draw(st.integers(1, max_qubits))
    reps = draw(st.integers(0, max_reps))
    entanglement = draw(st.sampled_from(WITH_PAIRS))
    if entanglement == "pairs":
        qubits = st.integers(0, num_qubits - 1)
        pair = st.tuples(qubits, qubits).filter(lambda pair: pair[0] != pair[1])
        pairs = st.lists(pair, max_size=12) if num_qubits > 1 else st.just([])
        entanglement = tuple(draw(pairs))
    return qnnw.EfficientSU2(num_qubits, reps, entanglement)


def spread_angles(rng, shape, special: float = 0.3):
    """Angles far beyond one turn, a share of them special values."""
    angles = rng.uniform(-20, 20, shape)
    chosen = rng.random(shape) < special
    values = [0.0, np.pi / 2, -np.pi / 2, np.pi, -np.pi, 2 * np.pi]
    angles[chosen] = rng.choice(values, chosen.sum())
    return angles


@st.composite
def angles_for(draw, ansatz, batch=None):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (ansatz.num_parameters,) if batch is None else (batch, ansatz.num_parameters)
    return spread_angles(rng, shape, draw(st.sampled_from([0.0, 0.3])))


def random_ansatz(rng, entanglement: str, max_qubits: int, max_reps: int):
    """A circuit of this entanglement, or of random pairs."""
    num_qubits, reps = int(rng.integers(1, max_qubits + 1)), int(rng.integers(0, max_reps + 1))
    return qnnw.EfficientSU2(num_qubits, reps, random_pattern(rng, entanglement, num_qubits))


def random_pattern(rng, entanglement: str, num_qubits: int):
    """The name itself, or for "pairs" random pairs, of which one qubit has none."""
    if entanglement != "pairs":
        return entanglement
    count = int(rng.integers(0, 12)) if num_qubits > 1 else 0
    return tuple(tuple(rng.permutation(num_qubits)[:2].tolist()) for _ in range(count))


@st.composite
def distributions(draw, max_bins: int = 5000):
    """Distributions of any length, with zeros and near-deltas among them."""
    bins = draw(st.integers(1, max_bins))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["exponential", "zeros", "delta", "powers"]))
    values = rng.exponential(size=bins)
    if kind == "zeros":
        values[rng.random(bins) < 0.7] = 0.0
    elif kind == "delta":
        values *= 1e-9
    elif kind == "powers":
        values **= 12
    values[rng.integers(bins)] += 1.0
    return values / values.sum()


def random_circuit(rng, num_qubits: int, num_gates: int, num_parameters: int, names=None):
    """Gates of every kind, angles of all sorts of linear expressions."""
    fits = [n for n, kind in GATES.items() if kind.num_qubits <= num_qubits]
    names = [n for n in (names or fits) if n in fits]
    gates = []
    for name in rng.choice(names, num_gates).tolist():
        kind = GATES[name]
        qubits = rng.permutation(num_qubits)[: kind.num_qubits].tolist()
        gates.append(
            (name, qubits, [random_angle(rng, num_parameters) for _ in range(kind.num_angles)])
        )
    return qnnw.Circuit(num_qubits, tuple(gates), num_parameters)


def random_angle(rng, num_parameters: int):
    """A number, a parameter, or a sum of several."""
    count = min(int(rng.choice([0, 1, 1, 1, 2, 3])), num_parameters)
    angle = Angle.of(float(rng.choice([0, 0, np.pi, -np.pi / 2, rng.uniform(-9, 9)])))
    for place in rng.choice(num_parameters, count, replace=False).tolist() if count else []:
        factor = float(rng.choice([1, 1, 1, -1, 0.5, 2, rng.uniform(-3, 3)]))
        angle = angle + factor * parameter(place)
    return angle

"""Hypothesis builders: circuits, angles, distributions."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import qnnw

ENTANGLEMENTS = ["linear", "reverse_linear", "circular", "full", "pairwise", "sca"]


@st.composite
def ansatzes(draw, max_qubits: int = 10, max_reps: int = 6):
    """Circuits of every entanglement, pair lists among them."""
    num_qubits = draw(st.integers(1, max_qubits))
    reps = draw(st.integers(0, max_reps))
    entanglement = draw(st.sampled_from([*ENTANGLEMENTS, "pairs"]))
    if entanglement == "pairs":
        qubits = st.integers(0, num_qubits - 1)
        pair = st.tuples(qubits, qubits).filter(lambda pair: pair[0] != pair[1])
        pairs = st.lists(pair, max_size=12) if num_qubits > 1 else st.just([])
        entanglement = tuple(draw(pairs))
    return qnnw.EfficientSU2(num_qubits, reps, entanglement)


@st.composite
def angles_for(draw, ansatz, batch=None):
    """Angles far beyond one turn, special values among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (ansatz.num_parameters,) if batch is None else (batch, ansatz.num_parameters)
    angles = rng.uniform(-20, 20, shape)
    special = rng.random(shape) < draw(st.sampled_from([0.0, 0.3]))
    angles[special] = rng.choice([0.0, np.pi, -np.pi, np.pi / 2, 2 * np.pi], special.sum())
    return angles


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

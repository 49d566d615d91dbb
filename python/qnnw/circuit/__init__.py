"""What is evolved and how it is read: the circuit, its probabilities, its shots."""

from __future__ import annotations

from qnnw.circuit.ansatz import EfficientSU2
from qnnw.circuit.any_circuit import Circuit
from qnnw.circuit.gates import parameter
from qnnw.circuit.sampling import sample_counts

__all__ = ["Circuit", "EfficientSU2", "parameter", "sample_counts"]

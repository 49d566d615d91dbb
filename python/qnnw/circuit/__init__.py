"""What is evolved and how it is read: the circuit, its probabilities, its shots."""

from __future__ import annotations

from qnnw.circuit.ansatz import EfficientSU2
from qnnw.circuit.sampling import sample_counts

__all__ = ["EfficientSU2", "sample_counts"]

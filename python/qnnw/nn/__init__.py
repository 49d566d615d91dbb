"""Any torch module, its weights made by a source: :class:`QuantumTrain`."""

from __future__ import annotations

from qnnw.nn.quantum_train import QuantumTrain

__all__ = ["QuantumTrain"]

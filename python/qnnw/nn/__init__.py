"""Any torch module, its weights made by a source: :class:`QuantumTrain`."""

from __future__ import annotations

from qnnw.nn.quantum_train import QuantumTrain
from qnnw.nn.sources import Circuits, LargeCircuitWarning

__all__ = ["Circuits", "LargeCircuitWarning", "QuantumTrain"]

"""What is evolved and how it is read: the circuit, its probabilities, its shots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qnnw._common.lazy import lazily
from qnnw.circuit.ansatz import EfficientSU2
from qnnw.circuit.any_circuit import Circuit
from qnnw.circuit.blocks import efficient_su2, real_amplitudes, two_local, u3_cu3
from qnnw.circuit.gates import parameter
from qnnw.circuit.sampling import sample_counts

if TYPE_CHECKING:
    from qnnw.circuit import devices as devices

__all__ = [
    "Ansatz", "Circuit", "EfficientSU2", "efficient_su2", "parameter", "real_amplitudes",
    "sample_counts", "two_local", "u3_cu3",
]  # fmt: skip

#: What sources take.
Ansatz = EfficientSU2 | Circuit

__getattr__, __dir__ = lazily(__name__, {"devices": None}, tuple(__all__))

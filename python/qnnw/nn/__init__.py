"""Any torch module, its weights made by a source: :class:`QuantumTrain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qnnw._common.extras import needs
from qnnw._common.lazy import lazily

with needs("train", "qnnw.nn"):
    from qnnw.nn.quantum_train import QuantumTrain
    from qnnw.nn.sources import Circuits, LargeCircuitWarning

if TYPE_CHECKING:
    from qnnw.nn import peft as peft

__all__ = ["Circuits", "LargeCircuitWarning", "QuantumTrain"]

# It needs more than torch.
__getattr__, __dir__ = lazily(__name__, {"peft": None}, tuple(__all__))

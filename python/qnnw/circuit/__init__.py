"""What is evolved and how it is read: the circuit, its probabilities, its shots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qnnw._common.lazy import lazily
from qnnw.circuit.ansatz import EfficientSU2
from qnnw.circuit.sampling import sample_counts

if TYPE_CHECKING:
    from qnnw.circuit import devices as devices

__all__ = ["EfficientSU2", "sample_counts"]

__getattr__, __dir__ = lazily(__name__, {"devices": None}, tuple(__all__))

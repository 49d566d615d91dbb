"""From trained numbers to a network's weights, and back: the seam, and what stands behind it."""

from __future__ import annotations

from qnnw.weights.functional import (
    generate_weights,
    generate_weights_vjp,
    generate_weights_with_vjp,
)
from qnnw.weights.mapping import WeightMap, probs_to_weights

__all__ = [
    "WeightMap",
    "generate_weights",
    "generate_weights_vjp",
    "generate_weights_with_vjp",
    "probs_to_weights",
]

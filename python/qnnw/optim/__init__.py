"""Optimisers: by exact gradients, and by values alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qnnw._common.lazy import lazily
from qnnw.optim.derivative_free import Cobyla, FastCobyla, NelderMead, Outcome, Spsa
from qnnw.optim.objective import NonFiniteLossError

if TYPE_CHECKING:
    from qnnw.optim.eigen_adam import EigenAdam as EigenAdam

__all__ = ["Cobyla", "FastCobyla", "NelderMead", "NonFiniteLossError", "Outcome", "Spsa"]

# It needs torch, the others do not.
__getattr__, __dir__ = lazily(__name__, {"EigenAdam": "eigen_adam"}, tuple(__all__))

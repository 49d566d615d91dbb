"""Derivatives along a direction, of sources whose weights are made in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from qnnw._common.extras import needs

with needs("train", "qnnw.weights.twice"):
    import torch
    from torch import Tensor

    from qnnw._common.devices import one_torch_thread

__all__ = ["dotted", "pushed"]


def pushed(product: Callable[[Tensor], Tensor], num_weights: int) -> NDArray[np.float64]:
    """J t, shape (num_weights,), from the function u -> (J^T u) . t.

    J^T u is linear in u: what its product with t has for a gradient is J t.
    """
    along = torch.zeros(num_weights, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad(), one_torch_thread():
        (found,) = torch.autograd.grad(product(along), along)
    values: NDArray[np.float64] = found.numpy()
    return values


def dotted(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """The sum of all products of entries."""
    pairs = zip(left, right, strict=True)
    return torch.stack([(one * other).sum() for one, other in pairs]).sum()

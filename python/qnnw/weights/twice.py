"""The ways back, and along a direction, of sources whose weights are made in torch.

Each takes the function that makes the weights, and its leaves: what it makes them of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw._common.extras import needs

with needs("train", "qnnw.weights.twice"):
    import torch
    from torch import Tensor

    from qnnw._common.devices import one_torch_thread

Vector = NDArray[np.float64]
Made = Callable[..., Tensor]


def recorded(
    made: Made, leaves: Sequence[Tensor]
) -> tuple[Vector, Callable[[ArrayLike], list[Vector]]]:
    """The weights, and what takes a cotangent u of them to J^T u, by every leaf."""
    leaves = [leaf.requires_grad_() for leaf in leaves]
    with torch.enable_grad(), one_torch_thread():
        weights = made(*leaves)

    def pullback(cotangent: ArrayLike) -> list[Vector]:
        along = torch.from_numpy(np.array(cotangent, dtype=np.float64))
        with one_torch_thread():
            found = torch.autograd.grad(weights, leaves, along, retain_graph=True)
        return [by.numpy() for by in found]

    return weights.detach().numpy(), pullback


def pushed(made: Made, leaves: Sequence[Tensor], ways: Sequence[Tensor], size: int) -> Vector:
    """J t, shape (size,), for a way t of every leaf.

    J^T u is linear in u: what its product with t has for a gradient by u is J t.
    """
    along = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad(), one_torch_thread():
        _, product = _turned(made, leaves, ways, along)
        (found,) = torch.autograd.grad(product, along)
    return found.numpy()


def curved(
    made: Made, leaves: Sequence[Tensor], ways: Sequence[Tensor], cotangent: ArrayLike
) -> tuple[list[Vector], list[Vector]]:
    """J^T u by every leaf, and the derivative of (J^T u) . t by every leaf."""
    along = torch.from_numpy(np.array(cotangent, dtype=np.float64))
    with torch.enable_grad(), one_torch_thread():
        found, product = _turned(made, leaves, ways, along)
        # 0 of each, so that what is linear in one of them has a derivative by it.
        product = product + sum(0.0 * leaf.sum() for leaf in leaves)
        turned = torch.autograd.grad(product, leaves)
    return [by.detach().numpy() for by in found], [by.numpy() for by in turned]


def _turned(
    made: Made, leaves: Sequence[Tensor], ways: Sequence[Tensor], cotangent: Tensor
) -> tuple[Sequence[Tensor], Tensor]:
    """J^T u, and (J^T u) . t as a function of the leaves and of u."""
    leaves = [leaf.requires_grad_() for leaf in leaves]
    found = torch.autograd.grad(made(*leaves), leaves, cotangent, create_graph=True)
    pairs = zip(found, ways, strict=True)
    return found, torch.stack([(by * way).sum() for by, way in pairs]).sum()

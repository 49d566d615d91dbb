"""Copies of modules that hold tensors of their last call."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

Thing = TypeVar("Thing")


class _Detached(TorchFunctionMode):
    """Tensors that belong to a graph, which torch refuses to copy, are copied without it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__deepcopy__ and not args[0].is_leaf:
            tensor, memo = args
            memo[id(tensor)] = tensor.detach().clone()
            return memo[id(tensor)]
        return func(*args, **(kwargs or {}))


def copied(thing: Thing, memo: dict[int, Any] | None = None) -> Thing:
    """``copy.deepcopy``, also of what keeps an activation, a pruned or a normalised weight."""
    with _Detached():
        return copy.deepcopy(thing, memo)

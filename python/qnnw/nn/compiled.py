"""A source of weights as operators of torch, for torch.compile and torch.export.

A graph that is traced or written to a file holds no Python object: the operators name their source
by its description, from which any process makes it again.
"""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qnnw.weights.source import Description, WeightSource, from_description


def described(source: WeightSource) -> str:
    """The source's description in one line, arrays with it."""
    description = source.describe()
    arrays = {
        name: [array.dtype.str, list(array.shape), base64.b64encode(array.tobytes()).decode()]
        for name, array in description.arrays.items()
    }
    return json.dumps([description.settings, arrays], allow_nan=False)


@lru_cache(maxsize=16)
def _source(text: str) -> WeightSource:
    settings, packed = json.loads(text)
    arrays = {
        name: np.frombuffer(base64.b64decode(content), dtype=dtype).reshape(shape)
        for name, (dtype, shape, content) in packed.items()
    }
    return from_description(Description(settings, arrays))


def _groups(source: WeightSource, numbers: Tensor) -> dict[str, NDArray[Any]]:
    groups = source.groups
    ends = np.cumsum([len(group.start) for group in groups.values()])[:-1]
    return dict(zip(groups, np.split(numbers.detach().numpy(), ends), strict=True))


@torch.library.custom_op("qnnw::make_weights", mutates_args=(), device_types="cpu")
def make_weights(numbers: Tensor, draw: Tensor, source: str) -> Tensor:
    """Weights of a described source.

    Parameters
    ----------
    numbers
        All groups, one after another; float64, on the CPU.
    draw
        One integer, the number of the measurement.
    source
        What :func:`described` gave.

    Returns
    -------
    Tensor of float64, shape (M,)
    """
    maker = _source(source)
    made = maker.weights(_groups(maker, numbers), int(draw))
    return torch.from_numpy(made.astype(np.float64, copy=False))


@make_weights.register_fake
def _(numbers: Tensor, draw: Tensor, source: str) -> Tensor:  # noqa: ARG001
    return numbers.new_empty((_source(source).num_weights,))


@torch.library.custom_op("qnnw::make_weights_backward", mutates_args=(), device_types="cpu")
def _backward(cotangent: Tensor, numbers: Tensor, draw: Tensor, source: str) -> Tensor:
    maker = _source(source)
    _, pullback = maker.forward(_groups(maker, numbers), int(draw))
    found = pullback(cotangent.detach().numpy())
    return torch.from_numpy(np.concatenate([found[name] for name in maker.groups]))


@_backward.register_fake
def _(cotangent: Tensor, numbers: Tensor, draw: Tensor, source: str) -> Tensor:  # noqa: ARG001
    return torch.empty_like(numbers)


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    numbers, draw, ctx.source = inputs
    ctx.save_for_backward(numbers, draw)


def _to_gradients(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None, None]:
    numbers, draw = ctx.saved_tensors
    return _backward(cotangent.contiguous(), numbers, draw, ctx.source), None, None


make_weights.register_autograd(_to_gradients, setup_context=_keep_inputs)

"""The circuit and the map as one operator of torch, with its gradient."""

from __future__ import annotations

from typing import Any

from qnnw._common.extras import needs
from qnnw.weights.generator import WeightGenerator

with needs("train", "qnnw.nn"):
    import torch
    from torch import Tensor

__all__ = ["generate_weights"]


@torch.library.custom_op("qnnw::generate_weights", mutates_args=(), device_types="cpu")
def generate_weights(
    angles: Tensor, gamma: Tensor, draw: Tensor, generator: int, record: bool
) -> Tensor:
    """Weights of a :class:`qnnw.weights.circuit.WeightGenerator`, as a tensor.

    Parameters
    ----------
    angles
        Shape (num_angles,), float32 or float64, on the CPU.
    gamma
        One number.
    draw
        One integer, the number of the measurement.
    generator
        The generator's handle.
    record
        Whether a backward call is to be expected.

    Returns
    -------
    Tensor of float64, shape (M,)
    """
    made = WeightGenerator.by_handle(generator).weights(
        angles.detach().numpy(), float(gamma.detach()), int(draw), record=record
    )
    return torch.from_numpy(made)


@generate_weights.register_fake
def _(angles: Tensor, gamma: Tensor, draw: Tensor, generator: int, record: bool) -> Tensor:  # noqa: ARG001
    num_weights = WeightGenerator.by_handle(generator).num_weights
    return angles.new_empty((num_weights,), dtype=torch.float64)


@torch.library.custom_op("qnnw::generate_weights_backward", mutates_args=(), device_types="cpu")
def _backward(
    cotangent: Tensor, angles: Tensor, gamma: Tensor, draw: Tensor, generator: int
) -> tuple[Tensor, Tensor]:
    by_angles, by_gamma = WeightGenerator.by_handle(generator).gradients(
        angles.detach().numpy(), float(gamma.detach()), cotangent.detach().numpy(), int(draw)
    )
    return (
        torch.from_numpy(by_angles).to(angles.dtype),
        torch.tensor(by_gamma, dtype=gamma.dtype).reshape(gamma.shape),
    )


@_backward.register_fake
def _(
    cotangent: Tensor,  # noqa: ARG001
    angles: Tensor,
    gamma: Tensor,
    draw: Tensor,  # noqa: ARG001
    generator: int,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(angles), torch.empty_like(gamma)


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    angles, gamma, draw, ctx.generator, _record = inputs
    # The graph may outlive the module.
    ctx.alive = WeightGenerator.by_handle(ctx.generator)
    ctx.save_for_backward(angles, gamma, draw)


def _to_gradients(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
    by_angles, by_gamma = _backward(cotangent.contiguous(), *ctx.saved_tensors, ctx.generator)
    return by_angles, by_gamma, None, None, None


generate_weights.register_autograd(_to_gradients, setup_context=_keep_inputs)

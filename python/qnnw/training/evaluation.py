"""Loss and measures of a network over a whole split, for one flat vector of weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from qnnw._common.devices import as_device, one_torch_thread
from qnnw._common.extras import needs
from qnnw._common.team import Team
from qnnw.training.behaviour import (
    Behaviour,
    Buffers,
    buffers_of,
    named_parameters,
    set_buffers,
)
from qnnw.training.losses import (
    Evaluation,
    check_labels,
    check_outputs,
    meter_of,
)

with needs("train", "qnnw.training.evaluation"):
    import torch
    from torch import nn
    from torch.nn import functional

    from qnnw.nn.copying import copied

# Input and largest activation of a chunk: what stays in a core's second- and third-level cache.
CHUNK_BYTES = 5 << 20
DEVICE_CHUNK = 10_000


class Evaluator:
    """Evaluates a network on a fixed split for one vector of weights after another.

    The split is cut into chunks that fit the cache. On the CPU every chunk runs on one thread,
    and chunks run side by side, so that the result does not depend on the number of threads, to
    the last bit. Chunks of a network with modules that are not torch's own run one after another;
    one that normalises by the batch in evaluation too sees the whole split at once.

    Parameters
    ----------
    network
        The module; it is copied. What is not named keeps its values.
    inputs, labels
        float32 inputs and int64 labels, or float32 targets.
    loss
        ``"cross-entropy"`` (mean softmax cross-entropy) or ``"binary"`` (eq. 11 as printed:
        one-vs-rest on the softmax outputs, summed over classes); for targets ``"mse"`` or
        ``"mae"`` (means over samples and outputs).
    device
        ``"cpu"``, ``"cuda"``, or any torch device.
    threads
        Chunks that run side by side on the CPU.
    names
        The parameters that take the weights, in the order in which they lie in the flat vector,
        each flattened in C order; ``None``: all, in ``named_parameters()`` order.
    num_outputs
        Outputs that the network must have; ``None``: at least those that the labels need.
    target_scale
        What a target is multiplied by in the data's own units, an output; for ``rmse``.

    Raises
    ------
    TypeError, ValueError
        An argument is out of range, or the network's outputs do not fit the labels.
    """

    def __init__(
        self,
        network: nn.Module,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        loss: str = "cross-entropy",
        device: str | torch.device = "cpu",
        threads: int = 1,
        names: Sequence[str] | None = None,
        num_outputs: int | None = None,
        target_scale: Sequence[float] | None = None,
    ) -> None:
        if len(inputs) != len(labels) or len(inputs) == 0:
            raise ValueError(
                f"`labels` has length {len(labels)}; it must be that of `inputs`, "
                f"{len(inputs)}, and not 0"
            )
        self._meter = meter_of(check_labels(loss, labels), labels, target_scale)
        self._device = as_device(device)
        self._behaviour = Behaviour.of(network)
        self._plain = copied(network)
        self._network = copied(network).eval().to(self._device)
        self._parameters = named_parameters(self._network, names)
        #: Number of weights that a call takes, M.
        self.num_weights = sum(parameter.numel() for parameter in self._parameters)
        self._plain_parameters = named_parameters(self._plain, names)
        self._buffers = buffers_of(self._network)
        self._given_buffers = False
        self._joined = _join(self._network)
        dtype = next((p.dtype for p in self._network.parameters()), torch.float32)
        inputs = inputs.to(dtype)
        if inputs.dim() == 4 and not self._behaviour.own:
            # Convolutions, and the pools after them, are fastest with both in channels-last.
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            self._network = self._network.to(memory_format=torch.channels_last)
        self._samples = len(inputs)
        side_by_side = self._device.type == "cpu" and not self._behaviour.own
        self._threads = threads if side_by_side else 1
        chunk = self._chunk_size(inputs, labels, num_outputs)
        inputs, labels = inputs.to(self._device), labels.to(self._device)
        self._chunks = [
            (inputs[start : start + chunk], labels[start : start + chunk])
            for start in range(0, self._samples, chunk)
        ]
        self._team = Team(self._threads)

    def own_weights(self) -> NDArray[np.float64]:
        """The weights that the network was given with, shape (M,)."""
        parts = [p.detach().reshape(-1).cpu().double() for p in self._parameters]
        return torch.cat(parts).numpy()

    def state_dict(
        self, weights: NDArray[Any], buffers: Buffers | None = None
    ) -> dict[str, torch.Tensor]:
        """The plain network's state with these weights and buffers, on the CPU."""
        set_buffers(self._plain, buffers or self._buffers)
        for parameter, part in self._parts(self._plain_parameters, weights):
            parameter.data = part.clone()
        return {name: tensor.detach().clone() for name, tensor in self._plain.state_dict().items()}

    def __call__(self, weights: NDArray[Any], buffers: Buffers | None = None) -> Evaluation:
        """Evaluate the network with these weights.

        Parameters
        ----------
        weights
            float64 or float32, shape (M,).
        buffers
            What the network keeps besides, as :meth:`BatchGradient.buffers` gives it; ``None``:
            as the network had them.

        Raises
        ------
        ValueError
            The number of weights is not the network's.
        """
        with torch.inference_mode():
            for parameter, part in self._parts(self._parameters, weights):
                parameter.copy_(part)
        if buffers or self._given_buffers:
            set_buffers(self._network, buffers or self._buffers)
            self._given_buffers = bool(buffers)
        for module in self._joined:
            module.refresh()
        with one_torch_thread():
            parts = self._team.map(self._evaluate_chunk, self._chunks)
        return self._meter.total(parts, self._samples)

    def close(self) -> None:
        """Stop the threads."""
        self._team.close()

    def _parts(
        self, parameters: list[nn.Parameter], weights: NDArray[Any]
    ) -> list[tuple[nn.Parameter, torch.Tensor]]:
        """Every parameter with its part of the weights, rounded to its dtype."""
        if weights.shape != (self.num_weights,):
            raise ValueError(
                f"`weights` has shape {weights.shape}; the network needs ({self.num_weights},)"
            )
        flat = torch.from_numpy(weights)
        sizes = [parameter.numel() for parameter in parameters]
        return [
            (parameter, part.view(parameter.shape).to(parameter.dtype))
            for parameter, part in zip(parameters, flat.split(sizes), strict=True)  # type: ignore[no-untyped-call]
        ]

    def _evaluate_chunk(
        self, chunk: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[float, Sequence[float]]:
        inputs, labels = chunk
        with torch.inference_mode():
            return self._meter.part(self._network(inputs), labels)

    def _chunk_size(
        self, inputs: torch.Tensor, labels: torch.Tensor, num_outputs: int | None
    ) -> int:
        """Samples of a chunk; the network runs once, and its outputs are checked."""
        largest, outputs = _largest(self._network, inputs[:1].to(self._device))
        check_outputs(outputs, labels, num_outputs)
        if self._behaviour.whole_evaluation:
            return self._samples
        if self._device.type != "cpu":
            return DEVICE_CHUNK
        sample = inputs[0].numel() * inputs.element_size() + largest
        return max(1, CHUNK_BYTES // sample)


class _ConvPool2x2(nn.Module):
    """A convolution and the 2x2 max-pool after it, as one convolution and a maximum.

    The four positions that a pool joins are four convolutions of stride 2 whose kernels are shifted
    by one pixel. Run as one with four times the channels, they fill the vector lanes that a
    network's few channels leave empty, and the maximum runs along contiguous memory.
    """

    wide: torch.Tensor
    wide_bias: torch.Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        channels, inputs, height, width = conv.weight.shape
        wide = conv.weight.new_zeros(4 * channels, inputs, height + 1, width + 1)
        self.wide = wide.contiguous(memory_format=torch.channels_last)
        self.wide_bias = conv.weight.new_zeros(4 * channels)

    @torch.inference_mode()
    def refresh(self) -> None:
        """Take over the convolution's weights."""
        channels, _, height, width = self.conv.weight.shape
        for shift in range(4):
            down, right = divmod(shift, 2)
            kernels = self.wide[shift * channels : (shift + 1) * channels]
            kernels[:, :, down : down + height, right : right + width] = self.conv.weight
        if self.conv.bias is not None:
            self.wide_bias.copy_(self.conv.bias.repeat(4))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        four = functional.conv2d(inputs, self.wide, self.wide_bias, stride=2)
        channels = four.shape[1] // 4
        two = torch.maximum(four[:, : 2 * channels], four[:, 2 * channels :])
        return torch.maximum(two[:, :channels], two[:, channels:])


def _join(network: nn.Module) -> list[_ConvPool2x2]:
    """Join narrow convolutions with the 2x2 max-pools after them, in place; gives what was made."""
    joined = []
    for module in list(network.modules()):
        if type(module) is not nn.Sequential:
            continue
        for place, (conv, pool) in enumerate(pairwise(list(module))):
            if _is_narrow(conv) and _is_plain_2x2(pool):
                joined.append(_ConvPool2x2(conv))
                module[place] = joined[-1]
                module[place + 1] = nn.Identity()
    return joined


def _is_narrow(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        type(conv) is nn.Conv2d
        and not (conv._forward_hooks or conv._forward_pre_hooks)
        and conv.out_channels <= 16
        and conv.stride == (1, 1)
        and conv.padding in ((0, 0), "valid")
        and conv.dilation == (1, 1)
        and conv.groups == 1
    )


def _is_plain_2x2(pool: nn.Module) -> bool:
    pair = ((2, 2), 2)
    return (
        type(pool) is nn.MaxPool2d
        and not (pool._forward_hooks or pool._forward_pre_hooks)
        and pool.kernel_size in pair
        and pool.stride in pair
        and pool.padding in ((0, 0), 0)
        and pool.dilation in ((1, 1), 1)
        and not pool.ceil_mode
        and not pool.return_indices
    )


def _largest(network: nn.Module, sample: torch.Tensor) -> tuple[int, object]:
    """Bytes of the largest activation of one sample, and the network's outputs for it."""
    largest = 0

    def note(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal largest
        for part in output if isinstance(output, tuple) else (output,):
            if isinstance(part, torch.Tensor):
                largest = max(largest, part.numel() * part.element_size())

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    try:
        with torch.inference_mode():
            outputs = network(sample)
    finally:
        for hook in hooks:
            hook.remove()
    return largest, outputs

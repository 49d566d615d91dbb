"""Loss and accuracy of a network over a whole dataset, for one flat vector of weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from qnnw._common.devices import as_device, one_torch_thread
from qnnw._common.extras import needs

with needs("train", "qnnw.training.evaluation"):
    import torch
    from torch import nn
    from torch.nn import functional

__all__ = ["LOSSES", "Evaluation", "Evaluator"]

# Input and largest activation of a chunk: what stays in a core's second- and third-level cache.
CHUNK_BYTES = 5 << 20
DEVICE_CHUNK = 10_000


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits, labels, reduction="sum")


def _binary(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Eq. 11 as printed, one class against the rest, on the softmax outputs."""
    log_p = functional.log_softmax(logits, dim=1)
    # log(1 - p) from the other classes' logits: no cancellation where p is near 1.
    others = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    spread = logits.unsqueeze(1).masked_fill(others, -torch.inf)
    log_rest = torch.logsumexp(spread, dim=2) - torch.logsumexp(logits, dim=1, keepdim=True)
    hot = functional.one_hot(labels, logits.shape[1]).bool()
    return -torch.where(hot, log_p, log_rest).sum()


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross-entropy": _cross_entropy,
    "binary": _binary,
}


@dataclass(frozen=True)
class Evaluation:
    """What one pass over a dataset gives.

    Attributes
    ----------
    loss
        CE + N_fail / N, eq. 10.
    cross_entropy
        CE, nats per sample.
    accuracy
        1 - N_fail / N.
    """

    loss: float
    cross_entropy: float
    accuracy: float


class Evaluator:
    """Evaluates a network on a fixed dataset for one vector of weights after another.

    The dataset is cut into chunks that fit the cache. On the CPU every chunk runs on one thread,
    and chunks run side by side, so that the result does not depend on the number of threads, to
    the last bit.

    Parameters
    ----------
    network
        The module; it is copied. Its parameters take the weights in ``named_parameters()`` order,
        each flattened in C order.
    inputs, labels
        float32 inputs and int64 labels.
    loss
        ``"cross-entropy"`` (mean softmax cross-entropy), or ``"binary"`` (eq. 11 as printed:
        one-vs-rest on the softmax outputs, summed over classes).
    device
        ``"cpu"``, ``"cuda"``, or any torch device.
    threads
        Chunks that run side by side on the CPU.
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
    ) -> None:
        if loss not in LOSSES:
            known = ", ".join(map(repr, LOSSES))
            raise ValueError(f"`loss` is {loss!r}; it must be one of {known}")
        if len(inputs) != len(labels) or len(inputs) == 0:
            raise ValueError(
                f"`labels` has length {len(labels)}; it must be that of `inputs`, "
                f"{len(inputs)}, and not 0"
            )
        self._loss = LOSSES[loss]
        self._device = as_device(device)
        self._plain = copy.deepcopy(network)
        self._network = _for_evaluation(network).to(self._device)
        if inputs.dim() == 4:
            # Convolutions, and the pools after them, are fastest with both in channels-last.
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            self._network = self._network.to(memory_format=torch.channels_last)
        count = sum(parameter.numel() for parameter in self._network.parameters())
        self._flat = torch.empty(count, device=self._device)
        self._slices = _slices(self._flat, self._network)
        self._joined = [m for m in self._network.modules() if isinstance(m, _ConvPool2x2)]
        self._samples = len(inputs)
        self._threads = threads if self._device.type == "cpu" else 1
        chunk = _chunk_size(self._network, inputs) if self._device.type == "cpu" else DEVICE_CHUNK
        inputs, labels = inputs.to(self._device), labels.to(self._device)
        self._chunks = [
            (inputs[start : start + chunk], labels[start : start + chunk])
            for start in range(0, self._samples, chunk)
        ]
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None

    @property
    def num_weights(self) -> int:
        """Number of weights that a call takes, M."""
        return self._flat.numel()

    def state_dict(self, weights: NDArray[np.float64]) -> dict[str, torch.Tensor]:
        """The plain network's state with these weights, on the CPU."""
        self._load(weights)
        for parameter, (_, part) in zip(self._plain.parameters(), self._slices, strict=True):
            parameter.data = part.detach().cpu().clone()
        return {name: tensor.detach().clone() for name, tensor in self._plain.state_dict().items()}

    def __call__(self, weights: NDArray[np.float64]) -> Evaluation:
        """Evaluate the network with these weights, float64 of shape (M,).

        Raises
        ------
        ValueError
            The number of weights is not the network's.
        """
        self._load(weights)
        with one_torch_thread():
            if self._pool is None or len(self._chunks) == 1:
                parts = [self._evaluate_chunk(chunk) for chunk in self._chunks]
            else:
                parts = list(self._pool.map(self._evaluate_chunk, self._chunks))
        cross_entropy = sum(part[0] for part in parts) / self._samples
        failed = sum(part[1] for part in parts) / self._samples
        return Evaluation(cross_entropy + failed, cross_entropy, 1.0 - failed)

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _load(self, weights: NDArray[np.float64]) -> None:
        if weights.shape != (self.num_weights,):
            raise ValueError(
                f"`weights` has shape {weights.shape}; the network needs ({self.num_weights},)"
            )
        with torch.inference_mode():
            self._flat.copy_(torch.from_numpy(weights))
            for parameter, part in self._slices:
                parameter.copy_(part)
        for module in self._joined:
            module.refresh()

    def _evaluate_chunk(self, chunk: tuple[torch.Tensor, torch.Tensor]) -> tuple[float, int]:
        inputs, labels = chunk
        with torch.inference_mode():
            logits = self._network(inputs)
            failed = (logits.argmax(dim=1) != labels).sum()
            return float(self._loss(logits, labels)), int(failed)


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
        self.register_buffer("wide", wide.contiguous(memory_format=torch.channels_last))
        self.register_buffer("wide_bias", conv.weight.new_zeros(4 * channels))

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


def _for_evaluation(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode, narrow convolutions joined with the 2x2 max-pools after them."""
    network = copy.deepcopy(network).eval()
    for module in list(network.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for place, (conv, pool) in enumerate(pairwise(list(module))):
            if _is_narrow(conv) and _is_plain_2x2(pool):
                module[place] = _ConvPool2x2(conv)
                module[place + 1] = nn.Identity()
    return network


def _is_narrow(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        isinstance(conv, nn.Conv2d)
        and conv.out_channels <= 16
        and conv.stride == (1, 1)
        and conv.padding in ((0, 0), "valid")
        and conv.dilation == (1, 1)
        and conv.groups == 1
    )


def _is_plain_2x2(pool: nn.Module) -> bool:
    pair = ((2, 2), 2)
    return (
        isinstance(pool, nn.MaxPool2d)
        and pool.kernel_size in pair
        and pool.stride in pair
        and pool.padding in ((0, 0), 0)
        and pool.dilation in ((1, 1), 1)
        and not pool.ceil_mode
        and not pool.return_indices
    )


def _slices(flat: torch.Tensor, network: nn.Module) -> list[tuple[nn.Parameter, torch.Tensor]]:
    """Every parameter with its part of the flat vector, in ``named_parameters()`` order."""
    parameters = list(network.parameters())
    parts = flat.split([parameter.numel() for parameter in parameters])  # type: ignore[no-untyped-call]
    return [
        (parameter, part.view(parameter.shape))
        for parameter, part in zip(parameters, parts, strict=True)
    ]


def _chunk_size(network: nn.Module, inputs: torch.Tensor) -> int:
    """Samples whose input and largest activation fit ``CHUNK_BYTES``."""
    largest = 0

    def note(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, torch.Tensor):
            largest = max(largest, output.numel() * output.element_size())

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    try:
        with torch.inference_mode():
            network(inputs[:1])
    finally:
        for hook in hooks:
            hook.remove()
    sample = inputs[0].numel() * inputs.element_size() + largest
    return max(1, CHUNK_BYTES // sample)

"""Loss and gradient of a network over one batch, by its flat vector of weights."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from qnnw._common.devices import as_device, one_torch_thread
from qnnw._common.extras import needs
from qnnw.training.evaluation import LOSSES

with needs("train", "qnnw.training.gradient"):
    import torch
    from torch import nn

__all__ = ["BatchGradient"]

# Samples of a chunk; fixed, so that sums do not depend on the number of threads.
CHUNK = 64


class BatchGradient:
    """Mean loss over a batch, and its gradient by the network's weights.

    On the CPU a batch is cut into chunks of 64 samples. Each runs on one thread, chunks run side
    by side, and their gradients are added in order: the result does not depend on the number of
    threads, to the last bit. The network must treat every sample by itself, as the networks of
    :mod:`qnnw.data.networks` do.

    Parameters
    ----------
    network
        The module; it is copied. Its parameters take the weights in ``named_parameters()`` order,
        each flattened in C order.
    loss, device, threads
        As for :class:`qnnw.training.evaluation.Evaluator`.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: str = "cross-entropy",
        device: str | torch.device = "cpu",
        threads: int = 1,
    ) -> None:
        self._loss = LOSSES[loss]
        self._device = as_device(device)
        self._network = network
        self._slots: list[_Slot] = []
        self._on_cpu = self._device.type == "cpu"
        self._pool = ThreadPoolExecutor(threads) if self._on_cpu and threads > 1 else None

    def __call__(
        self, weights: NDArray[np.float64], inputs: torch.Tensor, labels: torch.Tensor
    ) -> tuple[float, NDArray[np.float64]]:
        """Evaluate.

        Parameters
        ----------
        weights
            Shape (M,).
        inputs, labels
            One batch, on the device.

        Returns
        -------
        loss : float
            Mean over the batch.
        gradient : ndarray of float64, shape (M,)
        """
        size = CHUNK if self._on_cpu else len(labels)
        chunks = list(zip(inputs.split(size), labels.split(size), strict=True))  # type: ignore[no-untyped-call]
        while len(self._slots) < len(chunks):
            self._slots.append(_Slot(self._network, self._device))
        flat = torch.from_numpy(weights).to(torch.float32)
        work = [(slot, flat, *chunk) for slot, chunk in zip(self._slots, chunks, strict=False)]
        if not self._on_cpu:
            parts = [self._one(part) for part in work]
        else:
            with one_torch_thread():
                mapped = map if self._pool is None or len(work) == 1 else self._pool.map
                parts = list(mapped(self._one, work))
        loss = sum(part[0] for part in parts) / len(labels)
        gradient = parts[0][1]
        for part in parts[1:]:
            gradient = gradient + part[1]
        return loss, (gradient / len(labels)).cpu().numpy().astype(np.float64)

    def _one(
        self, work: tuple[_Slot, torch.Tensor, torch.Tensor, torch.Tensor]
    ) -> tuple[float, torch.Tensor]:
        slot, flat, inputs, labels = work
        slot.load(flat)
        with torch.enable_grad():
            loss = self._loss(slot.network(inputs), labels)
        gradients = torch.autograd.grad(loss, slot.parameters)
        return float(loss.detach()), torch.cat([gradient.reshape(-1) for gradient in gradients])

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


class _Slot:
    """A copy of the network for one chunk, its parameters parts of one flat vector."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network = copy.deepcopy(network).to(device).train()
        self.parameters = list(self.network.parameters())
        sizes = [parameter.numel() for parameter in self.parameters]
        self._flat = torch.empty(sum(sizes), device=device)
        for parameter, part in zip(self.parameters, self._flat.split(sizes), strict=True):  # type: ignore[no-untyped-call]
            parameter.data = shaped(part, parameter.shape)

    def load(self, flat: torch.Tensor) -> None:
        with torch.no_grad():
            self._flat.copy_(flat)


def shaped(part: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Give the part its shape; convolutions over one channel are strided as channels-last.

    With one channel both layouts are the same memory, and torch lets the strides decide which one
    the output gets. Max-pooling 8 channels is 7 times faster over channels-last.
    """
    if len(shape) == 4 and shape[1] == 1:
        return part.view(shape[0], shape[2], shape[3], 1).permute(0, 3, 1, 2)
    return part.view(shape)

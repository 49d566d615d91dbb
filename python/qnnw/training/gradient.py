"""Loss and gradient of a network over one batch, by its flat vector of weights."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.devices import as_device, one_torch_thread
from qnnw._common.extras import needs
from qnnw._common.seeds import derived_seed
from qnnw._common.team import Team
from qnnw.training.behaviour import (
    Behaviour,
    Buffers,
    buffers_of,
    named_parameters,
    seeded,
    set_buffers,
)
from qnnw.training.losses import step_loss

with needs("train", "qnnw.training.gradient"):
    import torch
    from torch import nn

    from qnnw.nn.copying import copied
    from qnnw.nn.layout import one_channel

# Samples of a chunk; fixed, so that sums do not depend on the number of threads.
CHUNK = 64
# Derived seeds from here on are of the network's own random numbers, such as dropout's.
NETWORK_DRAWS = 1 << 43


def batches(order: torch.Tensor, size: int, network: nn.Module) -> list[torch.Tensor]:
    """Cut the order of the samples into batches of ``size``; the last one has what is left.

    A network that normalises by the batch cannot learn from a last batch of one sample: there it
    goes to the batch before, which has then one more.
    """
    parts = list(order.split(size))  # type: ignore[no-untyped-call]
    if len(parts) > 1 and len(parts[-1]) == 1 and Behaviour.of(network).batch_statistics:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


class BatchGradient:
    """Mean loss over a batch, and its gradient by the network's weights.

    On the CPU a batch is cut into chunks of 64 samples. Each runs on one thread, chunks run side
    by side, and their gradients are added in order: the result does not depend on the number of
    threads, to the last bit. A network that need not treat every sample by itself, draws random
    numbers or keeps statistics gets its batches whole (:class:`qnnw.training.behaviour.Behaviour`),
    on one thread; its random numbers are decided by ``seed`` and the number of the step, and the
    global generators stay as they were.

    Parameters
    ----------
    network
        The module; it is copied, and trains: dropout drops, and statistics are kept. What is not
        named keeps its values.
    loss, device, threads, names
        As for :class:`qnnw.training.evaluation.Evaluator`.
    seed
        Of the network's own random numbers.
    label_smoothing
        As for :func:`qnnw.training.losses.step_loss`.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: str = "cross-entropy",
        device: str | torch.device = "cpu",
        threads: int = 1,
        names: Sequence[str] | None = None,
        seed: int = 0,
        label_smoothing: float = 0.0,
    ) -> None:
        self._loss = step_loss(loss, label_smoothing)
        self._device = as_device(device)
        self._network, self._names, self._seed = network, names, seed
        self.behaviour = Behaviour.of(network)
        self._slots = [_Slot(network, self._device, names, self.behaviour.own)]
        self._cuts = self._device.type == "cpu" and self.behaviour.whole is None
        self._team = Team(threads if self._cuts else 1)

    def arranged(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs on the device, in the dtype and the memory layout that suit the network."""
        inputs = inputs.to(self._device, self._slots[0].dtype)
        if inputs.dim() == 4 and not self.behaviour.own:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs

    def describe(self) -> list[str]:
        """Why batches are not cut, where they are not."""
        if self.behaviour.whole is None:
            return []
        return [f"batches are not cut into chunks: {self.behaviour.whole}"]

    def batches(self, order: torch.Tensor, size: int) -> list[torch.Tensor]:
        """The batches of an epoch; see :func:`batches`."""
        return batches(order, size, self._network)

    def num_batches(self, samples: int, size: int) -> int:
        """How many there are."""
        alone = self.behaviour.batch_statistics and samples > size and samples % size == 1
        return -(-samples // size) - alone

    def buffers(self) -> dict[str, torch.Tensor]:
        """What the network keeps besides its weights, such as running statistics; copies.

        Empty for a network of torch's own layers without statistics: nothing there changes.
        """
        if self.behaviour.whole is None:
            return {}
        return buffers_of(self._slots[0].network)

    def set_buffers(self, buffers: Buffers) -> None:
        """Go back to what :meth:`buffers` gave; an empty one is what the network had."""
        if self.behaviour.whole is not None:
            set_buffers(self._slots[0].network, buffers or buffers_of(self._network))

    def __call__(
        self,
        weights: NDArray[Any],
        inputs: torch.Tensor,
        labels: torch.Tensor,
        step: int = 0,
    ) -> tuple[float, NDArray[np.float64]]:
        """Evaluate.

        Parameters
        ----------
        weights
            Shape (M,).
        inputs, labels
            One batch, on the device.
        step
            Decides the network's random numbers.

        Returns
        -------
        loss : float
            Mean over the batch.
        gradient : ndarray of float64, shape (M,)

        Raises
        ------
        ValueError
            The network normalises by the batch, and it has one sample.
        """
        if self.behaviour.batch_statistics and len(labels) == 1:
            raise ValueError(
                "a batch of one sample has no statistics to normalise by; `batch_size` must be "
                "at least 2 for this network"
            )
        size = CHUNK if self._cuts else len(labels)
        chunks = list(zip(inputs.split(size), labels.split(size), strict=True))  # type: ignore[no-untyped-call]
        while len(self._slots) < len(chunks):
            self._slots.append(_Slot(self._network, self._device, self._names, False))
        flat = torch.from_numpy(weights).to(self._slots[0].flat_dtype)
        work = [(slot, flat, *chunk) for slot, chunk in zip(self._slots, chunks, strict=False)]
        draws: AbstractContextManager[None] = nullcontext()
        if self.behaviour.whole is not None:
            draws = seeded(derived_seed(self._seed, NETWORK_DRAWS + step), self._device)
        threads = one_torch_thread() if self._device.type == "cpu" else nullcontext()
        with draws, threads:
            parts = self._team.map(self._one, work)
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
        gradients = torch.autograd.grad(
            loss, slot.parameters, allow_unused=True, materialize_grads=True
        )
        joined = torch.cat([gradient.reshape(-1) for gradient in gradients])
        return float(loss.detach()), joined.to(slot.flat_dtype)

    def close(self) -> None:
        """Stop the threads."""
        self._team.close()


class _Slot:
    """A copy of the network for one chunk, its parameters parts of one flat vector."""

    def __init__(
        self, network: nn.Module, device: torch.device, names: Sequence[str] | None, own: bool
    ) -> None:
        self.network = copied(network).to(device).train()
        self.parameters = named_parameters(self.network, names)
        self.dtype = next((p.dtype for p in self.network.parameters()), torch.float32)
        dtypes = {parameter.dtype for parameter in self.parameters}
        self.flat_dtype = torch.float64 if torch.float64 in dtypes else torch.float32
        sizes = [parameter.numel() for parameter in self.parameters]
        self._flat = torch.empty(sum(sizes), device=device, dtype=self.flat_dtype)
        self._parts = list(self._flat.split(sizes))  # type: ignore[no-untyped-call]
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        self._shared = dtypes == {self.flat_dtype}
        for parameter, part in zip(self.parameters, self._parts, strict=True):
            parameter.requires_grad_(True)
            if self._shared:
                shape = parameter.shape
                # Max-pooling 8 channels is 7 times faster over channels-last.
                last = not own and len(shape) == 4 and shape[1] == 1
                parameter.data = one_channel(part, shape) if last else part.view(shape)

    def load(self, flat: torch.Tensor) -> None:
        with torch.no_grad():
            self._flat.copy_(flat)
            if not self._shared:
                for parameter, part in zip(self.parameters, self._parts, strict=True):
                    parameter.copy_(part.view(parameter.shape))

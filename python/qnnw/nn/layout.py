"""Where each target lies: from a source's flat weights to tensors, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qnnw.weights.targets import Target

# Parameters of torch lie on lines of 64 bytes, and some kernels round by where their input lies:
# made weights that lie so too give the bits of a plain network.
LINE_BYTES = 64


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """What goes from the host to a device goes here."""
    return tensor.to(device)


def to_host(tensor: Tensor) -> Tensor:
    """What comes back goes here."""
    return tensor.to("cpu")


@dataclass
class _Buffer:
    """The targets of one dtype and device, side by side, each on a line of its own."""

    dtype: torch.dtype
    device: torch.device
    size: int = 0
    #: Place in the buffer, place in the flat weights, length; one a target.
    places: list[tuple[int, int, int]] = field(default_factory=list)
    #: Lengths of targets and of what lies between them, in turn.
    cuts: list[int] = field(default_factory=list)

    def add(self, start: int, length: int) -> int:
        """Take a target in; gives its number here."""
        line = max(1, LINE_BYTES // self.dtype.itemsize)
        gap = -length % line
        self.places.append((self.size, start, length))
        self.cuts += [length, gap]
        self.size += length + gap
        return len(self.places) - 1

    def filled(self, weights: NDArray[Any]) -> Tensor:
        """The buffer with these weights: one copy, and one more to another device."""
        buffer = torch.zeros(self.size, dtype=self.dtype)
        if self.dtype == torch.bfloat16:
            flat = torch.from_numpy(np.ascontiguousarray(weights))
            for place, start, length in self.places:
                buffer[place : place + length] = flat[start : start + length]
        else:
            values = buffer.numpy()
            for place, start, length in self.places:
                values[place : place + length] = weights[start : start + length]
        return to_device(buffer, self.device)

    def holding(self, tensors: Sequence[Tensor]) -> Tensor:
        """The buffer with these targets' values, in C order."""
        buffer = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        for (place, _, length), tensor in zip(self.places, tensors, strict=True):
            buffer[place : place + length] = tensor.reshape(-1)
        return buffer

    def joined(self, flat: Tensor) -> Tensor:
        """The buffer from flat weights that are on its device: one operator."""
        gaps = torch.zeros(LINE_BYTES, dtype=flat.dtype, device=flat.device)
        pieces = []
        for (_, start, length), gap in zip(self.places, self.cuts[1::2], strict=True):
            pieces += [flat[start : start + length], gaps[:gap]]
        return torch.cat(pieces).to(self.dtype)

    def read(self, buffer: Tensor, weights: NDArray[np.float64]) -> None:
        """Write the buffer's values to their places in the flat weights."""
        host = to_host(buffer.detach())
        values = (host.float() if self.dtype == torch.bfloat16 else host).numpy()
        for place, start, length in self.places:
            weights[start : start + length] = values[place : place + length]


class Layout:
    """The places of a sequence of targets in buffers, one for each dtype and device among them.

    Parameters
    ----------
    targets
        In the order of the flat weights.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = tuple(targets)
        self._buffers: dict[tuple[torch.dtype, torch.device], _Buffer] = {}
        self._numbers: list[tuple[int, int]] = []
        self.num_weights = 0
        for target in self.targets:
            key = (target.dtype, target.device)
            buffer = self._buffers.setdefault(key, _Buffer(*key))
            self._numbers.append(
                (list(self._buffers).index(key), buffer.add(self.num_weights, target.numel))
            )
            self.num_weights += target.numel

    def pack(self, weights: NDArray[Any]) -> tuple[Tensor, ...]:
        """From flat weights, shape (M,), to the buffers."""
        return tuple(buffer.filled(weights) for buffer in self._buffers.values())

    def hold(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """From targets to the buffers: the inverse of :meth:`split`."""
        return tuple(
            buffer.holding(
                [t for t, (own, _) in zip(tensors, self._numbers, strict=True) if own == number]
            )
            for number, buffer in enumerate(self._buffers.values())
        )

    def unpack(self, buffers: Sequence[Tensor]) -> NDArray[np.float64]:
        """From buffers to flat values, float64, shape (M,)."""
        weights = np.empty(self.num_weights)
        for buffer, tensor in zip(self._buffers.values(), buffers, strict=True):
            buffer.read(tensor, weights)
        return weights

    @property
    def device(self) -> torch.device | None:
        """Where all targets are; ``None``: in several places."""
        devices = {device for _, device in self._buffers}
        return devices.pop() if len(devices) == 1 else None

    def place(self, flat: Tensor) -> tuple[Tensor, ...]:
        """:meth:`pack` of weights that are on the targets' device already."""
        return tuple(buffer.joined(flat) for buffer in self._buffers.values())

    def flat(self, buffers: Sequence[Tensor]) -> Tensor:
        """:meth:`unpack` where the buffers are: float64 if one of them is, else float32."""
        double = any(tensor.dtype == torch.float64 for tensor in buffers)
        dtype = torch.float64 if double else torch.float32
        parts = []
        for number, place in self._numbers:
            start, _, length = list(self._buffers.values())[number].places[place]
            parts.append(buffers[number][start : start + length].to(dtype))
        return torch.cat(parts)

    def split(self, buffers: Sequence[Tensor]) -> list[Tensor]:
        """From buffers to the targets: views, in their order.

        One cut a buffer: the way back joins the gradients once, not once a target.
        """
        parts = [
            tensor.split_with_sizes(buffer.cuts)[::2]
            for buffer, tensor in zip(self._buffers.values(), buffers, strict=True)
        ]
        return [
            _shaped(parts[number][place], target)
            for target, (number, place) in zip(self.targets, self._numbers, strict=True)
        ]

    def flat_to_targets(self, flat: Tensor) -> list[Tensor]:
        """The same from one flat tensor, in operators that a compiler can follow."""
        parts = flat.split_with_sizes([target.numel for target in self.targets])
        return [
            _shaped(part.to(device=target.device, dtype=target.dtype).clone(), target)
            for target, part in zip(self.targets, parts, strict=True)
        ]


def _shaped(part: Tensor, target: Target) -> Tensor:
    shape = target.shape
    if not target.channels_last:
        return part.view(shape)
    if shape[1] == 1:
        return one_channel(part, shape)
    kind = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    return part.view(shape).contiguous(memory_format=kind)


def one_channel(part: Tensor, shape: Sequence[int]) -> Tensor:
    """A kernel over one channel, strided as channels-last.

    Both formats are the same memory there, and torch lets the strides decide which one comes out.
    """
    axes = (0, len(shape) - 1, *range(1, len(shape) - 1))
    return part.view(shape[0], *shape[2:], 1).permute(axes)

"""Sources whose weights are made on an accelerator, from angles to weights and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import singledispatch
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from qnnw._common.extras import needs
from qnnw.circuit.ansatz import EfficientSU2
from qnnw.weights.circuit import CircuitSource
from qnnw.weights.circuits import CircuitsSource
from qnnw.weights.delta import DeltaSource
from qnnw.weights.source import SMALLEST

with needs("train", "qnnw.weights.device_sources"):
    import torch
    from torch import Tensor

    from qnnw.weights.on_device import DeviceCircuits

Numbers = Mapping[str, Tensor]
Pullback = Callable[[Tensor], dict[str, Tensor]]
# What a source needs on a device: made once, and gone with the source.
_KEPT: WeakKeyDictionary[Any, dict[torch.device, Any]] = WeakKeyDictionary()


def goes_on(source: Any) -> bool:
    """Whether :func:`forward_on` takes it: EfficientSU2, not measured, and changes by it."""
    inner = source.source if isinstance(source, DeltaSource) else source
    if isinstance(inner, CircuitSource):
        exact = inner.shots is None and inner.execution is None
        return exact and isinstance(inner.ansatz, EfficientSU2)
    return isinstance(inner, CircuitsSource) and inner.shots is None


@singledispatch
def forward_on(source: Any, numbers: Numbers, device: torch.device) -> tuple[Tensor, Pullback]:
    """A source's ``forward`` on a device: nothing goes to the host.

    Parameters
    ----------
    source
        One that :func:`goes_on`.
    numbers
        Its trained numbers by group, on the device.
    device
        Where.

    Returns
    -------
    weights : Tensor of the source's dtype, shape (M,)
    pullback : callable
        Takes dL/dweights to dL/d(every group), float64.
    """
    raise TypeError(f"{type(source).__name__} is not made on {device}: {list(numbers)}")


@forward_on.register
def _(source: DeltaSource, numbers: Numbers, device: torch.device) -> tuple[Tensor, Pullback]:
    made, pullback = forward_on(source.source, numbers, device)
    kept = _KEPT.setdefault(source, {})
    if device not in kept:
        # By this device's own rounding: at the start the difference is 0 to the last bit.
        start = {name: group.start for name, group in source.groups.items()}
        there = {name: torch.from_numpy(values).to(device) for name, values in start.items()}
        kept[device] = forward_on(source.source, there, device)[0]
    return torch.neg(kept[device] - made), pullback


@forward_on.register
def _(source: CircuitSource, numbers: Numbers, device: torch.device) -> tuple[Tensor, Pullback]:
    kept = _KEPT.setdefault(source, {})
    if device not in kept:
        assert isinstance(source.ansatz, EfficientSU2), "goes_on takes no other"
        circuits = DeviceCircuits(source.ansatz, source.weight_map, device, _dtype(source))
        sizes = None if source.tensors is None else torch.tensor(source.tensors, device=device)
        kept[device] = circuits, sizes, _scale(source, device)
    circuits, sizes, scale = kept[device]
    names = [name for name in numbers if name != "angles"]
    given = torch.cat([numbers[name] for name in names]).double()
    gammas = _usable(given)
    each = gammas if sizes is None else gammas.repeat_interleave(sizes)
    made, back = circuits.forward(numbers["angles"].double()[None], each)

    def pullback(cotangent: Tensor) -> dict[str, Tensor]:
        by_angles, by_gamma = back(_times(cotangent, scale)[None])
        if sizes is not None:
            parts = by_gamma.split(source.tensors)
            by_gamma = torch.stack([part.sum() for part in parts])
        by_gamma = by_gamma * torch.copysign(torch.ones_like(given), given)
        return {"angles": by_angles[0], **dict(zip(names, by_gamma.split(1), strict=True))}

    return _times(made[0], scale), pullback


@forward_on.register
def _(source: CircuitsSource, numbers: Numbers, device: torch.device) -> tuple[Tensor, Pullback]:
    kept = _KEPT.setdefault(source, {})
    if device not in kept:
        kept[device] = _stacks_on(source, device), _scale(source, device)
    stacks, scale = kept[device]
    given = numbers["gamma"].double()
    gammas, flat = _usable(given), numbers["angles"].double()
    total = sum(source.sizes)
    made = torch.empty(total, dtype=_dtype(source), device=device)
    backs = []
    for circuits, (places, base, offsets, of_gamma, weights) in stacks:
        angles = flat[places] if base is None else flat[places] + base
        if offsets is not None:
            own = numbers["offsets"].double().view(-1, source.offset)[offsets[1]]
            angles = angles.scatter_add(1, offsets[0], own)
        rows, back = circuits.forward(angles, gammas[of_gamma])
        made[weights] = rows
        backs.append(back)

    def pullback(cotangent: Tensor) -> dict[str, Tensor]:
        by_weights = torch.zeros(total, dtype=_dtype(source), device=device)
        by_weights[: source.num_weights] = _times(cotangent, scale)
        by = {name: torch.zeros_like(n, dtype=torch.float64) for name, n in numbers.items()}
        for (_, (places, _, offsets, of_gamma, weights)), back in zip(stacks, backs, strict=True):
            by_angles, by_gamma = back(by_weights[weights])
            if source.shared:
                by["angles"][places[0]] += by_angles.sum(dim=0)
            else:
                by["angles"][places] = by_angles
            if offsets is not None:
                moved = by_angles.gather(1, offsets[0])
                by["offsets"].view(-1, source.offset)[offsets[1]] = moved
            if source.gammas == "each":
                by["gamma"][of_gamma] = by_gamma
            else:
                by["gamma"] += by_gamma.sum()
        by["gamma"] *= torch.copysign(torch.ones_like(given), given)
        return by

    return _times(made[: source.num_weights], scale), pullback


def _stacks_on(source: CircuitsSource, device: torch.device) -> list[tuple[DeviceCircuits, Any]]:
    """Every stack's circuits and places, as tensors on the device."""
    found = []
    for stack in source.stacks:
        circuits = DeviceCircuits(stack.ansatz, stack.weight_map, device, _dtype(source))
        numbers = torch.from_numpy(stack.numbers).to(device)
        of_gamma = numbers if source.gammas == "each" else torch.zeros_like(numbers)
        base = None if stack.base is None else torch.from_numpy(stack.base).to(device)
        offsets = None
        if stack.offsets is not None:
            offsets = torch.from_numpy(stack.offsets).to(device), numbers
        weights = stack.weights[:, None] + np.arange(stack.weight_map.num_weights)
        places = torch.from_numpy(stack.angles).to(device)
        found.append(
            (circuits, (places, base, offsets, of_gamma, torch.from_numpy(weights).to(device)))
        )
    return found


def _dtype(source: CircuitSource | CircuitsSource) -> torch.dtype:
    return torch.float32 if source.dtype == np.float32 else torch.float64


def _scale(source: CircuitSource | CircuitsSource, device: torch.device) -> Tensor | None:
    return None if source.scale is None else torch.tensor(source.scale).to(device, _dtype(source))


def _times(values: Tensor, scale: Tensor | None) -> Tensor:
    return values if scale is None else values.to(scale.dtype) * scale


def _usable(gammas: Tensor) -> Tensor:
    return gammas.abs().clamp(min=SMALLEST)

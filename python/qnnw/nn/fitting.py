"""Whether what a file holds of a model fits a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qnnw._common.documents import Schema, hold
from qnnw.nn.maker import digest
from qnnw.weights.source import (
    Description,
    WeightSource,
    from_description,
    named,
    sizes_of,
)
from qnnw.weights.targets import Target, find_targets

SOURCE, BASE = "source.", "base."
_TARGET: Schema = {"names": list, "shape": list, "dtype": str, "padding?": int}
_BASE: Schema = {"sha256": str, "trainable": list}


def checked_state(module: nn.Module) -> dict[str, Tensor]:
    """The module's state; a ``TypeError`` names what is no dense tensor."""
    state: dict[str, Any] = module.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"the network's state has {name!r} of type {type(value).__name__}; only tensors "
                "are saved"
            )
        if value.layout != torch.strided or value.is_quantized:
            raise TypeError(f"the network's state has {name!r}, which is no dense plain tensor")
    return state


def source_of(
    description: dict[str, Any], targets: tuple[Target, ...], tensors: Mapping[str, Tensor]
) -> tuple[WeightSource, dict[str, Tensor]]:
    """The source and its numbers, checked."""
    arrays = {name: tensor.numpy() for name, tensor in named(tensors, SOURCE).items()}
    told = Description(description["source"], arrays)
    _check_sizes(told, targets, tensors)
    source = from_description(told)
    numbers = {name: tensors[name] for name in source.groups}
    for name, group in source.groups.items():
        _check_shape(name, numbers[name], len(group.start))
    return source, numbers


def base_of(
    found: list[Tensor], tensors: Mapping[str, Tensor], kept: dict[str, Any]
) -> list[Tensor]:
    """The values that are changed: the file's where it has them, else the network's own."""
    hold(kept, _BASE, "its base")
    own = named(tensors, BASE)
    values = [own[str(number)] for number in range(len(found))] if own else found
    if digest(values) != kept["sha256"]:
        raise ValueError(
            f"the adapter was trained on a network whose weights have the fingerprint "
            f"{kept['sha256'][:16]}…, this one's have {digest(values)[:16]}…: load the weights "
            "that it was trained on first"
        )
    return values


def _check_sizes(
    told: Description, targets: tuple[Target, ...], tensors: Mapping[str, Tensor]
) -> None:
    """Hold what a source would make against the network, before anything of that size is made."""
    sizes = sizes_of(told)
    if sizes is None:
        return
    needed = sum(target.numel for target in targets)
    if sizes[0] != needed:
        raise ValueError(f"it makes {sizes[0]} weights; the network takes {needed}")
    for name, size in sizes[1].items():
        _check_shape(name, tensors[name], size)


def _check_shape(name: str, numbers: Tensor, size: int) -> None:
    if tuple(numbers.shape) != (size,) or not numbers.is_floating_point():
        shape = f"{tuple(numbers.shape)} and dtype {numbers.dtype}"
        raise ValueError(f"it has {name} of shape {shape}, not real numbers of shape ({size},)")


def check_rest(
    module: nn.Module, rest: dict[str, Tensor], targets: tuple[Target, ...], frozen: str | None
) -> None:
    """Raise unless the file's other values and the module's make a whole network."""
    state = checked_state(module)
    made = {name for target in targets for name in target.names}
    wanted = {name: tensor for name, tensor in state.items() if name not in made}
    unknown = sorted(set(rest) - set(wanted))
    if unknown:
        raise ValueError(f"the network has no {unknown[0]!r}")
    for name, tensor in rest.items():
        if tensor.shape != wanted[name].shape:
            raise ValueError(
                f"{name!r} has shape {tuple(tensor.shape)}, not {tuple(wanted[name].shape)}"
            )
    left = [name for name in wanted if name not in rest]
    if not left and frozen is None:
        return
    if frozen is None:
        raise ValueError(f"the network has {left[0]!r}, the file has not")
    if digest([wanted[name] for name in left]) != frozen:
        raise ValueError(
            "the network's frozen parameters are not those that it was saved with; load them "
            "first, or save with include_frozen=True"
        )


def matching_targets(module: nn.Module, described: list[dict[str, Any]]) -> tuple[Target, ...]:
    """The module's parameters that were targets, checked against what the file says of them."""
    known = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    for entry in described:
        if not isinstance(entry, dict):
            raise ValueError("one of its targets is no object")
        hold(entry, _TARGET, "a target")
        if not entry["names"] or not all(isinstance(name, str) for name in entry["names"]):
            raise ValueError(f"a target has the names {entry['names']!r}")
        if not set(entry["names"]) <= known:
            raise ValueError(f"the network has no parameter {entry['names'][0]!r}")
    wanted = [entry["names"][0] for entry in described]
    found = find_targets(module, [name.replace("[", "[[]") for name in wanted])
    for target, entry in zip(found, described, strict=True):
        if target.describe() != entry:
            raise ValueError(
                f"the network's parameter {target.name!r} is {target.describe()}, the file's is "
                f"{entry}"
            )
    return found

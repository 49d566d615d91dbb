"""What wrapping, unwrapping and checking a module take; :class:`QuantumTrain` calls them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qnnw._common.checks import instance
from qnnw.nn.copying import copied
from qnnw.nn.made import install, is_made, places_of, uninstall
from qnnw.nn.maker import Made, Maker
from qnnw.weights.circuit import CircuitSource
from qnnw.weights.source import WeightSource
from qnnw.weights.targets import Target, matching


def check_module(module: Any) -> None:
    """Raise a ``TypeError`` or ``ValueError`` unless it can be wrapped."""
    instance("module", module, nn.Module, "a torch.nn.Module")
    if isinstance(module, torch.jit.ScriptModule):
        raise TypeError(
            "`module` is a ScriptModule, whose weights are fixed; pass it before scripting"
        )
    for name, part in module.named_modules():
        where = f"has {name!r}, which is" if name else "is"
        # By the maker: any wrapper has one.
        if "_maker" in part.__dict__:
            raise TypeError(f"`module` {where} a QuantumTrain already; pass the network itself")
        if is_made(part):
            raise ValueError(
                f"`module` {where} wrapped by a QuantumTrain already, itself and not a copy "
                "(copy=False); take another"
            )


def check_source(source: Any, targets: Sequence[Target]) -> None:
    """Raise unless it is a source of as many weights."""
    need = "a WeightSource, or a function of the number of weights that gives one"
    instance("source", source, WeightSource, need)
    size = sum(target.numel for target in targets)
    if source.num_weights != size:
        raise ValueError(f"`source` makes {source.num_weights} weights; the targets have {size}")


def prepared(
    module: nn.Module,
    targets: Sequence[Target],
    trainable: str | Iterable[str] | None = None,
    copy: bool | None = None,
) -> nn.Module:
    """What is to be wrapped: see :class:`QuantumTrain`.

    Of the parameters that are not targets those that ``trainable`` names train, and no other;
    ``None`` leaves them as they are.
    """
    made = {target.name for target in targets}
    others = {name: p for name, p in module.named_parameters() if name not in made}
    train = {name for name, parameter in others.items() if parameter.requires_grad}
    if trainable is not None:
        train = set(matching(list(others), trainable, "trainable"))
    memo: dict[int, Any] = {}
    if copy is None:
        for name, parameter in module.named_parameters():
            if name in made:  # it would only be thrown away
                memo[id(parameter)] = nn.Parameter(torch.empty(0))
            elif name not in train:
                memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
    if copy is not False:
        module = copied(module, memo)
    if trainable is not None:
        for name, parameter in module.named_parameters():
            if name not in made:
                parameter.requires_grad_(name in train)
    return module


def install_targets(module: nn.Module, targets: Sequence[Target], maker: Maker) -> None:
    """Take the targets out of their layers."""
    places: dict[nn.Module, dict[str, int]] = {}
    for number, target in enumerate(targets):
        if target.kept is not None:
            maker.kept[number] = target.kept
        for name in target.names:
            path, _, own = name.rpartition(".")
            places.setdefault(module.get_submodule(path), {})[own] = number
    for layer, numbers in places.items():
        install(layer, numbers, maker)
    maker.layers = list(places)


def merged(module: nn.Module, maker: Maker) -> nn.Module:
    """A plain copy of the module, its targets parameters again."""
    parameters = [
        nn.Parameter(tensor.detach().clone(), target.requires_grad)
        for target, tensor in zip(maker.targets, maker.made().tensors, strict=True)
    ]
    # The copy's layers keep this maker until they let it go.
    plain = copied(module, {id(maker): maker})
    for layer in list(plain.modules()):
        if is_made(layer):
            values = {name: parameters[number] for name, number in places_of(layer).items()}
            uninstall(layer, values)
    return plain


def check_untouched(maker: Maker, made: Made) -> None:
    """Raise a ``RuntimeError`` if the module changed what was made for it."""
    replaced = maker.replaced()
    if replaced is None and not made.changed(torch.is_grad_enabled()):
        return
    maker.drop()
    if replaced is None:
        pairs = enumerate(zip(made.tensors, maker.made().tensors, strict=True))
        same = ((n, now.shape == was.shape and torch.equal(now, was)) for n, (now, was) in pairs)
        replaced = next((number for number, kept in same if not kept), 0)
    which = maker.targets[replaced].name
    raise RuntimeError(
        f"the network changed its weight {which!r} in this call, which is made and has no state "
        "of its own: gradients would be wrong; leave it out with `target_parameters`"
    )


def values_of(module: nn.Module, targets: Sequence[Target]) -> list[Tensor]:
    """The targets' own values."""
    return [module.get_parameter(target.name).detach() for target in targets]


def numbers_of(source: WeightSource, targets: Sequence[Target]) -> dict[str, nn.Parameter]:
    """A source's numbers where they start, by group: float64 if a target is, else float32."""
    double = any(target.dtype == torch.float64 for target in targets)
    dtype = torch.float64 if double else torch.float32
    return {
        group: nn.Parameter(torch.from_numpy(start.start.copy()).to(dtype))
        for group, start in source.groups.items()
    }


def fingerprint(
    source: WeightSource, targets: Sequence[Target], base_digest: str | None = None
) -> bytes:
    """What tells a source, its targets and the network that they change from others: 32 bytes."""
    sha = hashlib.sha256()
    if isinstance(source, CircuitSource):
        weight_map = source.weight_map
        factors = _factors(source, targets)
        # As the first release wrote it: its states are known.
        sha.update(repr((source.ansatz, weight_map.mapping, factors)).encode())
        for array in (weight_map.first, weight_map.second, weight_map.signs):
            sha.update(array.tobytes())
        if weight_map.basis_signs is not None:
            sha.update(weight_map.basis_signs.tobytes())
        if source.tensors is not None:
            sha.update(repr(source.tensors).encode())
    else:
        described = source.describe()
        sha.update(json.dumps(described.settings, sort_keys=True).encode())
        for name in sorted(described.arrays):
            sha.update(name.encode() + described.arrays[name].tobytes())
    listed: list[Any] = [(target.names, target.shape) for target in targets]
    padded = [(t.name, t.padding) for t in targets if t.padding is not None]
    sha.update(repr([*listed, padded] if padded else listed).encode())
    if base_digest is not None:
        sha.update(base_digest.encode())
    return sha.digest()


def _factors(source: CircuitSource, targets: Sequence[Target]) -> list[float]:
    """The scale's factor of every target; all of them where it varies within one."""
    if source.scale is None:
        return [1.0] * len(targets)
    starts = np.cumsum([0, *(target.numel for target in targets)])
    first = source.scale[starts[:-1]]
    same = np.array_equal(np.repeat(first, np.diff(starts)), source.scale)
    return [float(factor) for factor in (first if same else source.scale)]


def check_state(model: Any, state_dict: dict[str, Any], prefix: str) -> None:
    """Raise a ``ValueError`` for another model's state; bring an older release's into form."""
    found = state_dict.get(prefix + "_extra_state")
    if type(found).__name__ == "_EXTRA_STATE":
        # torch.distributed.checkpoint's sign that this part of a divided state has none.
        found = None
    if found is not None and not _same_mark(found, model.fingerprint):
        raise ValueError(
            "`state_dict` belongs to another circuit or map; make the model with the same reps, "
            "entanglement, signs, mapping, scale, seed and target_parameters"
        )
    for name, number in model.numbers.items():
        key = prefix + model._maker.names[name]
        given = state_dict.get(key)
        if isinstance(given, Tensor) and given.shape == () and number.shape == (1,):
            state_dict[key] = given.reshape(1)


def _same_mark(found: Any, mark: Tensor) -> bool:
    """Whether a state's fingerprint is this one; averages of equal ones are equal."""
    try:
        values = torch.as_tensor(found).to(device="cpu", dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return False
    return values.shape == mark.shape and torch.equal(values, mark.cpu().double())

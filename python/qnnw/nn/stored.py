"""What a file holds of a wrapped model, and how one is made again from it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qnnw._common.checks import integer
from qnnw._common.documents import Schema, hold, plain_bytes, strictly
from qnnw._common.extras import needs
from qnnw._common.files import write_atomically
from qnnw.nn import released
from qnnw.weights.source import Description, WeightSource, from_description, sizes_of

with needs("train", "qnnw.nn"):
    import torch
    from torch import Tensor, nn

    from qnnw.nn import tensorfile
    from qnnw.nn.tensorfile import ModelFileError
    from qnnw.nn.wrapping import prepared
    from qnnw.weights.targets import Target, find_targets

__all__ = ["describe", "load", "rebuild", "rounded_alike", "save", "weights_digest"]

Build = Callable[[nn.Module, tuple[Target, ...], WeightSource], Any]

FORMAT = 2
MODEL, CONFIG = "model.safetensors", "config.json"
# What is none of the numbers keeps its own name behind one of these.
SOURCE, REST, ROWS = "source.", "module.", "rows."
_DESCRIPTION: Schema = {
    "format": int, "source": dict, "targets": list, "draws": int, "weights_sha256": str,
    "frozen_sha256": (str, type(None)), "weights_sums?": (list, type(None)),
}  # fmt: skip
_TARGET: Schema = {"names": list, "shape": list, "dtype": str, "padding?": int}
# Sums of the weights under random signs tell whether others are the same but for rounding.
SUMS = 4


def save(model: Any, directory: str | os.PathLike[str], *, include_frozen: bool = False) -> None:
    """Write a model to a folder, to be trained on or merged later.

    ``model.safetensors`` holds the numbers, what else trains, and buffers; its metadata hold the
    source's seeds and settings and a checksum. Arrays are written only where no seed makes them,
    frozen parameters only where asked: of these the file keeps a digest. ``config.json`` says the
    same for a reader. Both are written atomically.

    Parameters
    ----------
    model
        The model.
    directory
        Made if it is not there.
    include_frozen
        Write the frozen parameters too: the folder is then read into any network of that shape.

    Raises
    ------
    TypeError
        The network's state has something that is no dense tensor; the message names it.
    OSError
        It cannot be written.
    """
    folder = Path(directory)
    tensors, description = describe(model, include_frozen)
    folder.mkdir(parents=True, exist_ok=True)
    tensorfile.write(folder / MODEL, tensors, description)
    text = json.dumps(description, indent=2) + "\n"
    write_atomically(folder / CONFIG, text.encode())


def load(
    build: Build,
    module: nn.Module,
    directory: str | os.PathLike[str],
    *,
    copy: bool | None = None,
) -> Any:
    """Read what :func:`save` wrote, in this release or an earlier one.

    Parameters
    ----------
    build
        Takes module, targets and source to the model.
    module
        A network with the names and shapes of the one that was saved. What the folder holds comes
        in the place of its values; frozen parameters that the folder does not hold must be those
        that it was saved with, and are then in common with it.
    directory
        The folder.
    copy
        ``False``: wrap the module itself, which is changed only if everything fits.

    Raises
    ------
    ModelFileError
        The folder is missing, damaged, of another format, or belongs to another network.
    """
    folder = Path(directory)
    tensors, description = tensorfile.read(folder / MODEL)
    config = folder / CONFIG
    try:
        if strictly(plain_bytes(config, ModelFileError)) != description:
            raise ModelFileError(
                f"{str(config)!r} belongs to another state than {MODEL} beside it; without it that "
                "file is read alone"
            )
    except FileNotFoundError:
        pass
    except ValueError as error:
        raise ModelFileError(f"{str(config)!r} is damaged: {error}") from error
    return rebuild(build, module, tensors, description, folder / MODEL, copy)


def describe(model: Any, frozen: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the description of a model's file, frozen parameters among them or not."""
    source = model.source.describe()
    tensors = {name: number.detach() for name, number in model.numbers.items()}
    for name, array in source.arrays.items():
        tensors[SOURCE + name] = torch.from_numpy(array.copy())
    for number, row in model._maker.kept.items():
        tensors[f"{ROWS}{number}"] = row
    state = _checked_state(model.module)
    frozen_names = set() if frozen else _frozen_names(model.module)
    left_out = [name for name in state if name in frozen_names]
    for name, tensor in state.items():
        if name not in left_out:
            tensors[REST + name] = tensor
    sums, _ = _sums(model)
    description = {
        "format": FORMAT,
        "source": source.settings,
        "targets": [target.describe() for target in model.targets],
        "draws": int(model.draws),
        "weights_sha256": weights_digest(model),
        "weights_sums": sums if np.isfinite(sums).all() else None,
        "frozen_sha256": _digest([state[name] for name in left_out]) if left_out else None,
    }
    return tensors, description


def _checked_state(module: nn.Module) -> dict[str, Tensor]:
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


def _frozen_names(module: nn.Module) -> set[str]:
    """Parameters that do not train, by all of their names."""
    parameters = module.named_parameters(remove_duplicate=False)
    return {name for name, parameter in parameters if not parameter.requires_grad}


def rebuild(
    build: Build,
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    description: dict[str, Any],
    path: Path,
    copy: bool | None = None,
) -> Any:
    """The model that a file describes; ModelFileError, and nothing changed, if it does not fit."""
    try:
        if description.get("format") == released.FORMAT:
            tensors, description = released.upgraded(dict(tensors), description)
        if description.get("format") != FORMAT:
            raise ValueError(
                f"it has format {description.get('format')!r}; this version of qnnw reads formats "
                f"{released.FORMAT} and {FORMAT}"
            )
        hold(description, _DESCRIPTION)
        sums = description.get("weights_sums")
        if sums is not None and [type(total) for total in sums] != [float] * SUMS:
            raise ValueError(f"its `weights_sums` are {sums}, not {SUMS} real numbers")
        draws = integer("draws", description["draws"], 0, 2**63 - 1)
        targets = _matching_targets(module, description["targets"])
        rest = _named(tensors, REST)
        _check_rest(module, rest, targets, description["frozen_sha256"])
        arrays = {name: tensor.numpy() for name, tensor in _named(tensors, SOURCE).items()}
        told = Description(description["source"], arrays)
        _check_sizes(told, targets, tensors)
        source = from_description(told)
        numbers = {name: tensors[name] for name in source.groups}
        for name, group in source.groups.items():
            _check_shape(name, numbers[name], len(group.start))
        # A file with frozen parameters brings its own; else they are the module's.
        whole = True if description["frozen_sha256"] is None else None
        ready = prepared(module, targets, copy=False if copy is False else whole)
        model = build(ready, targets, source)
        with torch.no_grad():
            for name, number in model.numbers.items():
                number.data = numbers[name].clone()
            model.draws.fill_(draws)
        model._maker.kept = {int(n): row for n, row in _named(tensors, ROWS).items()}
        model.module.load_state_dict(rest, strict=False)
    except ModelFileError:
        raise
    except (LookupError, ArithmeticError, AttributeError, MemoryError) as error:
        # An odd description: none of these says anything to a reader by itself.
        kind = type(error).__name__
        raise ModelFileError(f"{str(path)!r} does not fit: {kind}: {error}") from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{str(path)!r} does not fit: {error}") from error
    return model


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


def _named(tensors: Mapping[str, Tensor], start: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def _check_rest(
    module: nn.Module, rest: dict[str, Tensor], targets: tuple[Target, ...], frozen: str | None
) -> None:
    """Raise unless the file's other values and the module's make a whole network."""
    state = _checked_state(module)
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
    if _digest([wanted[name] for name in left]) != frozen:
        raise ValueError(
            "the network's frozen parameters are not those that it was saved with; load them "
            "first, or save with include_frozen=True"
        )


def _matching_targets(module: nn.Module, described: list[dict[str, Any]]) -> tuple[Target, ...]:
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


def weights_digest(model: Any) -> str:
    """SHA-256 of the made weights."""
    with torch.no_grad():
        made = model.weights()
    return _digest([made[target.name] for target in model.targets])


def rounded_alike(model: Any, sums: list[float]) -> bool:
    """Whether the made weights are those of these sums but for their last bits."""
    found, norm = _sums(model)
    coarsest = max(torch.finfo(target.dtype).eps for target in model.targets)
    return sums is not None and np.allclose(found, sums, rtol=0, atol=4 * coarsest * norm)


def _sums(model: Any) -> tuple[list[float], float]:
    """Sums of the made weights, the first plain, the others under random signs; and their norm."""
    with torch.no_grad():
        made = model.weights()
    parts = [made[target.name].detach().cpu().double().reshape(-1) for target in model.targets]
    flat = torch.cat(parts).numpy()
    rng = np.random.default_rng(0)
    signs = (rng.integers(0, 2, len(flat), dtype=np.int8) * 2 - 1 for _ in range(SUMS - 1))
    sums = [float(flat.sum()), *(float((flat * row).sum()) for row in signs)]
    return sums, float(np.sqrt((flat * flat).sum()))


def _digest(tensors: list[Tensor]) -> str:
    sha = hashlib.sha256()
    for tensor in tensors:
        host = tensor.detach().cpu().contiguous().reshape(-1)
        sha.update(host.view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()

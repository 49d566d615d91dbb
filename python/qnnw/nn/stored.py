"""What a file holds of a wrapped model, and how one is made again from it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qnnw._common.checks import integer
from qnnw._common.documents import Schema, check_format, hold, plain_bytes, strictly
from qnnw._common.files import write_atomically
from qnnw.nn import released, tensorfile
from qnnw.nn.card import card
from qnnw.nn.fitting import (
    BASE,
    SOURCE,
    base_of,
    check_rest,
    checked_state,
    matching_targets,
    source_of,
)
from qnnw.nn.maker import digest
from qnnw.nn.tensorfile import ModelFileError
from qnnw.nn.wrapping import prepared, values_of
from qnnw.weights.source import WeightSource, named
from qnnw.weights.targets import Target

Build = Callable[[nn.Module, tuple[Target, ...], WeightSource, list[Tensor] | None], Any]

FORMAT = 2
MODEL, CONFIG = "model.safetensors", "config.json"
CARD = "README.md"
# What is none of the numbers keeps its own name behind one of these.
REST, ROWS = "module.", "rows."
_DESCRIPTION: Schema = {
    "format": int, "source": dict, "targets": list, "draws": int, "weights_sha256": str,
    "frozen_sha256": (str, type(None)), "weights_sums?": (list, type(None)), "base?": dict,
}  # fmt: skip
# Sums of the weights under random signs tell whether others are the same but for rounding.
SUMS = 4


def save(model: Any, directory: str | os.PathLike[str], *, include_frozen: bool = False) -> None:
    """Write a model to a folder, to be trained on or merged later.

    ``model.safetensors`` holds the numbers, what else trains, and buffers; its metadata hold the
    source's seeds and settings and a checksum. Arrays are written only where no seed makes them,
    frozen parameters only where asked: of these the file keeps a digest. ``config.json`` says the
    same for a reader. Both are written atomically.

    Of a model with ``base="keep"`` it is the active adapter alone: the kept weights count as
    frozen, and so do buffers that are as they were found. Its description is packed, and a model
    card, ``README.md``, stands in the place of ``config.json``.

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
    ValueError
        The model is merged, or its adapter disabled.
    OSError
        It cannot be written.
    """
    folder = Path(directory)
    tensors, description = describe(model, include_frozen)
    folder.mkdir(parents=True, exist_ok=True)
    if model._maker.keeps:
        tensorfile.write(folder / MODEL, tensors, description, packed=True)
        write_atomically(folder / CARD, card(model, description["base"]["sha256"]).encode())
        return
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
        Takes module, targets, source and kept values to the model.
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


def load_adapter(
    model: Any, directory: str | os.PathLike[str]
) -> tuple[WeightSource, dict[str, nn.Parameter], dict[str, Tensor]]:
    """A folder's adapter for the network of a model whose own is disabled.

    Returns
    -------
    source, numbers, values of what else trains
    """
    path = Path(directory) / MODEL
    tensors, description = tensorfile.read(path)
    with refused_by(path):
        check_format(description.get("format"), (FORMAT,))
        hold(description, _DESCRIPTION)
        if "base" not in description:
            raise ValueError("it is a whole model's, not an adapter's")
        told = [target.describe() for target in model.targets]
        if told != description["targets"]:
            raise ValueError("its adapter makes other parameters than this model's")
        base_of(model._maker.base, tensors, description["base"])
        rest = named(tensors, REST)
        check_rest(model.module, rest, model.targets, description["frozen_sha256"])
        source, numbers = source_of(description, model.targets, tensors)
    return source, {n: nn.Parameter(numbers[n].clone()) for n in source.groups}, rest


@contextmanager
def refused_by(path: Path) -> Iterator[None]:
    """What does not fit is the file's fault, whatever finds it out."""
    try:
        yield
    except ModelFileError:
        raise
    except (LookupError, ArithmeticError, AttributeError, MemoryError) as error:
        # An odd description: none of these says anything to a reader by itself.
        kind = type(error).__name__
        raise ModelFileError(f"{str(path)!r} does not fit: {kind}: {error}") from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{str(path)!r} does not fit: {error}") from error


def describe(model: Any, frozen: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the description of a model's file, frozen parameters among them or not."""
    if model._maker.given is not None:
        raise ValueError(
            "`model` is merged, disabled or gathering gradients: its weights are not those of its "
            "numbers; unmerge_adapter() or leave the block first"
        )
    source = model.source.describe()
    tensors = {name: number.detach() for name, number in model.numbers.items()}
    for name, array in source.arrays.items():
        tensors[SOURCE + name] = torch.from_numpy(array.copy())
    for number, row in model._maker.kept.items():
        tensors[f"{ROWS}{number}"] = row
    state = checked_state(model.module)
    left_out = [] if frozen else _frozen(model, state)
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
        "frozen_sha256": digest([state[name] for name in left_out]) if left_out else None,
    }
    base = model._maker.base
    if base is not None:
        trainable = [n for n, p in model.module.named_parameters() if p.requires_grad]
        description["base"] = {"sha256": model._maker.base_digest, "trainable": trainable}
        if frozen:
            tensors |= {f"{BASE}{number}": tensor for number, tensor in enumerate(base)}
    return tensors, description


def _frozen(model: Any, state: Mapping[str, Tensor]) -> list[str]:
    """Parameters that do not train, by all names, and buffers as a kept network has them."""
    parameters = model.module.named_parameters(remove_duplicate=False)
    frozen = {name for name, parameter in parameters if not parameter.requires_grad}
    found = model.__dict__["_base_others"]
    frozen |= {
        n for n, b in model.module.named_buffers() if n in found and torch.equal(b, found[n])
    }
    return [name for name in state if name in frozen]


def rebuild(
    build: Build,
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    description: dict[str, Any],
    path: Path,
    copy: bool | None = None,
) -> Any:
    """The model that a file describes; ModelFileError, and nothing changed, if it does not fit."""
    with refused_by(path):
        check_format(description.get("format"), (released.FORMAT, FORMAT))
        if description["format"] == released.FORMAT:
            tensors, description = released.upgraded(dict(tensors), description)
        hold(description, _DESCRIPTION)
        kept = description.get("base")
        sums = description.get("weights_sums")
        if sums is not None and [type(total) for total in sums] != [float] * SUMS:
            raise ValueError(f"its `weights_sums` are {sums}, not {SUMS} real numbers")
        draws = integer("draws", description["draws"], 0, 2**63 - 1)
        targets = matching_targets(module, description["targets"])
        base = None if kept is None else base_of(values_of(module, targets), tensors, kept)
        rest = named(tensors, REST)
        check_rest(module, rest, targets, description["frozen_sha256"])
        source, numbers = source_of(description, targets, tensors)
        # A file with frozen parameters brings its own; else they are the module's.
        whole = True if description["frozen_sha256"] is None else None
        trainable = None if kept is None else [n.replace("[", "[[]") for n in kept["trainable"]]
        ready = prepared(module, targets, trainable, copy=False if copy is False else whole)
        model = build(ready, targets, source, base)
        with torch.no_grad():
            for name, number in model.numbers.items():
                number.data = numbers[name].clone()
            model.draws.fill_(draws)
        model._maker.kept = {int(n): row for n, row in named(tensors, ROWS).items()}
        model.module.load_state_dict(rest, strict=False)
    return model


def weights_digest(model: Any) -> str:
    """SHA-256 of the made weights."""
    with torch.no_grad():
        made = model.weights()
    return digest([made[target.name] for target in model.targets])


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

"""A :class:`qnnw.nn.QuantumTrain` in files: a folder to train on from, or a recipe of a few kB."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qnnw._common.extras import needs
from qnnw._common.files import write_atomically
from qnnw.circuit.ansatz import EfficientSU2
from qnnw.weights.generator import WeightGenerator
from qnnw.weights.mapping import WeightMap

with needs("train", "qnnw.nn.pretrained"):
    import torch
    from torch import nn

    from qnnw.nn import QuantumTrain, tensorfile
    from qnnw.nn.tensorfile import ModelFileError
    from qnnw.weights.targets import Target, find_targets, per_weight

__all__ = ["RecipeWarning", "load", "load_recipe", "save", "save_recipe"]

FORMAT = 1
MODEL, CONFIG = "model.safetensors", "config.json"
# What is not a target keeps its own names behind this prefix.
REST = "module."


class RecipeWarning(UserWarning):
    """The weights that a recipe made here differ in their last bits from those it was made from."""


def save(model: QuantumTrain, directory: str | os.PathLike[str]) -> None:
    """Write a model to a folder, to be trained on or merged later.

    ``model.safetensors`` holds angles, gamma, the map's arrays, and parameters and buffers that are
    not targets; its metadata hold the rest and a checksum. ``config.json`` says the same for a
    reader. Both are written atomically.

    Parameters
    ----------
    model
        The model.
    directory
        Made if it is not there.

    Raises
    ------
    OSError
        It cannot be written.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    tensors, description = _describe(model, with_arrays=True)
    tensorfile.write(folder / MODEL, tensors, description)
    text = json.dumps(description, indent=2) + "\n"
    write_atomically(folder / CONFIG, text.encode())


def load(module: nn.Module, directory: str | os.PathLike[str]) -> QuantumTrain:
    """Read what :func:`save` wrote.

    Parameters
    ----------
    module
        A network with the names and shapes of the one that was saved; its values do not matter,
        and it is left as it is.
    directory
        The folder.

    Raises
    ------
    ModelFileError
        The folder is missing, damaged, of another format, or belongs to another network.
    """
    folder = Path(directory)
    tensors, description = tensorfile.read(folder / MODEL)
    config = folder / CONFIG
    if config.exists():
        try:
            same = json.loads(config.read_text(encoding="utf-8")) == description
        except (OSError, ValueError) as error:
            raise ModelFileError(f"{str(config)!r} is damaged: {error}") from error
        if not same:
            raise ModelFileError(
                f"{str(config)!r} belongs to another state than {MODEL} beside it; without it that "
                "file is read alone"
            )
    return _rebuild(module, tensors, description, folder / MODEL)


def save_recipe(model: QuantumTrain, path: str | os.PathLike[str]) -> None:
    """Write the compressed network: angles, gamma, and the seeds of the map, in one small file.

    Parameters and buffers that are not targets are in it too. It is a safetensors file with a
    checksum, written atomically.

    Parameters
    ----------
    model
        The model.
    path
        The file.

    Raises
    ------
    OSError
        It cannot be written.
    """
    tensorfile.write(path, *_describe(model, with_arrays=False))


def load_recipe(path: str | os.PathLike[str], module: nn.Module) -> nn.Module:
    """Make a network's weights from a recipe, in place.

    The weights are those that the recipe was made from, bit for bit, which a checksum proves.
    Where another instruction set rounds the circuit differently, a weight may differ by one unit in
    its last place; then a :class:`RecipeWarning` says so.

    Parameters
    ----------
    path
        The file.
    module
        A network with the names, shapes and dtypes of the one that was saved. It is changed only
        if everything fits.

    Returns
    -------
    nn.Module
        ``module``, a plain network: no circuit in it.

    Raises
    ------
    ModelFileError
        The file is missing, damaged, of another format, or belongs to another network.
    """
    tensors, description = tensorfile.read(path)
    model = _rebuild(module, tensors, description, Path(path))
    if _weights_digest(model) != description["weights_sha256"]:
        warnings.warn(
            f"{str(path)!r} was made with another instruction set: some weights differ from the "
            "original in their last bits",
            RecipeWarning,
            stacklevel=2,
        )
    module.load_state_dict(model.merge_and_unload().state_dict())
    return module


def _describe(
    model: QuantumTrain, *, with_arrays: bool
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    generator = model.generator
    ansatz, weight_map, source = generator.ansatz, generator.weight_map, model.map_source
    tensors = {"angles": model.angles.detach(), "gamma": model.gamma.detach()}
    if with_arrays or source is None:
        tensors |= {
            "map.first": torch.from_numpy(weight_map.first.astype(np.uint32)),
            "map.second": torch.from_numpy(weight_map.second.astype(np.uint32)),
            "map.signs": torch.from_numpy(weight_map.signs.copy()),
        }
    for name, tensor in model.module.state_dict().items():
        tensors[REST + name] = tensor
    entanglement = ansatz.entanglement
    description = {
        "format": FORMAT,
        "circuit": {
            "num_qubits": ansatz.num_qubits,
            "reps": ansatz.reps,
            "entanglement": entanglement
            if isinstance(entanglement, str)
            else [list(pair) for pair in entanglement],
        },
        "map": {"num_weights": weight_map.num_weights, "mapping": weight_map.mapping},
        "map_source": source,
        "targets": [target.describe() for target in model.targets],
        "scale": model.factors,
        "shots": generator.shots,
        "shots_seed": generator.seed,
        "draws": int(model.draws),
        "weights_sha256": _weights_digest(model),
    }
    return tensors, description


def _rebuild(
    module: nn.Module, tensors: Mapping[str, torch.Tensor], description: dict[str, Any], path: Path
) -> QuantumTrain:
    if description.get("format") != FORMAT:
        raise ModelFileError(
            f"{str(path)!r} has format {description.get('format')!r}; this version of qnnw reads "
            f"format {FORMAT}"
        )
    try:
        targets = _matching_targets(module, description["targets"])
        generator = _generator(tensors, description, targets)
        model = QuantumTrain.from_parts(
            module, targets, generator, description["scale"], description["map_source"]
        )
        with torch.no_grad():
            model.angles.data = tensors["angles"].clone()
            model.gamma.data = tensors["gamma"].clone()
            model.draws.fill_(description["draws"])
        rest = {
            name.removeprefix(REST): tensor
            for name, tensor in tensors.items()
            if name.startswith(REST)
        }
        model.module.load_state_dict(rest)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{str(path)!r} does not fit: {error}") from error
    return model


def _generator(
    tensors: Mapping[str, torch.Tensor], description: dict[str, Any], targets: tuple[Target, ...]
) -> WeightGenerator:
    circuit, source = description["circuit"], description["map_source"]
    if "map.first" in tensors:
        weight_map = WeightMap.from_arrays(
            tensors["map.first"].numpy().astype(np.int64),
            tensors["map.second"].numpy().astype(np.int64),
            tensors["map.signs"].numpy(),
            description["map"]["mapping"],
        )
    else:
        weight_map = WeightMap(
            description["map"]["num_weights"], source["seed"], source["signs"], source["mapping"]
        )
    ansatz = EfficientSU2(circuit["num_qubits"], circuit["reps"], circuit["entanglement"])
    shape = tuple(tensors["angles"].shape)
    if shape != (ansatz.num_parameters,):
        raise ValueError(f"it has angles of shape {shape}, not ({ansatz.num_parameters},)")
    return WeightGenerator(
        ansatz,
        weight_map,
        scale=per_weight(targets, description["scale"]),
        shots=description["shots"],
        seed=description["shots_seed"],
    )


def _matching_targets(module: nn.Module, described: list[dict[str, Any]]) -> tuple[Target, ...]:
    """The module's parameters that were targets, checked against what the file says of them."""
    known = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    for entry in described:
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


def _weights_digest(model: QuantumTrain) -> str:
    sha = hashlib.sha256()
    with torch.no_grad():
        made = model.weights()
    for target in model.targets:
        weight = made[target.name].cpu().reshape(-1)
        sha.update(weight.view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()

"""Recipes: a :class:`qnnw.nn.QuantumTrain` as a file of a few kB, and back to a plain network."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from torch import nn

from qnnw.nn import stored, tensorfile
from qnnw.nn.quantum_train import QuantumTrain
from qnnw.nn.tensorfile import ModelFileError


class RecipeWarning(UserWarning):
    """The weights that a recipe makes here are not, bit for bit, those it was made from."""


def save_recipe(model: QuantumTrain, path: str | os.PathLike[str]) -> None:
    """Write the compressed network: numbers, seeds and settings, in one small file.

    Parameters and buffers that are not made are in it too. It is a safetensors file with a
    checksum, written atomically.

    Parameters
    ----------
    model
        The model.
    path
        The file.

    Raises
    ------
    TypeError, OSError
        As for :func:`save`.
    """
    tensorfile.write(path, *stored.describe(model, True))


def load_recipe(path: str | os.PathLike[str], module: nn.Module) -> nn.Module:
    """Make a network's weights from a recipe, in place.

    The weights are those that the recipe was made from, bit for bit, which a checksum proves.
    Where another instruction set rounds the circuit differently, a weight may differ by one unit in
    its last place; then a :class:`RecipeWarning` says so. Weights that differ by more are refused
    (a recipe of release 0.1 cannot tell how much they differ by: there the warning says that).

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
    model = stored.rebuild(QuantumTrain.from_parts, module, tensors, description, Path(path))
    with stored.refused_by(Path(path)):  # angles that are not finite make none
        made = stored.weights_digest(model)
    if made != description["weights_sha256"]:
        sums = description.get("weights_sums")
        if sums is None:
            told = "its weights differ from the original, and it does not tell by how much"
        elif stored.rounded_alike(model, sums):
            told = "it was made with another instruction set: some weights differ from the "
            told += "original in their last bits"
        else:
            raise ModelFileError(f"{str(path)!r} is damaged: it makes other weights than it says")
        warnings.warn(f"{str(path)!r}: {told}", RecipeWarning, stacklevel=2)
    module.load_state_dict(model.merge_and_unload().state_dict())
    return module

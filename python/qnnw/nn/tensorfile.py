"""Named tensors and a description in one safetensors file that tells when it was damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import safetensors
import safetensors.torch
import torch

from qnnw._common.files import write_atomically
from qnnw._common.tensors import ModelFileError as ModelFileError
from qnnw._common.tensors import deflated, read_whole, tensors_digest


def pack(
    tensors: Mapping[str, torch.Tensor], description: dict[str, Any], packed: bool = False
) -> bytes:
    """The bytes of a file with tensors and a description.

    It is a plain safetensors file: anything that reads those reads its tensors. The description is
    JSON in its metadata, and so is a SHA-256 digest of everything.

    Parameters
    ----------
    tensors
        Any dtype and shape.
    description
        What JSON can hold.
    packed
        Write the description compressed.
    """
    # Copies, since safetensors refuses tensors that share memory.
    flat = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    text = json.dumps(description, allow_nan=False)
    parts = [
        (
            name,
            str(tensor.dtype).removeprefix("torch."),
            tuple(tensor.shape),
            tensor.reshape(-1).view(torch.uint8).numpy().tobytes(),
        )
        for name, tensor in flat.items()
    ]
    # One entry: safetensors writes several in any order, and equal content should be equal bytes.
    told = {"zlib": deflated(text)} if packed else {"description": text}
    signed = {"sha256": tensors_digest(parts, text), **told}
    return safetensors.torch.save(flat, {"qnnw": json.dumps(signed)})


def write(
    path: str | os.PathLike[str],
    tensors: Mapping[str, torch.Tensor],
    description: dict[str, Any],
    packed: bool = False,
) -> None:
    """Write what :func:`pack` packs, atomically.

    Raises
    ------
    OSError
        The file cannot be written; what was there is untouched.
    """
    write_atomically(path, pack(tensors, description, packed))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what :func:`write` wrote.

    Returns
    -------
    tensors, description

    Raises
    ------
    ModelFileError
        The file is missing, truncated, damaged, or was not written by qnnw.
    """
    content, description = read_whole(path)
    try:
        return safetensors.torch.load(content), description
    except Exception as error:  # what a header says may be odd all the same
        where = os.fspath(path)
        raise ModelFileError(f"{where!r} is no whole safetensors file: {error}") from error

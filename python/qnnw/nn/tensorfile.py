"""Named tensors and a description in one safetensors file that tells when it was damaged."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qnnw._common.errors import UserError
from qnnw._common.extras import needs
from qnnw._common.files import write_atomically

with needs("train", "qnnw.nn.tensorfile"):
    import safetensors
    import safetensors.torch
    import torch

__all__ = ["ModelFileError", "pack", "read", "write"]


class ModelFileError(UserError, RuntimeError):
    """A saved model, recipe or state is missing, damaged, of another format, or does not fit."""


def pack(tensors: Mapping[str, torch.Tensor], description: dict[str, Any]) -> bytes:
    """The bytes of a file with tensors and a description.

    It is a plain safetensors file: anything that reads those reads its tensors. The description is
    JSON in its metadata, and so is a SHA-256 digest of everything.

    Parameters
    ----------
    tensors
        Any dtype and shape.
    description
        What JSON can hold.
    """
    # Copies, since safetensors refuses tensors that share memory.
    flat = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    text = json.dumps(description, allow_nan=False)
    # One entry: safetensors writes several in any order, and equal content should be equal bytes.
    signed = {"sha256": _digest(flat, text), "description": text}
    return safetensors.torch.save(flat, {"qnnw": json.dumps(signed)})


def write(
    path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], description: dict[str, Any]
) -> None:
    """Write what :func:`pack` packs, atomically.

    Raises
    ------
    OSError
        The file cannot be written; what was there is untouched.
    """
    write_atomically(path, pack(tensors, description))


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
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    try:
        tensors = safetensors.torch.load(content)
        metadata = _metadata(content)
    except Exception as error:  # damaged bytes make the readers raise anything
        raise ModelFileError(f"{str(path)!r} is no whole safetensors file: {error}") from error
    if "qnnw" not in metadata:
        raise ModelFileError(f"{str(path)!r} was not written by qnnw: it has no description")
    try:
        signed = json.loads(metadata["qnnw"])
        text, intact = signed["description"], signed["sha256"]
        description = json.loads(text)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{str(path)!r} is damaged: its description is no JSON") from error
    if intact != _digest(tensors, text):
        raise ModelFileError(f"{str(path)!r} is damaged: its content does not match its checksum")
    if not isinstance(description, dict):
        raise ModelFileError(f"{str(path)!r} is damaged: its description is no object")
    return tensors, description


def _metadata(content: bytes) -> dict[str, str]:
    # safetensors reads metadata from files only; the header's layout is part of the format.
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return dict(header.get("__metadata__", {}))


def _digest(tensors: Mapping[str, torch.Tensor], text: str) -> str:
    sha = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()

"""Named tensors and a description in one safetensors file that tells when it was damaged."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from qnnw._common.documents import Schema, hold, plain_file, strictly
from qnnw._common.errors import FileError
from qnnw._common.extras import needs
from qnnw._common.files import write_atomically

with needs("train", "qnnw.nn.tensorfile"):
    import safetensors
    import safetensors.torch
    import torch

__all__ = ["ModelFileError", "pack", "read", "write"]


# Of safetensors itself: a file that promises a longer header is not read.
MOST_HEADER_BYTES = 100_000_000
_SIGNED: Schema = {"sha256": str, "description": str}


class ModelFileError(FileError):
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
        with plain_file(path, ModelFileError) as file:
            metadata = _metadata(file)
            # Past the buffer, which would copy all once more.
            file.raw.seek(0)
            tensors = safetensors.torch.load(file.raw.readall())
    except FileNotFoundError as error:
        raise ModelFileError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except ModelFileError:
        raise
    except Exception as error:  # damaged bytes make the readers raise anything
        raise ModelFileError(f"{str(path)!r} is no whole safetensors file: {error}") from error
    if "qnnw" not in metadata:
        raise ModelFileError(f"{str(path)!r} was not written by qnnw: it has no description")
    try:
        signed = strictly(str(metadata["qnnw"]).encode())
        hold(signed, _SIGNED, "its description")
        if signed["sha256"] != _digest(tensors, signed["description"]):
            raise ValueError("its content does not match its checksum")
        return tensors, strictly(signed["description"].encode())
    except ValueError as error:
        raise ModelFileError(f"{str(path)!r} is damaged: {error}") from error


def _metadata(file: BinaryIO) -> dict[str, Any]:
    """The header's own part, with what it promises held against the file; raises ValueError."""
    # safetensors gives metadata of files only; the header's layout is part of the format.
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, MOST_HEADER_BYTES):
        raise ValueError(f"its header of {length} bytes is none of a file of {size}")
    header = strictly(file.read(length))
    metadata = header.pop("__metadata__", {})
    end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    if not isinstance(metadata, dict) or size != 8 + length + end:
        raise ValueError(f"its tensors end at {8 + length + end}, the file at {size}")
    return metadata


def _digest(tensors: Mapping[str, torch.Tensor], text: str) -> str:
    sha = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()

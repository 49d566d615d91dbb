"""The one reader of the safetensors files that qnnw writes: header, checksum, description.

A file is told by its one entry of metadata, ``"qnnw"``: JSON with a description, and the SHA-256
digest of it and of all tensors. No torch here.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qnnw._common.documents import Schema, hold, plain_file, strictly
from qnnw._common.errors import FileError

# Of safetensors itself: a file that promises a longer header is not read.
MOST_HEADER_BYTES = 100_000_000
# Nor one whose description unpacks to more.
MOST_DESCRIPTION_BYTES = 100_000_000
_SIGNED: Schema = {"sha256": str, "description?": str, "zlib?": str}
# torch's names of safetensors' kinds.
_NAMES = {
    "BOOL": "bool", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "F16": "float16",
    "BF16": "bfloat16", "F32": "float32", "F64": "float64", "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
}  # fmt: skip


class ModelFileError(FileError):
    """A saved model, recipe or state is missing, damaged, of another format, or does not fit."""


def tensors_digest(
    tensors: Iterable[tuple[str, str, tuple[int, ...], bytes | memoryview]], description: str
) -> str:
    """SHA-256 of a description and of tensors: name, torch's name of the dtype, shape, bytes."""
    sha = hashlib.sha256(description.encode())
    for name, dtype, shape, content in sorted(tensors, key=lambda tensor: tensor[0]):
        sha.update(f"{name} torch.{dtype} {shape}\n".encode())
        sha.update(content)
    return sha.hexdigest()


def read_whole(path: str | os.PathLike[str]) -> tuple[bytes, dict[str, Any]]:
    """A file's bytes, which match their checksum, and its description.

    What the header promises is held against the file before that is read.

    Raises
    ------
    ModelFileError
        The file is missing, truncated, damaged, or was not written by qnnw.
    """
    path = Path(path)
    try:
        with plain_file(path, ModelFileError) as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, MOST_HEADER_BYTES):
                raise ValueError(f"its header of {length} bytes is none of a file of {size}")
            header = strictly(file.read(length))
            metadata = header.pop("__metadata__", {})
            start = 8 + length
            end = start + max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
            if size != end:
                raise ValueError(f"its tensors end at {end}, the file at {size}")
            # Past the buffer, which would copy all once more.
            file.raw.seek(0)
            content = file.raw.readall()
        tensors = [_tensor(name, told, content, start) for name, told in header.items()]
        text = metadata.get("qnnw")
    except FileNotFoundError as error:
        raise ModelFileError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except ModelFileError:
        raise
    except Exception as error:  # an odd header may end in anything
        raise ModelFileError(f"{str(path)!r} is no whole safetensors file: {error}") from error
    if text is None:
        raise ModelFileError(f"{str(path)!r} was not written by qnnw: it has no description")
    try:
        signed = strictly(str(text).encode())
        hold(signed, _SIGNED, "its description")
        told = signed["description"] if "description" in signed else _inflated(signed["zlib"])
        if signed["sha256"] != tensors_digest(tensors, told):
            raise ValueError("its content does not match its checksum")
        return content, strictly(told.encode())
    except (zlib.error, KeyError) as error:
        raise ModelFileError(f"{str(path)!r} is damaged: its description: {error}") from error
    except ValueError as error:
        raise ModelFileError(f"{str(path)!r} is damaged: {error}") from error


def deflated(text: str) -> str:
    """A text compressed, as ASCII."""
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def _inflated(packed: str) -> str:
    """The text again; a ValueError where it is longer than any description."""
    unpacking = zlib.decompressobj()
    content = unpacking.decompress(base64.b85decode(packed), MOST_DESCRIPTION_BYTES)
    if not unpacking.eof:
        raise ValueError("its description does not end")
    return content.decode()


def _tensor(
    name: str, told: dict[str, Any], content: bytes, start: int
) -> tuple[str, str, tuple[int, ...], bytes | memoryview]:
    first, last = (start + offset for offset in told["data_offsets"])
    return name, _NAMES[told["dtype"]], tuple(told["shape"]), memoryview(content)[first:last]

"""Arrays in one npz file: what each promises is held against what is there before it is made."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

__all__ = ["packed_arrays", "read_arrays"]

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def packed_arrays(arrays: dict[str, NDArray[Any]]) -> bytes:
    """The bytes of a file that :func:`read_arrays` reads: an npz, not compressed."""
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    return packed.getvalue()


def read_arrays(file: BinaryIO | Path) -> dict[str, NDArray[Any]]:
    """The arrays of an npz that is not compressed, read-only; nothing is unpickled.

    No member is larger than the file, and none is read that promises another size than it has.

    Raises
    ------
    ValueError
        Something is wrong; the message says what.
    OSError
        It cannot be read.
    """
    try:
        with zipfile.ZipFile(file) as packed:
            members = packed.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("a member is compressed, which qnnw writes none of")
            found = {member.filename: _array(packed.read(member)) for member in members}
    except (OSError, MemoryError):
        raise
    except Exception as error:  # damaged bytes make the readers of zip and npy raise anything
        raise ValueError(str(error) or type(error).__name__) from error
    if len(found) < len(members):
        raise ValueError("a member is there twice")
    return {name.removesuffix(".npy"): array for name, array in found.items()}


def _array(content: bytes) -> NDArray[Any]:
    file = io.BytesIO(content)
    shape, by_columns, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    start = file.tell()
    if dtype.hasobject:
        raise ValueError("an array holds Python objects, which are never unpickled")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"an array of shape {shape} has {len(content) - start} bytes")
    flat = np.frombuffer(content, dtype, offset=start)
    return flat.reshape(shape, order="F" if by_columns else "C")

"""Arrays in one npz file: what each promises is held against what is there before it is made."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def packed_arrays(arrays: dict[str, NDArray[Any]]) -> bytes:
    """The bytes of a file that :func:`read_arrays` reads: an npz, not compressed."""
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    return packed.getvalue()


def read_arrays(file: BinaryIO | Path, most: int | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of an npz, read-only; nothing is unpickled.

    None is made that promises another size than it has.

    Parameters
    ----------
    file
        The npz.
    most
        ``None``: one of :func:`packed_arrays`, which holds nothing else and is not compressed, so
        that no member is larger than the file. A number: anybody's, which unfolds to at most so
        many bytes.

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
            if most is not None:
                members = [member for member in members if member.filename.endswith(".npy")]
                size = sum(member.file_size for member in members)
                if size > most:
                    raise ValueError(f"it unfolds to {size} bytes; at most {most} are read")
            elif any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("a member is compressed, which qnnw writes none of")
            names = [member.filename for member in members]
            found = {name: _array(name, packed.read(name)) for name in names}
    except (OSError, MemoryError):
        raise
    except Exception as error:  # damaged bytes make the readers of zip and npy raise anything
        raise ValueError(str(error) or type(error).__name__) from error
    if len(found) < len(members):
        raise ValueError("a member is there twice")
    return {name.removesuffix(".npy"): array for name, array in found.items()}


def _array(name: str, content: bytes) -> NDArray[Any]:
    file = io.BytesIO(content)
    shape, by_columns, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    start = file.tell()
    if dtype.hasobject:
        raise ValueError(f"{name!r} holds Python objects, which are never unpickled")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"{name!r} of shape {shape} has {len(content) - start} bytes")
    flat = np.frombuffer(content, dtype, offset=start)
    return flat.reshape(shape, order="F" if by_columns else "C")

"""The files of MNIST and FashionMNIST: read whole, and held against what was published."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qnnw.data.datasets import DatasetError

#: SHA-256 of the unpacked files by torchvision's class, in the order of FILES.
PUBLISHED = {
    "MNIST": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "FashionMNIST": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
FILES = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip
CLASSES = 10


def read_split(
    kind: str, root: Path, train: bool, fetch: Callable[[], object]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], dict[str, str]]:
    """Images, labels, and what is to be said of either file in a record: its checksum.

    Parameters
    ----------
    kind
        ``"MNIST"`` or ``"FashionMNIST"``.
    root
        The folder of ``kind/raw``, with the files as they are or ending in ``.gz``.
    train
        Which split: 60,000 images or 10,000.
    fetch
        Called where a file is missing; brings all of them.

    Raises
    ------
    DatasetError
        A file cannot be read, is no such file, or has other sizes or labels; the message names it.

    Warns
    -----
    UserWarning
        A file is not the published one.
    """
    count, first = (60_000, 0) if train else (10_000, 2)
    places = [root / kind / "raw" / name for name in FILES[first : first + 2]]
    if not all(map(_stored, places)):
        fetch()
    arrays, said = [], {}
    shapes: tuple[tuple[int, ...], ...] = ((count, 28, 28), (count,))
    for number, (place, shape) in enumerate(zip(places, shapes, strict=True), start=first):
        path = _stored(place) or place
        content, header = _content(path, shape)
        sha256 = hashlib.sha256(content).hexdigest()
        published = sha256 == PUBLISHED[kind][number]
        if not published:
            text = f"{str(path)!r} is not the published file of {kind} (SHA-256 {sha256})"
            warnings.warn(text, UserWarning, stacklevel=2)
        said[place.name] = f"SHA-256 {sha256}, {'' if published else 'not '}as published"
        arrays.append(np.frombuffer(content, np.uint8, offset=header).reshape(shape))
    labels = arrays[1]
    if (wrong := np.flatnonzero(labels >= CLASSES)).size:
        raise DatasetError(
            f"{str(_stored(places[1]))!r} has the label {labels[wrong[0]]} for sample {wrong[0]}; "
            f"labels go from 0 to {CLASSES - 1}"
        )
    return arrays[0], labels, said


def _stored(place: Path) -> Path | None:
    """The file or its packed form, whichever is there."""
    packed = place.with_name(f"{place.name}.gz")
    return next((path for path in (place, packed) if path.is_file()), None)


def _content(path: Path, shape: tuple[int, ...]) -> tuple[bytes, int]:
    """The whole file, of which no byte is missing or too many, and its header's length."""
    header = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)
    size = len(header) + math.prod(shape)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{str(path)!r} cannot be read: {error}") from error
    if not content.startswith(header):
        found = content[: len(header)].hex(" ", 4) or "nothing"
        raise DatasetError(
            f"{str(path)!r} begins with {found}; a file of shape {shape} begins with "
            f"{header.hex(' ', 4)}"
        )
    if len(content) != size:
        found = f"more than {size}" if len(content) > size else f"{len(content)}"
        raise DatasetError(f"{str(path)!r} has {found} bytes; shape {shape} needs {size}")
    return content, len(header)

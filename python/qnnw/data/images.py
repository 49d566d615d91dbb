"""Folders of images by class, and torchvision's data sets by name."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.extras import needs
from qnnw._common.files import at_home
from qnnw.data.arrays import from_arrays
from qnnw.data.datasets import Dataset, DatasetError, data_root, plain_file
from qnnw.data.idx import PUBLISHED, read_split

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
TRAIN, TEST = ("train", "training"), ("test", "val", "valid", "validation")


def load_folder(path: str, *, seed: int) -> Dataset:
    """A folder of images: ``train/CLASS/*.png`` and ``test/CLASS/*.png``, or ``CLASS/*.png``.

    Without a test folder a quarter of every class is split off. All images have one size; all of
    them grey, or all of them taken as RGB. Pixels are standardised by the training split, by one
    mean and deviation a channel.

    Raises
    ------
    DatasetError
        There are no images, sizes differ, or a file cannot be read; the message names it.
    """
    folder = at_home(path)
    subfolders = {entry.name.lower(): entry for entry in _folders(folder)}
    train = next((subfolders[name] for name in TRAIN if name in subfolders), None)
    test = next((subfolders[name] for name in TEST if name in subfolders), None)
    if train is not None and len(subfolders) > 2 - (test is None):
        raise DatasetError(
            f"{path!r} has {', '.join(sorted(map(repr, subfolders)))}; it must have train and test "
            "folders alone, or folders of classes alone"
        )
    splits = [folder] if train is None else [train] if test is None else [train, test]
    listed = [_listed(split) for split in splits]
    images, labels = _read([files for files, _ in listed]), [names for _, names in listed]
    held = (images[1], labels[1]) if len(splits) == 2 else None
    kind = "grey" if images[0].shape[1] == 1 else "RGB"
    note = f"{path}: {len(images[0])} {kind} images of {len(set(labels[0]))} classes"
    return from_arrays(
        folder.resolve().name, (images[0], np.array(labels[0])),
        held if held is None else (held[0], np.array(held[1])),
        seed=seed, task="classification", standardise=True, notes=(note,), where=path,
    )  # fmt: skip


def load_torchvision(
    kind: str, *, seed: int, data_dir: str | os.PathLike[str] | None = None
) -> Dataset:
    """One of torchvision's data sets of images with ``train=`` and ``targets``, by name.

    It lies in ``data_dir`` in torchvision's layout, or is downloaded there. Pixels are standardised
    by the training split.

    Raises
    ------
    DatasetError
        torchvision has no such class, it is of another kind, or it cannot be had.
    """
    root, parts = data_root(data_dir), []
    for train in (True, False):
        if kind in PUBLISHED:
            fetch = partial(torchvision_split, kind, root, train)
            parts.append(read_split(kind, root, train, fetch)[:2])
            continue
        split = torchvision_split(kind, root, train)
        if not (hasattr(split, "data") and hasattr(split, "targets")):
            raise DatasetError(
                f"torchvision's {kind} keeps no `data` and `targets`; write its images to a folder "
                "by class, or return them from a Python function"
            )
        images, targets = np.asarray(split.data), np.asarray(split.targets)
        classes = len(getattr(split, "classes", ()))
        if classes and not (targets.min() >= 0 and targets.max() < classes):
            raise DatasetError(
                f"{kind} in {str(root)!r} has labels from {targets.min()} to {targets.max()}; its "
                f"{classes} classes have numbers from 0 to {classes - 1}"
            )
        parts.append((images, targets))
    return from_arrays(kind, parts[0], parts[1], seed=seed, task="classification", standardise=True)


def torchvision_split(kind: str, root: Path, train: bool) -> Any:
    """The training or test set of torchvision, downloaded if it is not there."""
    with needs("train", "A torchvision data set"):
        from torchvision import datasets
    family = getattr(datasets, kind, None)
    if not isinstance(family, type):
        raise DatasetError(f"torchvision has no data set {kind!r}")
    try:
        try:
            return family(root, train=train, download=False)
        except RuntimeError:  # torchvision's word for files that are not there
            return family(root, train=train, download=True)
    except TypeError as error:
        raise DatasetError(
            f"torchvision's {kind} has no train= and download=: {error}; write its images to a "
            "folder by class, or return them from a Python function"
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(
            f"{kind} cannot be read from or downloaded to {str(root)!r}: {reason}; "
            f"name a folder that holds {kind}/raw with --data-dir or QNNW_DATA"
        ) from error


def _folders(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(f"{str(folder)!r} cannot be read: {error}") from error
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _listed(folder: Path) -> tuple[list[Path], list[str]]:
    """Every image of a split with its class, in the order of their names."""
    files: list[Path] = []
    names: list[str] = []
    for place in _folders(folder):
        found = sorted(file for file in place.rglob("*") if file.suffix.lower() in ENDINGS)
        if not found:
            raise DatasetError(f"{str(place)!r} has no images ({', '.join(sorted(ENDINGS))})")
        files += found
        names += [place.name] * len(found)
    if not files:
        raise DatasetError(f"{str(folder)!r} has no folders of images, one a class")
    return files, names


def _read(splits: list[list[Path]]) -> list[NDArray[Any]]:
    """The images of every split, shape (samples, channels, height, width)."""
    with needs("train", "A folder of images"):
        from PIL import Image
    read: list[list[NDArray[Any]]] = []
    first: tuple[Path, tuple[int, ...]] | None = None
    for files in splits:
        read.append([])
        for file in files:
            try:
                with Image.open(plain_file(file)) as image:
                    if image.mode[0] in "IF":  # pixels of more than 8 bits keep them
                        array = np.asarray(image, dtype=np.float32)
                    else:
                        grey = image.mode in ("1", "L", "LA")
                        array = np.asarray(image.convert("L" if grey else "RGB"))
            except Exception as error:  # damaged bytes make the decoders raise anything
                raise DatasetError(f"{str(file)!r} cannot be read: {error}") from error
            if first is None:
                first = (file, array.shape[:2])
            if array.shape[:2] != first[1]:
                raise DatasetError(
                    f"{str(file)!r} is {_size(array.shape)} and {str(first[0])!r} is "
                    f"{_size(first[1])}; all images must have one size"
                )
            read[-1].append(array)
    colour = any(array.ndim == 3 for images in read for array in images)
    return [np.stack([_planes(array, colour) for array in images]) for images in read]


def _planes(array: NDArray[Any], colour: bool) -> NDArray[Any]:
    if array.ndim == 3:
        return np.moveaxis(array, 2, 0)
    return np.repeat(array[None], 3, axis=0) if colour else array[None]


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"

"""A data set as tensors: what is trained on, what is measured on, and what a record keeps of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from qnnw._common.checks import one_of
from qnnw._common.errors import UserError
from qnnw._common.extras import needs

with needs("train", "qnnw.data.datasets"):
    import torch

TENSORS = ("train_inputs", "train_labels", "test_inputs", "test_labels")


class DatasetError(UserError, RuntimeError):
    """A data set cannot be found, fetched, read or used."""


@dataclass(frozen=True)
class About:
    """What a network needs to know of a data set, without the data.

    Attributes
    ----------
    name, task, classes, network, target_mean, target_scale
        As in :class:`Dataset`.
    input_shape, num_outputs
        Of one sample.
    """

    name: str
    task: str
    input_shape: tuple[int, ...]
    num_outputs: int
    classes: tuple[str | int, ...] | None = None
    network: str | None = None
    target_mean: tuple[float, ...] | None = None
    target_scale: tuple[float, ...] | None = None

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> About:
        """From what :meth:`Dataset.describe` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is something else.
        """
        lists = ("classes", "target_mean", "target_scale")
        more = {key: None if record[key] is None else tuple(record[key]) for key in lists}
        shape = tuple(int(size) for size in record["input_shape"])
        name, task, network = str(record["name"]), str(record["task"]), record["network"]
        return cls(name, task, shape, int(record["num_outputs"]), network=network, **more)


@dataclass(frozen=True)
class Dataset:
    """Inputs and labels (or targets of a regression) for training and test.

    Attributes
    ----------
    name
        For titles and folders.
    train_inputs, test_inputs
        float32, shape (samples, …).
    train_labels, test_labels
        Classification: int64, shape (samples,), numbers of classes from 0. Regression: float32
        targets, shape (samples,) or (samples, k).
    task
        ``"classification"`` or ``"regression"``.
    classes
        What the classes are called, in the order of their numbers; ``None`` for a regression.
    network
        The registered network that goes with it, if any.
    target_mean, target_scale
        Where the targets of a regression were standardised, one number an output: the data's own
        are ``target_mean + target_scale * target``.
    notes
        What was decided when it was read, in lines for a person.
    files
        What was read, by the files' names: checksums, and whether they are those published.

    Raises
    ------
    ValueError
        Lengths, dtypes, shapes or classes do not fit together, or a number is NaN or infinite.
    """

    name: str
    train_inputs: torch.Tensor
    train_labels: torch.Tensor
    test_inputs: torch.Tensor
    test_labels: torch.Tensor
    task: str = "classification"
    classes: tuple[str | int, ...] | None = None
    network: str | None = None
    target_mean: tuple[float, ...] | None = None
    target_scale: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("task", self.task, ("classification", "regression"))
        for split in ("train", "test"):
            _check_split(self, split)
        for part in ("inputs", "labels"):
            train, test = getattr(self, f"train_{part}"), getattr(self, f"test_{part}")
            if train.shape[1:] != test.shape[1:]:
                raise ValueError(
                    f"`test_{part}` has samples of shape {tuple(test.shape[1:])}; those of "
                    f"`train_{part}` have {tuple(train.shape[1:])}"
                )
        if self.task == "classification":
            _check_classes(self)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.train_inputs.shape[1:])

    @property
    def num_outputs(self) -> int:
        """Outputs that a network needs: one a class, or one a target."""
        if self.classes is not None:
            return len(self.classes)
        return 1 if self.train_labels.dim() == 1 else int(self.train_labels.shape[1])

    @property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of every tensor's bytes."""
        return {
            name: hashlib.sha256(getattr(self, name).cpu().contiguous().numpy()).hexdigest()
            for name in TENSORS
        }

    def describe(self) -> dict[str, Any]:
        """What a record keeps beside the checksums; JSON."""
        names = (*(part.name for part in fields(About)), "notes")
        found = {name: getattr(self, name) for name in names}
        lists = {key: list(value) for key, value in found.items() if isinstance(value, tuple)}
        return {**found, **lists, "files": dict(self.files)}


def data_root(data_dir: str | os.PathLike[str] | None) -> Path:
    """Where torchvision's data lie: the given folder, else ``QNNW_DATA``, else the cache."""
    if data_dir is not None:
        return Path(data_dir)
    named = os.environ.get("QNNW_DATA")
    return Path(named) if named else Path.home() / ".cache" / "qnnw"


def plain_file(path: str | os.PathLike[str]) -> Path:
    """The path of a file that is there; a pipe or a device, which may never end, is refused."""
    path = Path(path)
    if path.exists() and not path.is_file():
        raise DatasetError(f"{str(path)!r} is no plain file")
    return path


def _check_split(dataset: Dataset, split: str) -> None:
    inputs, labels = getattr(dataset, f"{split}_inputs"), getattr(dataset, f"{split}_labels")
    if inputs.dtype != torch.float32 or inputs.dim() < 2:
        raise ValueError(
            f"`{split}_inputs` is {inputs.dtype} of shape {tuple(inputs.shape)}; it must be "
            "float32 of shape (samples, …)"
        )
    if len(inputs) != len(labels) or len(inputs) == 0:
        raise ValueError(
            f"`{split}_labels` has length {len(labels)}; it must be that of `{split}_inputs`, "
            f"{len(inputs)}, and not 0"
        )
    regression = dataset.task == "regression"
    wanted, shapes = (torch.float32, (1, 2)) if regression else (torch.int64, (1,))
    if labels.dtype != wanted or labels.dim() not in shapes:
        needed = "float32 of one or two dimensions" if regression else "int64 of one dimension"
        raise ValueError(
            f"`{split}_labels` is {labels.dtype} of shape {tuple(labels.shape)}; "
            f"{dataset.task} needs {needed}"
        )
    for part, values in (("inputs", inputs), ("labels", labels)):
        if values.is_floating_point() and not bool(values.isfinite().all()):
            raise ValueError(
                f"`{split}_{part}` has values that are NaN, infinite or too large for float32"
            )


def _check_classes(dataset: Dataset) -> None:
    largest = max(int(dataset.train_labels.max()), int(dataset.test_labels.max()))
    if dataset.classes is None:
        object.__setattr__(dataset, "classes", tuple(range(largest + 1)))
    assert dataset.classes is not None
    least = min(int(dataset.train_labels.min()), int(dataset.test_labels.min()))
    if least < 0 or largest >= len(dataset.classes):
        raise ValueError(
            f"labels go from {least} to {largest}; {len(dataset.classes)} classes have numbers "
            f"from 0 to {len(dataset.classes) - 1}"
        )

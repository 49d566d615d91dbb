"""What is learned, and what is measured of it: said once, for every record, picture and table.

History and result hold ``train_KEY`` and ``test_KEY`` for every measure of the task. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Measure:
    """Something that is measured on both splits.

    Attributes
    ----------
    key
        ``"accuracy"``: in records ``train_accuracy`` and ``test_accuracy``.
    label
        For a person.
    unit
        After the number; ``" %"`` shows it times 100.
    digits
        After the point.
    """

    key: str
    label: str
    unit: str = ""
    digits: int = 3

    @property
    def times(self) -> float:
        """What a record's number is multiplied by to show it."""
        return 100.0 if self.unit.strip() == "%" else 1.0

    @property
    def axis(self) -> str:
        """Label of an axis."""
        return f"{self.label} ({self.unit.strip()})" if self.unit else self.label

    def shown(self, value: float) -> str:
        """The number for a person."""
        return f"{self.times * value:.{self.digits}f}{self.unit}"


@dataclass(frozen=True)
class Task:
    """A kind of learning.

    Attributes
    ----------
    name
        As in :class:`qnnw.data.datasets.Dataset`.
    measures
        What is measured on both splits; the first is the main one.
    trained
        What a record says of the training split alone, beside the loss.
    losses
        Names of the losses that fit; the first is the default.
    loss_label
        For an axis.
    outputs
        What the network puts out, as a file says it.
    """

    name: str
    measures: tuple[Measure, ...]
    trained: tuple[str, ...]
    losses: tuple[str, ...]
    loss_label: str
    outputs: str

    @property
    def main(self) -> Measure:
        """The first measure."""
        return self.measures[0]

    def line(self, train: Mapping[str, float], test: Mapping[str, float]) -> dict[str, float]:
        """The keys of a record from what was measured on both splits."""
        both = {
            f"{split}_{measure.key}": values[measure.key]
            for measure in self.measures
            for split, values in zip(SPLITS, (train, test), strict=True)
        }
        return {**{key: train[key] for key in self.trained}, **both}

    def keys(self) -> tuple[str, ...]:
        """The keys of a record that hold measures of both splits."""
        return tuple(f"{split}_{measure.key}" for measure in self.measures for split in SPLITS)

    def words(self, record: Mapping[str, Any]) -> str:
        """The main measure of a record on both splits, for a person."""
        named = "" if self.main.unit else f"{self.main.label} "
        return ", ".join(
            f"{split} {named}{self.main.shown(record[f'{split}_{self.main.key}'])}"
            for split in SPLITS
        )


CLASSIFICATION = Task(
    "classification",
    (Measure("accuracy", "Accuracy", " %", 2),),
    ("cross_entropy",),
    ("cross-entropy", "binary"),
    "Loss (CE + fraction failed)",
    "logits",
)
REGRESSION = Task(
    "regression",
    (Measure("r2", "R²"), Measure("rmse", "RMSE")),
    (),
    ("mse", "mae"),
    "Loss",
    "targets",
)
TASKS = {task.name: task for task in (CLASSIFICATION, REGRESSION)}


def task_of(record: Mapping[str, Any]) -> Task:
    """The task of a line of a history or of a result, told by its keys."""
    return next((task for task in TASKS.values() if task.keys()[0] in record), CLASSIFICATION)

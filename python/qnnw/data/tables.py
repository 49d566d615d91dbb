"""A CSV file with a header and a column of labels, as a data set."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qnnw.data.arrays import from_arrays
from qnnw.data.datasets import Dataset, DatasetError, plain_file

MISSING = {"", "na", "n/a", "null", "none", "?"}
# A column of words becomes one feature a word: more of them than this is a name or a text.
MOST_CATEGORIES = 50
# Whole numbers are classes up to here, and a quantity where there are more different ones.
MOST_CLASSES = 100
DELIMITERS = ",;\t"


def load_csv(
    path: str, *, seed: int, label: str | int | None = None, task: str = "auto"
) -> Dataset:
    """A CSV file: every column but the label's is a feature; a quarter is split off for the test.

    Columns of words become one feature a word. Features are standardised by the training split.
    Commas, semicolons or tabs separate; a first column without a name that counts the lines, as
    pandas writes it, is left out.

    Parameters
    ----------
    path
        The file; UTF-8.
    seed
        Of the split.
    label
        The label's column, by name or number from 0 (negative: from the end); ``None``: the last.
    task
        ``"auto"``: words and whole numbers (at most 100 different ones) are classes.

    Raises
    ------
    DatasetError
        The file cannot be read, a value is missing, or a column cannot be used; the message names
        line and column.
    ValueError
        There is no column ``label``.
    """
    header, columns = _columns(path)
    notes: tuple[str, ...] = ()
    if header[0] == "" and columns[0] in (
        [str(number + start) for number in range(len(columns[0]))] for start in (0, 1)
    ):
        header, columns = header[1:], columns[1:]
        notes = (f"{path}: the first column counts the lines; it is left out",)
    _check_header(path, header)
    place = _place(path, header, label)
    labels, kind = _labels(path, header[place], columns[place], task)
    features, words = [], []
    for number, (name, column) in enumerate(zip(header, columns, strict=True)):
        if number == place:
            continue
        made = _features(path, name, column)
        features.append(made)
        if made.shape[1] > 1:
            words.append(f"{name!r} ({made.shape[1]})")
    if not features:
        raise DatasetError(f"{path!r} has no column beside the label {header[place]!r}")
    notes = (*notes, f"{path}: column {header[place]!r} is the label, {kind}")
    if words:
        notes = (*notes, f"{path}: a feature a word in columns {', '.join(words)}")
    return from_arrays(
        Path(path).stem, (np.concatenate(features, axis=1), labels), None,
        seed=seed, task=task, standardise=True, notes=notes, where=path,
    )  # fmt: skip


def _columns(path: str) -> tuple[list[str], list[list[str]]]:
    """Header and columns, as stripped text."""
    try:
        with plain_file(path).open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            rows = [
                (number, [cell.strip() for cell in row])
                for number, row in enumerate(csv.reader(file, delimiter=delimiter), start=1)
                if row
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"{path!r} cannot be read: {error}") from error
    if len(rows) < 2:
        raise DatasetError(f"{path!r} has {len(rows)} lines; a header and samples are needed")
    header = rows[0][1]
    for number, row in rows[1:]:
        if len(row) != len(header):
            raise DatasetError(
                f"{path!r}, line {number} has {len(row)} values; the header has {len(header)}"
            )
        for name, cell in zip(header, row, strict=True):
            if cell.lower() in MISSING or not _finite(cell):
                raise DatasetError(
                    f"{path!r}, line {number}, column {name!r}: the value {cell!r} is missing or "
                    "not finite; fill it in or leave the line out"
                )
    return header, [list(column) for column in zip(*(row for _, row in rows[1:]), strict=True)]


def _check_header(path: str, header: list[str]) -> None:
    if all(_number(name) is not None for name in header):
        raise DatasetError(f"{path!r} has no header: its first line is numbers; name the columns")
    for number, name in enumerate(header):
        if not name:
            raise DatasetError(f"{path!r}: column {number} has no name")
        if header.index(name) != number:
            raise DatasetError(f"{path!r}: two columns are called {name!r}")


def _place(path: str, header: list[str], label: str | int | None) -> int:
    if label is None:
        return len(header) - 1
    if isinstance(label, str) and label in header:
        return header.index(label)
    try:
        number = int(label)
    except ValueError:
        number = len(header)
    if not -len(header) <= number < len(header):
        listed = ", ".join(map(repr, header[:20])) + (", …" if len(header) > 20 else "")
        raise ValueError(f"`label` is {label!r}; {path!r} has the columns {listed}")
    return number % len(header)


def _labels(path: str, name: str, column: list[str], task: str) -> tuple[NDArray[np.generic], str]:
    numbers = [_number(cell) for cell in column]
    found = [number for number in numbers if number is not None]
    if len(found) < len(column):
        if task == "regression":
            word = column[numbers.index(None)]
            raise DatasetError(f"{path!r}, column {name!r}: {word!r} is no number to regress on")
        return np.array(column), f"words: {len(set(column))} classes"
    whole = all(number == round(number) and abs(number) < 2**53 for number in found)
    different = len(set(found))
    if whole and (task == "classification" or (task == "auto" and different <= MOST_CLASSES)):
        return np.array([int(number) for number in found]), f"{different} whole numbers: classes"
    return np.array(found), f"{different} different numbers: targets"


def _features(path: str, name: str, column: list[str]) -> NDArray[np.float64]:
    """One feature of a column of numbers, one a word of a column of words; shape (samples, k)."""
    numbers = [_number(cell) for cell in column]
    found = [number for number in numbers if number is not None]
    if len(found) == len(column):
        return np.array(found)[:, None]
    words = sorted(set(column))
    if len(words) > MOST_CATEGORIES:
        example = next(cell for cell, number in zip(column, numbers, strict=True) if number is None)
        raise DatasetError(
            f"{path!r}, column {name!r} has {len(words)} different values, such as {example!r}; "
            f"at most {MOST_CATEGORIES} words become features: leave it out or make it numbers"
        )
    if len(words) == 2:
        return np.array([float(cell == words[1]) for cell in column])[:, None]
    return np.array([[float(cell == word) for word in words] for cell in column])


def _finite(text: str) -> bool:
    """Whether it is a word or a finite number: not ``-nan``, nor ``1e400``."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return True


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None

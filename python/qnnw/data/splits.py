"""Seeded splits: test sets, validation sets and subsets, stratified where there are classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.extras import needs
from qnnw.data.datasets import Dataset, DatasetError

with needs("train", "qnnw.data.splits"):
    import torch

#: The share of a user's data that is measured on where they come without a test set.
TEST_SHARE = 0.25


def test_split(
    name: str, labels: NDArray[Any], seed: int, stratified: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Sorted places of the training and the test samples, a quarter of all, drawn from the seed.

    Raises
    ------
    DatasetError
        There are too few samples, or a class has only one.
    """
    with needs("train", "A test split"):
        from sklearn.model_selection import train_test_split
    if stratified:
        values, counts = np.unique(labels, return_counts=True)
        if counts.min() < 2:
            raise DatasetError(
                f"{name}: class {values[counts.argmin()]} has one sample; a stratified test split "
                "needs two of each, or give a test set"
            )
    try:
        train, test = train_test_split(
            np.arange(len(labels)),
            test_size=TEST_SHARE,
            stratify=labels if stratified else None,
            random_state=sklearn_state(seed),
        )
    except ValueError as error:
        raise DatasetError(f"{name}: {len(labels)} samples cannot be split: {error}") from error
    return np.sort(train), np.sort(test)


def validation(dataset: Dataset, samples: int, seed: int) -> Dataset:
    """The data set with part of its training set in the place of its test set."""
    _check_range(
        dataset, "validation_samples", samples, len(dataset.train_labels) - _least(dataset)
    )
    index = _drawn(dataset, samples, seed)
    rest = torch.ones(len(dataset.train_labels), dtype=torch.bool)
    rest[index] = False
    return replace(
        dataset,
        train_inputs=dataset.train_inputs[rest],
        train_labels=dataset.train_labels[rest],
        test_inputs=dataset.train_inputs[index],
        test_labels=dataset.train_labels[index],
    )


def subset(dataset: Dataset, samples: int, seed: int) -> Dataset:
    """The data set with so many of its training samples."""
    most = len(dataset.train_labels)
    _check_range(dataset, "train_samples", samples, most)
    if samples > most - _least(dataset):
        # Too few would be left out to stratify them.
        chosen = np.random.default_rng(seed).permutation(most)[:samples]
        index = torch.from_numpy(np.sort(chosen))
    else:
        index = _drawn(dataset, samples, seed)
    return replace(
        dataset,
        train_inputs=dataset.train_inputs[index],
        train_labels=dataset.train_labels[index],
    )


def sklearn_state(seed: int) -> int:
    """Fold a seed to the 32 bits that scikit-learn takes; small seeds stay as they are."""
    number = int(seed)
    return (number ^ (number >> 32)) & 0xFFFF_FFFF


def _least(dataset: Dataset) -> int:
    """The least samples that may be taken, or left: one of each class."""
    return 1 if dataset.task == "regression" else len(np.unique(dataset.train_labels.numpy()))


def _check_range(dataset: Dataset, argument: str, samples: int, most: int) -> None:
    least, per_class = _least(dataset), " (one per class)" * (dataset.task == "classification")
    if not least <= samples <= most:
        need = f"{dataset.name} needs from {least}{per_class} to {most}"
        raise ValueError(f"`{argument}` is {samples}; {need}")


def _drawn(dataset: Dataset, samples: int, seed: int) -> torch.Tensor:
    """Sorted places of a sample, stratified where there are classes."""
    with needs("train", "A subset of the training samples"):
        from sklearn.model_selection import train_test_split
    labels = dataset.train_labels
    chosen, _ = train_test_split(
        np.arange(len(labels)),
        train_size=samples,
        stratify=labels.numpy() if dataset.task == "classification" else None,
        random_state=sklearn_state(seed),
    )
    return torch.from_numpy(np.sort(chosen))

"""Datasets as tensors: split, normalised, with checksums."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qnnw._common.errors import UserError
from qnnw._common.extras import needs

with needs("train", "qnnw.data.datasets"):
    import torch

__all__ = ["DATASETS", "Dataset", "DatasetError", "load"]

DATASETS = ("iris", "digits", "mnist", "fashion-mnist")
IRIS_TRAIN_SAMPLES = 100
DIGITS_TRAIN_SAMPLES = 1347
# torchvision's class, and mean and standard deviation of the training pixels in [0, 1].
MNIST_FAMILY = {
    "mnist": ("MNIST", 0.1307, 0.3081),
    "fashion-mnist": ("FashionMNIST", 0.2860, 0.3530),
}


class DatasetError(UserError, RuntimeError):
    """A dataset cannot be found, fetched or read."""


@dataclass(frozen=True)
class Dataset:
    """Inputs (float32) and labels (int64) for training and test."""

    name: str
    train_inputs: torch.Tensor
    train_labels: torch.Tensor
    test_inputs: torch.Tensor
    test_labels: torch.Tensor

    @property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of every tensor's bytes."""
        tensors = {
            name: getattr(self, name)
            for name in ("train_inputs", "train_labels", "test_inputs", "test_labels")
        }
        return {
            name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
            for name, tensor in tensors.items()
        }


def load(
    name: str,
    *,
    seed: int,
    data_dir: str | os.PathLike[str] | None = None,
    train_samples: int | None = None,
    validation_samples: int | None = None,
) -> Dataset:
    """Load a dataset.

    Parameters
    ----------
    name
        ``"iris"``: 100 training and 50 test flowers, a stratified split drawn from the seed,
        features standardised by the training split. ``"digits"``: scikit-learn's 8x8 digits, 1,347
        and 450, a stratified split, pixels standardised by one mean and deviation. ``"mnist"`` and
        ``"fashion-mnist"``: the standard 60,000 and 10,000 images, pixels in [0, 1] normalised by
        0.1307 and 0.3081, or 0.2860 and 0.3530.
    seed
        Seed of the split, and of the training subset where ``train_samples`` asks for one.
    data_dir
        Where MNIST and FashionMNIST lie in torchvision's layout (``data_dir/MNIST/raw``), or are
        downloaded to. ``None``: the environment variable ``QNNW_DATA``, else ``~/.cache/qnnw``.
    train_samples
        Use a stratified subset of this many training samples.
    validation_samples
        Take a stratified set of this many samples out of the training set and put it in the place
        of the test set: settings are chosen on it, and the test set is never looked at.

    Raises
    ------
    ValueError
        ``name``, ``train_samples`` or ``validation_samples`` is out of range.
    DatasetError
        The files cannot be read or downloaded.
    """
    if name == "iris":
        dataset = _iris(seed)
    elif name == "digits":
        dataset = _digits(seed)
    elif name in MNIST_FAMILY:
        dataset = _mnist(name, _root(data_dir))
    else:
        known = ", ".join(map(repr, DATASETS))
        raise ValueError(f"`name` is {name!r}; it must be one of {known}")
    if validation_samples is not None:
        dataset = _validation(dataset, validation_samples, seed)
    if train_samples is not None:
        dataset = _subset(dataset, train_samples, seed)
    return dataset


def _iris(seed: int) -> Dataset:
    # scikit-learn and torchvision take seconds to import: only what a dataset needs is.
    with needs("train", "The Iris dataset"):
        from sklearn.datasets import load_iris
    features, labels = load_iris(return_X_y=True)
    return _split("iris", features, labels, IRIS_TRAIN_SAMPLES, seed, axis=0)


def _digits(seed: int) -> Dataset:
    with needs("train", "The digits dataset"):
        from sklearn.datasets import load_digits
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 1, 8, 8)
    return _split("digits", images, labels, DIGITS_TRAIN_SAMPLES, seed, axis=None)


def _split(
    name: str,
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    train_size: int,
    seed: int,
    axis: int | None,
) -> Dataset:
    """A stratified split, standardised along ``axis`` by the training part's statistics."""
    from sklearn.model_selection import train_test_split

    train_features, test_features, train_labels, test_labels = train_test_split(
        features,
        labels,
        train_size=train_size,
        stratify=labels,
        random_state=_sklearn_state(seed),
    )
    mean, std = train_features.mean(axis=axis), train_features.std(axis=axis)

    def inputs(features: NDArray[np.float64]) -> torch.Tensor:
        return torch.from_numpy(((features - mean) / std).astype(np.float32))

    return Dataset(
        name,
        inputs(train_features),
        torch.from_numpy(train_labels.astype(np.int64)),
        inputs(test_features),
        torch.from_numpy(test_labels.astype(np.int64)),
    )


def _root(data_dir: str | os.PathLike[str] | None) -> Path:
    if data_dir is not None:
        return Path(data_dir)
    named = os.environ.get("QNNW_DATA")
    return Path(named) if named else Path.home() / ".cache" / "qnnw"


def _mnist(name: str, root: Path) -> Dataset:
    with needs("train", "The MNIST datasets"):
        from torchvision import datasets
    kind, mean, std = MNIST_FAMILY[name]
    family = getattr(datasets, kind)

    def split(train: bool) -> tuple[torch.Tensor, torch.Tensor]:
        try:
            try:
                data = family(root, train=train, download=False)
            except RuntimeError:  # torchvision's word for files that are not there
                data = family(root, train=train, download=True)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DatasetError(
                f"{kind} cannot be read from or downloaded to {str(root)!r}: {reason}; "
                f"name a folder that holds {kind}/raw with --data-dir or QNNW_DATA"
            ) from error
        count = 60_000 if train else 10_000
        if data.data.shape != (count, 28, 28) or data.targets.shape != (count,):
            raise DatasetError(
                f"{kind} in {str(root)!r} has images of shape {tuple(data.data.shape)} and labels "
                f"of shape {tuple(data.targets.shape)}; ({count}, 28, 28) and ({count},) are needed"
            )
        images = data.data.unsqueeze(1).to(torch.float32)
        return images.div_(255.0).sub_(mean).div_(std), data.targets.to(torch.int64)

    return Dataset(name, *split(train=True), *split(train=False))


def _validation(dataset: Dataset, samples: int, seed: int) -> Dataset:
    """The dataset with part of its training set in the place of its test set."""
    available = len(dataset.train_labels)
    classes = len(np.unique(dataset.train_labels.numpy()))
    if not classes <= samples <= available - classes:
        raise ValueError(
            f"`validation_samples` is {samples}; {dataset.name} needs from {classes} (one per "
            f"class) to {available - classes}"
        )
    index = _stratified(dataset.train_labels, samples, seed)
    rest = torch.ones(available, dtype=torch.bool)
    rest[index] = False
    return replace(
        dataset,
        train_inputs=dataset.train_inputs[rest],
        train_labels=dataset.train_labels[rest],
        test_inputs=dataset.train_inputs[index],
        test_labels=dataset.train_labels[index],
    )


def _stratified(labels: torch.Tensor, samples: int, seed: int) -> torch.Tensor:
    """Sorted places of a stratified sample."""
    with needs("train", "A subset of the training samples"):
        from sklearn.model_selection import train_test_split
    chosen, _ = train_test_split(
        np.arange(len(labels)),
        train_size=samples,
        stratify=labels.numpy(),
        random_state=_sklearn_state(seed),
    )
    return torch.from_numpy(np.sort(chosen))


def _subset(dataset: Dataset, train_samples: int, seed: int) -> Dataset:
    available = len(dataset.train_labels)
    classes = len(np.unique(dataset.train_labels.numpy()))
    if not classes <= train_samples <= available:
        raise ValueError(
            f"`train_samples` is {train_samples}; {dataset.name} needs from {classes} (one per "
            f"class) to {available}"
        )
    if train_samples > available - classes:
        # Too few would be left out to stratify them.
        chosen = np.random.default_rng(seed).permutation(available)[:train_samples]
        index = torch.from_numpy(np.sort(chosen))
    else:
        index = _stratified(dataset.train_labels, train_samples, seed)
    return replace(
        dataset,
        train_inputs=dataset.train_inputs[index],
        train_labels=dataset.train_labels[index],
    )


def _sklearn_state(seed: int) -> int:
    """Fold a seed to the 32 bits that scikit-learn takes; small seeds stay as they are."""
    return (seed ^ (seed >> 32)) & 0xFFFF_FFFF

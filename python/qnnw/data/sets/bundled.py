"""scikit-learn's own: its 8x8 digits, and Iris, the paper's smaller data set."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from qnnw._common.extras import needs
from qnnw.data.registry import Entry, register

if TYPE_CHECKING:
    from torch import nn

    from qnnw.data.datasets import Dataset


def _digits(seed: int, data_dir: str | os.PathLike[str] | None) -> Dataset:  # noqa: ARG001
    """1,347 training and 450 test images, stratified; one mean and deviation for all pixels."""
    with needs("train", "The digits dataset"):
        from sklearn.datasets import load_digits
    from qnnw.data.arrays import standardised_split

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 1, 8, 8)
    return standardised_split("digits", images, labels, 1347, seed, None, tuple(range(10)))


def _iris(seed: int, data_dir: str | os.PathLike[str] | None) -> Dataset:  # noqa: ARG001
    """100 training and 50 test flowers, stratified; features standardised by the training split."""
    with needs("train", "The Iris dataset"):
        from sklearn.datasets import load_iris
    from qnnw.data.arrays import standardised_split

    features, labels = load_iris(return_X_y=True)
    names = ("setosa", "versicolor", "virginica")
    return standardised_split("iris", features, labels, 100, seed, 0, names)


def _network(name: str, activation: str) -> nn.Module:
    from qnnw.data import networks

    made: nn.Module = getattr(networks, name)(activation)
    return made


register("digits", Entry(_digits, partial(_network, "digits"), (1, 8, 8), 10))
register("iris", Entry(_iris, partial(_network, "iris"), (4,), 3))

"""Iris: the paper's smaller data set."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qnnw._common.extras import needs
from qnnw.data.registry import Entry, register

if TYPE_CHECKING:
    from torch import nn

    from qnnw.data.datasets import Dataset

TRAIN_SAMPLES = 100


def _load(seed: int, data_dir: str | os.PathLike[str] | None) -> Dataset:  # noqa: ARG001
    """100 training and 50 test flowers, stratified; features standardised by the training split."""
    with needs("train", "The Iris dataset"):
        from sklearn.datasets import load_iris
    from qnnw.data.arrays import standardised_split

    features, labels = load_iris(return_X_y=True)
    names = ("setosa", "versicolor", "virginica")
    return standardised_split("iris", features, labels, TRAIN_SAMPLES, seed, 0, names)


def _network(activation: str) -> nn.Module:
    from qnnw.data import networks

    return networks.iris(activation)


register("iris", Entry(_load, _network, (4,), 3))

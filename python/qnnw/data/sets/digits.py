"""scikit-learn's 8x8 digits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qnnw._common.extras import needs
from qnnw.data.registry import Entry, register

if TYPE_CHECKING:
    from torch import nn

    from qnnw.data.datasets import Dataset

TRAIN_SAMPLES = 1347


def _load(seed: int, data_dir: str | os.PathLike[str] | None) -> Dataset:  # noqa: ARG001
    """1,347 training and 450 test images, stratified; one mean and deviation for all pixels."""
    with needs("train", "The digits dataset"):
        from sklearn.datasets import load_digits
    from qnnw.data.arrays import standardised_split

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 1, 8, 8)
    return standardised_split("digits", images, labels, TRAIN_SAMPLES, seed, None, tuple(range(10)))


def _network(activation: str) -> nn.Module:
    from qnnw.data import networks

    return networks.digits(activation)


register("digits", Entry(_load, _network, (1, 8, 8), 10))

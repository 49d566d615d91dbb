"""MNIST and FashionMNIST, in torchvision's folders."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from qnnw._common.extras import needs
from qnnw.data.registry import Entry, register

if TYPE_CHECKING:
    import torch
    from torch import nn

    from qnnw.data.datasets import Dataset

# torchvision's class, and mean and standard deviation of the training pixels in [0, 1].
FAMILY = {
    "mnist": ("MNIST", 0.1307, 0.3081),
    "fashion-mnist": ("FashionMNIST", 0.2860, 0.3530),
}
GARMENTS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip


def _load(name: str, seed: int, data_dir: str | os.PathLike[str] | None) -> Dataset:  # noqa: ARG001
    """The standard 60,000 and 10,000 images, pixels in [0, 1] normalised by fixed numbers."""
    from qnnw.data.datasets import Dataset

    classes = GARMENTS if name == "fashion-mnist" else tuple(range(10))
    images, labels, files = _split(name, data_dir, True)
    held, held_labels, held_files = _split(name, data_dir, False)
    return Dataset(
        name, images, labels, held, held_labels,
        classes=classes, network=name, files={**files, **held_files},
    )  # fmt: skip


def _split(
    name: str, data_dir: str | os.PathLike[str] | None, train: bool
) -> tuple[torch.Tensor, torch.Tensor, dict[str, str]]:
    with needs("train", "The MNIST datasets"):
        import torch

        from qnnw.data.images import torchvision_split
    from qnnw.data.datasets import data_root
    from qnnw.data.idx import read_split

    kind, mean, std = FAMILY[name]
    root = data_root(data_dir)
    images, labels, files = read_split(
        kind, root, train, lambda: torchvision_split(kind, root, train)
    )
    pixels = torch.from_numpy(images[:, None].astype(np.float32))
    return pixels.div_(255.0).sub_(mean).div_(std), torch.from_numpy(labels.astype(np.int64)), files


def _network(activation: str) -> nn.Module:
    from qnnw.data import networks

    return networks.mnist(activation)


for _name in FAMILY:
    register(_name, Entry(partial(_load, _name), _network, (1, 28, 28), 10))

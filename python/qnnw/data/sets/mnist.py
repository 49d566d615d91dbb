"""MNIST and FashionMNIST, as torchvision reads them."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

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
    splits = (*_split(name, data_dir, True), *_split(name, data_dir, False))
    return Dataset(name, *splits, classes=classes, network=name)


def _split(
    name: str, data_dir: str | os.PathLike[str] | None, train: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    with needs("train", "The MNIST datasets"):
        import torch

        from qnnw.data.images import torchvision_split
    from qnnw.data.datasets import DatasetError, data_root

    kind, mean, std = FAMILY[name]
    data = torchvision_split(kind, data_root(data_dir), train)
    count = 60_000 if train else 10_000
    if data.data.shape != (count, 28, 28) or data.targets.shape != (count,):
        raise DatasetError(
            f"{kind} in {str(data_root(data_dir))!r} has images of shape {tuple(data.data.shape)} "
            f"and labels of shape {tuple(data.targets.shape)}; ({count}, 28, 28) and ({count},) "
            "are needed"
        )
    images = data.data.unsqueeze(1).to(torch.float32)
    return images.div_(255.0).sub_(mean).div_(std), data.targets.to(torch.int64)


def _network(activation: str) -> nn.Module:
    from qnnw.data import networks

    return networks.mnist(activation)


for _name in FAMILY:
    register(_name, Entry(partial(_load, _name), _network, (1, 28, 28), 10))

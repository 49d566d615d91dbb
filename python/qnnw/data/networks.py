"""The paper's two networks, one for the 8x8 digits, and defaults for other data: plain modules."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from qnnw._common.extras import needs
from qnnw.data.datasets import About, Dataset

with needs("train", "qnnw.data.networks"):
    import torch
    from torch import nn

__all__ = ["ACTIVATIONS", "default", "digits", "iris", "mnist", "num_weights", "seeded"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "identity": nn.Identity,
}
# Images at least this wide and high get convolutions by default.
LEAST_IMAGE = 8


def iris(activation: str = "relu") -> nn.Sequential:
    """linear(4→16), activation, linear(16→3): 131 weights.

    Parameters
    ----------
    activation
        ``"relu"``, ``"tanh"`` or ``"identity"``; the paper does not say which.
    """
    return mlp(4, 3, activation)


def mlp(num_features: int, num_outputs: int, activation: str = "relu") -> nn.Sequential:
    """linear(features→16), activation, linear(16→outputs)."""
    return _layers(
        fc1=nn.Linear(num_features, 16),
        act1=_activation(activation),
        fc2=nn.Linear(16, num_outputs),
    )


def mnist(activation: str = "relu") -> nn.Sequential:
    """conv(1→8, 5x5), pool, conv(8→12, 5x5), pool, linear(192→20), linear(20→10): 6690 weights.

    Parameters
    ----------
    activation
        ``"relu"``, ``"tanh"`` or ``"identity"``, after both pools and the first linear layer; the
        paper does not say which.
    """
    # Monotone activations commute with max-pooling: after the pool they see a quarter of the data.
    return _layers(
        conv1=nn.Conv2d(1, 8, 5),
        pool1=nn.MaxPool2d(2),
        act1=_activation(activation),
        conv2=nn.Conv2d(8, 12, 5),
        pool2=nn.MaxPool2d(2),
        act2=_activation(activation),
        flatten=nn.Flatten(),
        fc1=nn.Linear(192, 20),
        act3=_activation(activation),
        fc2=nn.Linear(20, 10),
    )


def digits(activation: str = "relu") -> nn.Sequential:
    """linear(64→20), activation, linear(20→10), on 8x8 images: 1510 weights.

    Parameters
    ----------
    activation
        ``"relu"``, ``"tanh"`` or ``"identity"``.
    """
    return _layers(
        flatten=nn.Flatten(),
        fc1=nn.Linear(64, 20),
        act1=_activation(activation),
        fc2=nn.Linear(20, 10),
    )


def default(dataset: Dataset | About, activation: str = "relu") -> nn.Sequential:
    """The network of a data set that has none of its own.

    Vectors: :func:`mlp`. Images of at least 8x8: conv(→8, 3x3), pool, activation, conv(8→12, 3x3),
    activation, an average over 4x4 places, linear(→outputs). Anything else is flattened first.
    """
    shape, outputs = dataset.input_shape, dataset.num_outputs
    if len(shape) == 1:
        return mlp(shape[0], outputs, activation)
    if len(shape) == 3 and min(shape[1:]) >= LEAST_IMAGE:
        return _layers(
            conv1=nn.Conv2d(shape[0], 8, 3, padding=1),
            pool1=nn.MaxPool2d(2),
            act1=_activation(activation),
            conv2=nn.Conv2d(8, 12, 3, padding=1),
            act2=_activation(activation),
            pool2=_places(shape[1] // 2, shape[2] // 2),
            flatten=nn.Flatten(),
            fc=nn.Linear(12 * 16, outputs),
        )
    flattened = mlp(math.prod(shape), outputs, activation)
    return _layers(flatten=nn.Flatten(), **dict(flattened.named_children()))


def seeded(make: Callable[[], Any], dataset: Dataset | About, seed: int) -> nn.Module:
    """A network whose own random numbers come from the seed; the global generator stays as it was.

    Lazy layers take their shapes from the data.

    Raises
    ------
    TypeError
        What was made is no module.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(seed) % 2**63)
        network = make()
        if not isinstance(network, nn.Module):
            raise TypeError(
                f"`network` gave an object of type {type(network).__name__}; it must give a "
                "torch.nn.Module"
            )
        if any(nn.parameter.is_lazy(parameter) for parameter in network.parameters()):
            training = network.training
            with torch.no_grad():
                network.eval()(torch.zeros(1, *dataset.input_shape))
            network.train(training)
    return network


def num_weights(network: nn.Module) -> int:
    """Number of entries of all parameters, M."""
    return sum(parameter.numel() for parameter in network.parameters())


def _layers(**named: nn.Module) -> nn.Sequential:
    """These, one after another, by their names."""
    return nn.Sequential(OrderedDict(named))


def _places(height: int, width: int) -> nn.Module:
    """An average over 4x4 places; one that ONNX has too, where the size lets it."""
    if height % 4 == 0 and width % 4 == 0:
        return nn.AvgPool2d((height // 4, width // 4))
    return nn.AdaptiveAvgPool2d(4)


def _activation(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        known = ", ".join(map(repr, ACTIVATIONS))
        raise ValueError(f"`activation` is {name!r}; it must be one of {known}")
    return ACTIVATIONS[name]()

"""The paper's two networks, and one for the 8x8 digits, as plain torch modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from qnnw._common.extras import needs

with needs("train", "qnnw.data.networks"):
    from torch import nn

__all__ = ["ACTIVATIONS", "digits", "iris", "mnist", "num_weights"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "identity": nn.Identity,
}


def iris(activation: str = "relu") -> nn.Sequential:
    """linear(4→16), activation, linear(16→3): 131 weights.

    Parameters
    ----------
    activation
        ``"relu"``, ``"tanh"`` or ``"identity"``; the paper does not say which.
    """
    return nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(4, 16),
            act1=_activation(activation),
            fc2=nn.Linear(16, 3),
        )
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
    return nn.Sequential(
        OrderedDict(
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
    )


def digits(activation: str = "relu") -> nn.Sequential:
    """linear(64→20), activation, linear(20→10), on 8x8 images: 1510 weights.

    Parameters
    ----------
    activation
        ``"relu"``, ``"tanh"`` or ``"identity"``.
    """
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(64, 20),
            act1=_activation(activation),
            fc2=nn.Linear(20, 10),
        )
    )


def num_weights(network: nn.Module) -> int:
    """Number of entries of all parameters, M."""
    return sum(parameter.numel() for parameter in network.parameters())


def _activation(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        known = ", ".join(map(repr, ACTIVATIONS))
        raise ValueError(f"`activation` is {name!r}; it must be one of {known}")
    return ACTIVATIONS[name]()

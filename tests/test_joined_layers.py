"""Which networks an evaluation takes, and layers that it joins: the same numbers as apart."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from qnnw.data import networks
from qnnw.training import evaluation


@pytest.mark.parametrize("size", [6, 7, 8, 13, 28])
@pytest.mark.parametrize("bias", [True, False])
def test_joined_convolution_and_pool(size, bias):
    network = nn.Sequential(nn.Conv2d(3, 5, (5, 4), bias=bias), nn.MaxPool2d(2))
    joined = copy.deepcopy(network)
    (made,) = evaluation._join(joined)
    assert joined[0] is made
    made.refresh()
    inputs = torch.randn(4, 3, size, size + 1)
    with torch.no_grad():
        torch.testing.assert_close(joined(inputs), network(inputs))


def test_others_are_left_alone():
    for conv, pool in (
        (nn.Conv2d(1, 64, 3), nn.MaxPool2d(2)),
        (nn.Conv2d(1, 8, 3, padding=1), nn.MaxPool2d(2)),
        (nn.Conv2d(1, 8, 3, stride=2), nn.MaxPool2d(2)),
        (nn.Conv2d(2, 8, 3, groups=2), nn.MaxPool2d(2)),
        (nn.Conv2d(1, 8, 3), nn.MaxPool2d(3)),
        (nn.Conv2d(1, 8, 3), nn.MaxPool2d(2, stride=1)),
        (nn.Conv2d(1, 8, 3), nn.MaxPool2d(2, ceil_mode=True)),
        (nn.Conv2d(1, 8, 3), nn.AvgPool2d(2)),
    ):
        network = nn.Sequential(conv, pool)
        assert evaluation._join(network) == []
        assert list(network) == [conv, pool]


def test_networks():
    assert networks.num_weights(networks.iris()) == 131
    assert networks.num_weights(networks.mnist()) == 6690
    with pytest.raises(ValueError, match="`activation` is 'gelu'"):
        networks.mnist("gelu")


@pytest.mark.parametrize("activation", networks.ACTIVATIONS)
def test_the_activation_may_stand_before_or_after_the_pool(activation):
    """All are monotone, so that nothing depends on it."""
    network = networks.mnist(activation)
    swapped = nn.Sequential(
        network.conv1, network.act1, network.pool1, network.conv2, network.act2, network.pool2,
        network.flatten, network.fc1, network.act3, network.fc2,
    )  # fmt: skip
    inputs = torch.randn(4, 1, 28, 28)
    assert torch.equal(network(inputs), swapped(inputs))

"""Small torch modules of every kind, their inputs, and a circuit around them."""

from __future__ import annotations

import torch
from torch import nn

from qnnw.nn import QuantumTrain


def mlp(dtype=torch.float32):
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)


def wrap(module=None, **changed):
    """The module, or a small one in double precision, made by a short circuit."""
    module = mlp(torch.float64) if module is None else module
    return QuantumTrain(module, **{"reps": 2, "mapping": "centered", **changed})


class Tied(nn.Module):
    """A small language model whose output layer is its embedding."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 5)
        self.output = nn.Linear(5, 11, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens):
        return self.output(self.embedding(tokens).mean(1))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(10, 2)

    def forward(self, sequence):
        return self.head(self.lstm(sequence)[0][:, -1])


def batch_norm_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 3),
    )  # fmt: skip


def frozen_part():
    module = mlp()
    module[0].weight.requires_grad_(False)
    return module


# What the small module takes.
INPUTS = torch.linspace(-1, 1, 20, dtype=torch.float64).view(5, 4)


def inputs_for(name):
    generator = torch.Generator().manual_seed(3)
    shape = {"cnn": (16, 1, 8, 8), "lstm": (16, 7, 3)}.get(name, (16, 4))
    if name == "tied":
        return torch.randint(0, 11, (16, 3), generator=generator)
    dtype = {"double": torch.float64, "bf16": torch.bfloat16}.get(name, torch.float32)
    return torch.randn(shape, generator=generator).to(dtype)


MODULES = {
    "mlp": mlp,
    "double": lambda: mlp(torch.float64),
    "bf16": lambda: mlp(torch.bfloat16),
    "cnn": batch_norm_cnn,
    "lstm": Lstm,
    "tied": Tied,
    "frozen": frozen_part,
}

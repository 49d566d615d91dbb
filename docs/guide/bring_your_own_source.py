"""A weight source of your own: hashed weights, of which a few numbers are trained."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from qnnw.nn import QuantumTrain
from qnnw.weights.source import Description, Group, WeightSource, register_kind


class Hashed:
    """Every weight is one of a few trained numbers, times a sign (Chen et al. 2015)."""

    shots, version = None, 0  # nothing is measured, no setting changes

    def __init__(self, num_weights, size, seed=0):
        self.num_weights, self.size, self.seed = num_weights, size, seed
        rng = np.random.default_rng(seed)
        self.bucket = rng.integers(size, size=num_weights)
        self.sign = rng.choice([-1.0, 1.0], size=num_weights)
        self.start = rng.normal(scale=0.3, size=size)

    @property
    def groups(self):
        """One group of trained numbers."""
        return {"buckets": Group(self.start)}

    def forward(self, parameters, draw=0):  # noqa: ARG002
        """The weights, and the way back to the numbers."""
        weights = self.sign * np.asarray(parameters["buckets"], dtype=np.float64)[self.bucket]

        def pullback(cotangent):
            summed = np.bincount(self.bucket, self.sign * cotangent, minlength=self.size)
            return {"buckets": summed}

        return weights, pullback

    def weights(self, parameters, draw=0):
        """The weights alone."""
        return self.forward(parameters, draw)[0]

    def describe(self):
        """Seeds, not what they draw."""
        settings = {"num_weights": self.num_weights, "size": self.size, "seed": self.seed}
        return Description({"kind": "my hashes", **settings})


def rebuild(description):
    """The source again, from a file."""
    settings = {key: value for key, value in description.settings.items() if key != "kind"}
    return Hashed(**settings)


register_kind("my hashes", rebuild)

torch.manual_seed(0)
inputs, labels = torch.randn(200, 4), torch.arange(200) % 3
inputs[torch.arange(200), labels] += 3.0


def network():
    """Any module."""
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))


model = QuantumTrain(network(), source=lambda num_weights: Hashed(num_weights, size=32))
assert isinstance(model.source, WeightSource)
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
for _ in range(100):
    optimizer.zero_grad()
    functional.cross_entropy(model(inputs), labels).backward()
    optimizer.step()

model.save_pretrained("hashed")
again = QuantumTrain.from_pretrained(network(), "hashed")
with torch.no_grad():
    assert torch.equal(again(inputs), model(inputs))
    accuracy = (model(inputs).argmax(1) == labels).float().mean().item()
print(f"{model.num_trainable_parameters} numbers, accuracy {accuracy:.2f}")

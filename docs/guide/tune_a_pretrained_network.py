"""A trained network learns shifted images by 128 numbers, and is still there."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from qnnw.nn import QuantumTrain

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images).float()[:, None] / 16
labels = torch.tensor(digits.target)
shifted = torch.roll(images, 2, dims=3)
train, test = torch.arange(1200), torch.arange(1200, len(labels))


def fit(model, inputs, steps, lr):
    """Adam on batches of 100."""
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=lr)
    for _ in range(steps):
        batch = train[torch.randperm(1200)[:100]]
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs[batch]), labels[batch]).backward()
        optimizer.step()


@torch.no_grad()
def accuracy(model, inputs):
    """On the test images."""
    return (model(inputs[test]).argmax(1) == labels[test]).float().mean().item()


network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
fit(network, images, 300, 0.01)
print(f"before {accuracy(network, images):.3f}, shifted {accuracy(network, shifted):.3f}")

model = QuantumTrain(network, base="keep", reps=10, trained=127, dtype="float32")
assert accuracy(model, images) == accuracy(network, images)  # step 0 is the network
fit(model, shifted, 400, 0.05)
model.print_trainable_parameters()
print(f"adapted {accuracy(model, shifted):.3f}")

with model.disable_adapter():
    print(f"without {accuracy(model, images):.3f}")
model.save_pretrained("shifted")  # the numbers, seeds, and the network's fingerprint
again = QuantumTrain.from_pretrained(network, "shifted")
assert torch.equal(again(shifted), model(shifted))

model.add_adapter("chunks", circuits=8, seed=1)  # another way, on the same network
model.set_adapter("chunks")
model.print_trainable_parameters()
plain = model.merge_and_unload()

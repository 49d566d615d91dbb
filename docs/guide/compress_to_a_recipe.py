"""Ship a network as its recipe: angles, gamma and a seed instead of the weights."""

from pathlib import Path

import torch

import qnnw
from qnnw.data import networks
from qnnw.nn import pretrained

model = qnnw.nn.QuantumTrain(networks.mnist(), reps=13, seed=3)  # train it here
pretrained.save_recipe(model, "mnist.recipe")
size = Path("mnist.recipe").stat().st_size
print(f"{size} bytes for {model.num_all_parameters} weights")

# Elsewhere: the same network class, and the file.
network = qnnw.load_recipe("mnist.recipe", networks.mnist())
images = torch.randn(2, 1, 28, 28)
with torch.no_grad():
    assert torch.equal(network.eval()(images), model.eval()(images))  # to the last bit

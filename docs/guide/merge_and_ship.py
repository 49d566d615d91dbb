"""Take the trained network home: a plain module, and files without qnnw in them."""

import safetensors.torch
import torch
from torch import nn

import qnnw

net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
model = qnnw.nn.QuantumTrain(net, reps=2, seed=1).eval()  # train it here
inputs = torch.randn(5, 4)

plain = model.merge_and_unload()  # no circuit left
with torch.no_grad():
    assert torch.equal(plain(inputs), model(inputs))  # to the last bit

safetensors.torch.save_file(plain.state_dict(), "plain.safetensors")
torch.export.save(torch.export.export(plain, (inputs,)), "plain.pt2")

# Or keep the circuit, to train on later:
model.save_pretrained("checkpoint")
again = qnnw.nn.QuantumTrain.from_pretrained(net, "checkpoint").eval()
with torch.no_grad():
    assert torch.equal(again(inputs), model(inputs))

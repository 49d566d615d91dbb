"""Any circuit makes a network's weights: blocks by name, gates by hand, Qiskit, OpenQASM 3."""

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_iris
from torch import nn

import qnnw
from qnnw.circuit import parameter, two_local, u3_cu3

# 1. In layers: rotations, entanglers, and who is entangled with whom.
circuit = two_local(7, ("rx", "rz"), "cz", reps=3, entanglement="brick_wall", initial=1.0)
print(circuit.num_parameters, "parameters,", len(circuit.live_angles), "that change something")
print(circuit.plan().splitlines()[1])

# 2. Gate by gate; an angle is linear in the parameters, and a parameter may come back.
bell = qnnw.Circuit(2, [("ry", (0,), [parameter(0)]), ("crx", (0, 1), [2 * parameter(0) + 0.1])])
p, pullback = bell.probabilities_with_vjp([0.3])
print(np.round(p, 3), np.round(pullback([1, 0, 0, -1]), 3))

# 3. It trains a network as EfficientSU2 does.
inputs, labels = load_iris(return_X_y=True)
inputs = torch.tensor((inputs - inputs.mean(0)) / inputs.std(0), dtype=torch.float32)
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
model = qnnw.nn.QuantumTrain(network, circuit=lambda n: u3_cu3(n, reps=2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
for _ in range(60):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs), torch.tensor(labels)).backward()
    optimizer.step()
accuracy = (model(inputs).argmax(1).numpy() == labels).mean()
print(f"{sum(p.numel() for p in model.parameters())} numbers, accuracy {accuracy:.2f}")

# 4. To Qiskit and back, and to a file that the command line takes.
again = qnnw.Circuit.from_qiskit(circuit.to_qiskit())
print("the same plan:", again.plan() == circuit.plan())
Path("mine.qasm").write_text(circuit.to_openqasm3(), encoding="utf-8")

"""Every optimiser takes angles and gamma: torch's, SciPy's, or one that sees values alone."""

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.datasets import load_iris
from torch import nn
from torch.nn import functional

import qnnw
from qnnw.optim import EigenAdam, Spsa

features, labels = load_iris(return_X_y=True)
inputs = torch.from_numpy((features - features.mean(0)) / features.std(0))
labels = torch.from_numpy(labels)
net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)).double()


def fresh():
    """Wrap the network anew."""
    return qnnw.nn.QuantumTrain(net, reps=2, scale="none", gamma=0.6, seed=0)


def loss(model):
    """Cross-entropy over all flowers."""
    return functional.cross_entropy(model(inputs), labels)


def train(model, optimizer):
    """One hundred steps on all flowers; the loss at the end."""
    for _ in range(100):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    return loss(model).item()


# torch.optim, here with a smaller rate for gamma.
model = fresh()
groups = [{"params": [model.angles], "lr": 0.1}, {"params": [model.gamma], "lr": 0.02}]
optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
by_adamw = train(model, optimizer)

# Adam in the eigenbasis of the gradients.
model = fresh()
optimizer = EigenAdam(model.parameters(), lr=0.05)
by_eigen_adam = train(model, optimizer)

# SciPy, with exact gradients.
model = fresh()


def value_and_gradient(point):
    """Loss and exact gradient by angles and gamma."""
    with torch.no_grad():
        model.angles.copy_(torch.from_numpy(point[:-1]))
        model.gamma.fill_(point[-1])
    model.zero_grad()
    value = loss(model)
    value.backward()
    gradient = torch.cat([model.angles.grad, model.gamma.grad.view(1)])
    return value.item(), gradient.double().numpy()


start = np.append(model.angles.detach().double().numpy(), model.gamma.item())
by_scipy = minimize(value_and_gradient, start, jac=True, options={"maxiter": 60}).fun


# Values alone, as on a device that gives counts: SPSA with 4096 shots an evaluation.
model = qnnw.nn.QuantumTrain(net, reps=2, scale="none", gamma=0.6, seed=0, shots=4096).eval()


@torch.no_grad()
def measured(angles):
    """Loss of freshly measured weights."""
    model.angles.copy_(torch.from_numpy(angles))
    model.draws.add_(1)  # another measurement
    return loss(model).item()


angles = model.angles.detach().double().numpy()
by_spsa = Spsa(step=1.0, seed=0).minimize(measured, angles, 400).value
print(f"AdamW {by_adamw:.3f}, EigenAdam {by_eigen_adam:.3f}, BFGS {by_scipy:.3f}")
print(f"SPSA with shots {by_spsa:.3f}")

"""A step of an earlier release (0.1), in a process of its own; `benches/step.py --release` asks it.

The release lies in a folder of its own, installed there by `pip install --target DIR .`.
Asked as `serving.py` says.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from qnnw._allocator import keep_freed_memory
from qnnw.backward import BatchGradient
from qnnw.generator import WeightGenerator
from torch.nn import functional

import qnnw
from qnnw import networks
from serving import serve

QUBITS, REPS, BATCH = 13, 26, 128


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 1, 28, 28, generator=generator)
    labels = torch.randint(0, 10, (BATCH,), generator=generator)
    return images.contiguous(memory_format=torch.channels_last), labels


def module_step() -> Callable[[], None]:
    model = qnnw.nn.QuantumTrain(networks.mnist(), reps=REPS, mapping="centered", seed=0)
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images, labels = batch()

    def step() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def loop_step() -> Callable[[], None]:
    weight_map = qnnw.WeightMap(6690, seed=0, mapping="centered")
    ansatz = qnnw.EfficientSU2(QUBITS, REPS)
    generator = WeightGenerator(ansatz, weight_map)
    gradient = BatchGradient(networks.mnist(), threads=qnnw.get_num_threads())
    angles = torch.from_numpy(ansatz.random_angles(0)).requires_grad_()
    gamma = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([angles, gamma], lr=1e-3)
    images, labels = batch()

    def step() -> None:
        optimizer.zero_grad()
        values, scale = angles.detach().numpy(), float(gamma.detach())
        weights = generator.weights(values, scale, record=True)
        _, cotangent = gradient(weights, images, labels)
        by_angles, by_gamma = generator.gradients(values, scale, cotangent)
        angles.grad = torch.from_numpy(by_angles)
        gamma.grad = torch.tensor(by_gamma, dtype=torch.float64)
        optimizer.step()

    return step


def main() -> None:
    keep_freed_memory()
    serve({"module": module_step(), "loop": loop_step()})


if __name__ == "__main__":
    main()

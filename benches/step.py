"""One training step of the paper's MNIST network, the circuit in different hands.

    python -m pip install '.[bench]'
    python benches/step.py                 # some two minutes
    python benches/step.py --json FILE
    python benches/step.py --release DIR   # beside the release installed there; see release.py

A step: weights from angles and gamma, loss and gradient of one batch of 128 images through the
network (torch, the same for all), gradient by angles and gamma, one step of Adam. In turn, in
several rounds of one run; the minimum of each. The circuit is `EfficientSU2(13, 26, "linear")` in

- qnnw: `qnnw.nn.QuantumTrain`, float64, network and images in channels-last;
- qnnw's own loop: what `qnnw train` does, chunks on all threads;
- torch: autograd through the circuit as two Kronecker products of the layer's one-qubit gates and
  an index for the CNOTs, complex64 and complex128;
- PennyLane: a QNode of `lightning.qubit`, all probabilities, differentiated by `adjoint` as it must
  be: through the observable that the cotangent is.

Gradients are checked against qnnw's before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.nn import functional

import qnnw
from qnnw._common.allocator import keep_freed_memory
from qnnw.data import networks
from qnnw.nn.layout import one_channel
from qnnw.training.gradient import BatchGradient
from qnnw.weights.circuit import CircuitSource
from serving import serve

QUBITS, REPS, BATCH = 13, 26, 128


class TorchCircuit:
    """The circuit in plain torch, all of it differentiable."""

    def __init__(self, weight_map: qnnw.WeightMap, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.real = torch.float32 if dtype == torch.complex64 else torch.float64
        index = np.arange(2**QUBITS)
        # CNOT(q, q+1) for q = 0, 1, … : new[y] = old[y ^ (y << 1)].
        self.source = torch.from_numpy((index ^ (index << 1)) & (2**QUBITS - 1))
        self.low, self.high = 6, 7
        self.first = torch.from_numpy(weight_map.first.copy())
        self.second = torch.from_numpy(weight_map.second.copy())
        self.signs = torch.from_numpy(weight_map.signs.astype(np.float64)).to(self.real)
        self.centered = weight_map.mapping == "centered"

    def gates(self, angles: torch.Tensor) -> torch.Tensor:
        """RZ RY of every qubit: (N, 2, 2)."""
        ry, rz = angles[:QUBITS] / 2, angles[QUBITS:] / 2
        cos, sin = torch.cos(ry), torch.sin(ry)
        minus = torch.polar(torch.ones_like(rz), -rz)
        plus = torch.polar(torch.ones_like(rz), rz)
        top = torch.stack([cos * minus, -sin * minus], 1)
        bottom = torch.stack([sin * plus, cos * plus], 1)
        return torch.stack([top, bottom], 1)

    def kron(self, gates: torch.Tensor) -> torch.Tensor:
        """One matrix of several qubits; the first gate is the least significant."""
        product = gates[0]
        for gate in gates[1:]:
            product = torch.kron(gate.contiguous(), product)
        return product

    def probabilities(self, angles: torch.Tensor) -> torch.Tensor:
        """All 2^N probabilities."""
        layers = angles.to(self.real).view(REPS + 1, 2 * QUBITS)
        size = 2 ** (QUBITS / 2)
        state = torch.full((2**self.high, 2**self.low), 1 / size, dtype=self.dtype)
        for number, layer in enumerate(layers):
            gates = self.gates(layer)
            low, high = self.kron(gates[: self.low]), self.kron(gates[self.low :])
            state = high @ state @ low.T
            if number < REPS:
                state = state.reshape(-1)[self.source].view(state.shape)
        flat = state.reshape(-1)
        return flat.real**2 + flat.imag**2

    def weights(self, angles: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
        """Probabilities, mapped."""
        return self.mapped(self.probabilities(angles), gamma)

    def mapped(self, probabilities: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
        """The map of qnnw.WeightMap."""
        mean = (probabilities[self.first] + probabilities[self.second]) / 2
        scaled = 2.0**QUBITS * mean - 1 if self.centered else 2.0 ** (QUBITS - 1) * mean
        return gamma * torch.tanh(self.signs * gamma * scaled)


class PennylaneCircuit:
    """Probabilities from a QNode; the way back by the adjoint method, for one observable."""

    def __init__(self, weight_map: qnnw.WeightMap) -> None:
        import pennylane

        self.map = TorchCircuit(weight_map, torch.complex128)
        device = pennylane.device("lightning.qubit", wires=QUBITS)

        def circuit(angles: Any) -> None:
            for qubit in range(QUBITS):
                pennylane.Hadamard(qubit)
            layers = angles.reshape(REPS + 1, 2, QUBITS)
            for number, (ry, rz) in enumerate(layers):
                for qubit in range(QUBITS):
                    pennylane.RY(ry[qubit], qubit)
                for qubit in range(QUBITS):
                    pennylane.RZ(rz[qubit], qubit)
                if number < REPS:
                    for qubit in range(QUBITS - 1):
                        pennylane.CNOT([qubit, qubit + 1])

        # PennyLane's first wire is the most significant bit.
        wires = range(QUBITS - 1, -1, -1)

        @pennylane.qnode(device)
        def probabilities(angles: Any) -> Any:
            circuit(angles)
            return pennylane.probs(wires=wires)

        self.pennylane, self.circuit, self.device = pennylane, circuit, device
        self.forward = probabilities

    def vjp(self, angles: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        """Gradient of sum(cotangent * probabilities), by the adjoint method."""
        from scipy.sparse import diags

        pennylane = self.pennylane
        # Lightning takes the matrix over all wires in their order, the first the most significant.
        ordered = cotangent.reshape((2,) * QUBITS).transpose().reshape(-1)
        observable = pennylane.SparseHamiltonian(diags(ordered).tocsr(), wires=range(QUBITS))

        @pennylane.qnode(self.device, diff_method="adjoint")
        def expectation(values: Any) -> Any:
            self.circuit(values)
            return pennylane.expval(observable)

        values = pennylane.numpy.array(angles, requires_grad=True)
        return np.asarray(pennylane.grad(expectation)(values))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels, the same for all."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 1, 28, 28, generator=generator)
    labels = torch.randint(0, 10, (BATCH,), generator=generator)
    return images.contiguous(memory_format=torch.channels_last), labels


class Step(ABC):
    """Angles, gamma, their optimiser, and the network; subclasses bring the circuit."""

    def __init__(self) -> None:
        self.weight_map = qnnw.WeightMap(6690, seed=0, mapping="centered")
        self.ansatz = qnnw.EfficientSU2(QUBITS, REPS)
        self.angles = torch.from_numpy(self.ansatz.random_angles(0)).requires_grad_()
        self.gamma = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        self.optimizer = torch.optim.Adam([self.angles, self.gamma], lr=1e-3)
        self.network = networks.mnist()
        self.images, self.labels = batch()
        self.circuit_seconds = 0.0

    def loss(self, weights: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the batch, with the network's weights from a flat vector."""
        named, start = {}, 0
        for name, parameter in self.network.named_parameters():
            part = weights[start : start + parameter.numel()]
            shape = parameter.shape
            one = len(shape) == 4 and shape[1] == 1
            named[name] = (one_channel(part, shape) if one else part.view(shape)).float()
            start += parameter.numel()
        logits = torch.func.functional_call(self.network, named, self.images)
        return functional.cross_entropy(logits, self.labels)

    @abstractmethod
    def gradients(self) -> None:
        """Fill in the gradients by angles and gamma."""

    def __call__(self) -> None:
        """One whole step."""
        self.optimizer.zero_grad()
        self.gradients()
        self.optimizer.step()


class Autograd(Step):
    """The circuit in torch, differentiated by torch."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.circuit = TorchCircuit(self.weight_map, dtype)

    def gradients(self) -> None:
        """Fill in the gradients by angles and gamma."""
        self.loss(self.circuit.weights(self.angles, self.gamma)).backward()


class Module(Step):
    """What a user of QuantumTrain runs."""

    def __init__(self) -> None:
        super().__init__()
        model = qnnw.nn.QuantumTrain(
            self.network, reps=REPS, mapping="centered", scale="none", gamma=0.3, seed=0
        )
        model = model.to(memory_format=torch.channels_last)
        self.model, self.angles, self.gamma = model, model.angles, model.gamma
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def gradients(self) -> None:
        """Fill in the gradients by angles and gamma."""
        functional.cross_entropy(self.model(self.images), self.labels).backward()


class OwnLoop(Step):
    """What `qnnw train` runs."""

    def __init__(self) -> None:
        super().__init__()
        self.source = CircuitSource(self.ansatz, self.weight_map)
        self.network_gradient = BatchGradient(self.network, threads=qnnw.get_num_threads())

    def gradients(self) -> None:
        """Fill in the gradients by angles and gamma."""
        numbers = {"angles": self.angles.detach().numpy(), "gamma": self.gamma.detach().numpy()}
        start = time.perf_counter()
        weights, pullback = self.source.forward(numbers)
        between = time.perf_counter()
        _, cotangent = self.network_gradient(weights, self.images, self.labels)
        after = time.perf_counter()
        found = pullback(cotangent)
        self.circuit_seconds += between - start + time.perf_counter() - after
        self.angles.grad = torch.from_numpy(found["angles"])
        self.gamma.grad = torch.from_numpy(found["gamma"].reshape(()))


# What an earlier release has as well.
RELEASED = {"module": "qnnw, QuantumTrain", "loop": "qnnw train's loop"}


class Served:
    """The steps of a release, or of this one, in a process of its own."""

    def __init__(self, command: list[str], folder: Path | None) -> None:
        paths = [os.environ.get("PYTHONPATH", "")]
        if folder is not None:
            paths.insert(0, str(folder))
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip

    def times(self, kind: str, threads: int) -> list[float]:
        """Seconds of eight steps, after two: what ran before has left the caches to others."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{kind} {threads} 10\n")
        self.process.stdin.flush()
        found: list[float] = json.loads(self.process.stdout.readline())
        return found[2:]


def beside(folder: Path, rounds: int, threads: int) -> None:
    """Ours and the release's in turn; round by round, for others may be at work in some of them."""
    script = Path(__file__)
    ours = Served([str(script), "--serve"], None)
    theirs = Served([str(script.with_name("release.py"))], folder)
    print("| beside the last release | ms | its ms | ratio, median of the rounds |")
    print("|---|---|---|---|")
    for kind, name in RELEASED.items():
        pairs = [(ours.times(kind, threads), theirs.times(kind, threads)) for _ in range(rounds)]
        best = [1e3 * min(min(pair[side]) for pair in pairs) for side in (0, 1)]
        ratio = median(median(own) / median(other) for own, other in pairs)
        print(f"| {name}, {threads} thr. | {best[0]:.1f} | {best[1]:.1f} | {ratio:.2f} |")


class Pennylane(Step):
    """Probabilities and the way back by PennyLane, the rest by torch."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = PennylaneCircuit(self.weight_map)

    def gradients(self) -> None:
        """Fill in the gradients by angles and gamma."""
        angles = self.angles.detach().numpy()
        probabilities = torch.from_numpy(np.asarray(self.circuit.forward(angles)))
        probabilities.requires_grad_()
        self.loss(self.circuit.map.mapped(probabilities, self.gamma)).backward()
        assert probabilities.grad is not None
        self.angles.grad = torch.from_numpy(self.circuit.vjp(angles, probabilities.grad.numpy()))


def checked(name: str, step: Step, expected: torch.Tensor) -> None:
    step.gradients()
    assert step.angles.grad is not None
    found = step.angles.grad.double()
    worst = float((found - expected).abs().max() / expected.abs().max())
    if worst > 1e-3:
        raise SystemExit(f"{name}: its gradient is off by {worst:.1e} of the largest entry")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--release", type=Path, help="where an earlier release lies")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    keep_freed_memory()
    if given.serve:
        serve({"module": Module(), "loop": OwnLoop()})
        return
    cores = qnnw.get_num_threads()
    reference = OwnLoop()
    reference.gradients()
    expected = reference.angles.grad.clone()
    steps: dict[str, tuple[Step, int]] = {}
    for threads in sorted({1, cores}):
        steps[f"qnnw, QuantumTrain, {threads} thr."] = (Module(), threads)
        steps[f"torch, complex64, {threads} thr."] = (Autograd(torch.complex64), threads)
        steps[f"torch, complex128, {threads} thr."] = (Autograd(torch.complex128), threads)
    steps[f"qnnw train's loop, {cores} thr."] = (reference, cores)
    try:
        steps[f"PennyLane lightning.qubit, {cores} thr."] = (Pennylane(), cores)
    except ImportError:
        print("PennyLane is not installed; left out")
    for name, (step, _) in steps.items():
        checked(name, step, expected)
    times: dict[str, list[float]] = {name: [] for name in steps}
    reference.circuit_seconds = 0.0
    for _ in range(given.rounds):
        for name, (step, threads) in steps.items():
            torch.set_num_threads(threads)
            for _ in range(1 if "PennyLane" in name else 8):
                start = time.perf_counter()
                step()
                times[name].append(time.perf_counter() - start)
    best = {name: min(values) for name, values in times.items()}
    ours = min(seconds for name, seconds in best.items() if name.startswith("qnnw"))
    versions = {name: metadata.version(name) for name in ("torch", "qnnw")}
    print(f"{platform.machine()}, {cores} cores, {versions}")
    print("| a step of 128 images | ms | / best qnnw |\n|---|---|---|")
    for name, seconds in best.items():
        print(f"| {name} | {1e3 * seconds:.1f} | {seconds / ours:.1f} |")
    share = reference.circuit_seconds / sum(times[f"qnnw train's loop, {cores} thr."])
    print(f"circuit's share of a step of qnnw train's loop: {100 * share:.0f} %")
    if given.release is not None:
        beside(given.release, 10 * given.rounds, cores)
    if given.json:
        given.json.write_text(json.dumps(times))


if __name__ == "__main__":
    main()

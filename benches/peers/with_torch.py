"""The same circuit in torch, differentiated by autograd: the state is a tensor.

The qubits are split in groups of a few; each layer multiplies the state by the Kronecker product
of every group's rotations, and permutes it by the CNOTs. The best width of a group depends on the
size, so several are tried. (RY as a real product, then RZ as phases, needs fewer multiplications,
but was never faster than the best of these.)
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from common import Array, Job, Variant, ladder_source
from torch import Tensor

PACKAGES = ("torch",)
NOTE = "chooses its instruction set at run time"


def variants(job: Job, threads: int) -> list[Variant]:
    torch.set_num_threads(threads)
    if job.task == "sampling":
        return []
    call = gradient if job.task == "gradient" else forward
    return [
        Variant(f"{count} Kronecker factors", partial(call, job, count))
        for count in group_counts(job.num_qubits)
    ]


def group_counts(num_qubits: int) -> list[int]:
    """Numbers of groups that leave at most 7, 5 or 4 qubits to each."""
    return sorted({-(-num_qubits // width) for width in (7, 5, 4)})


def kronecker(factors: Tensor) -> Tensor:
    """(layers, qubits, 2, 2) to (layers, 2^qubits, 2^qubits), the first qubit lowest."""
    product = factors[:, 0]
    for qubit in range(1, factors.shape[1]):
        size = 2 * product.shape[-1]
        blocks = factors[:, qubit, :, None, :, None] * product[:, None, :, None, :]
        product = blocks.reshape(-1, size, size)
    return product


def multiply(state: Tensor, matrix: Tensor, group: list[int]) -> Tensor:
    """A matrix on one group of qubits."""
    size = len(matrix)
    if group[0] == 0:
        return (state.view(-1, size) @ matrix.mT).view(-1)
    return (matrix @ state.view(-1, size, 2 ** group[0])).view(-1)


class Circuit:
    """Layers of Kronecker products, of so many factors."""

    def __init__(self, job: Job, count: int) -> None:
        self.job = job
        self.groups = [part.tolist() for part in np.array_split(np.arange(job.num_qubits), count)]
        self.source = torch.from_numpy(ladder_source(job))
        self.type = torch.float64 if job.precision == "float64" else torch.float32

    def halves(self, angles: Tensor) -> tuple[Tensor, Tensor]:
        """Half the angles of RY and of RZ, a row for each layer."""
        both = angles.view(self.job.reps + 1, 2, self.job.num_qubits) / 2
        return both[:, 0], both[:, 1]

    def products(self, matrices: Tensor) -> list[Tensor]:
        """The Kronecker product of every group, for all layers at once."""
        return [kronecker(matrices[:, group[0] : group[-1] + 1]) for group in self.groups]

    def start(self) -> Tensor:
        """The state after the Hadamards."""
        size = 2**self.job.num_qubits
        kind = torch.complex128 if self.type == torch.float64 else torch.complex64
        return torch.full((size,), size**-0.5, dtype=kind)

    def probabilities(self, angles: Tensor) -> Tensor:
        """The whole circuit."""
        ry, rz = self.halves(angles)
        cosine, sine, phase = ry.cos(), ry.sin(), torch.polar(torch.ones_like(rz), -rz)
        back = phase.conj()
        entries = (cosine * phase, -sine * phase, sine * back, cosine * back)
        products = self.products(torch.stack(entries, -1).unflatten(-1, (2, 2)))
        state = self.start()
        for layer in range(self.job.reps + 1):
            for product, group in zip(products, self.groups, strict=True):
                state = multiply(state, product[layer], group)
            if layer < self.job.reps:
                state = state.index_select(0, self.source)
        return state.real**2 + state.imag**2


def forward(job: Job, count: int):
    circuit = Circuit(job, count)

    def call(angles: Array) -> Array:
        with torch.no_grad():
            return circuit.probabilities(torch.from_numpy(angles).to(circuit.type)).numpy()

    return call


def gradient(job: Job, count: int):
    circuit = Circuit(job, count)
    cotangent = torch.from_numpy(job.cotangent()).to(circuit.type)

    def call(angles: Array) -> Array:
        leaf = torch.from_numpy(angles).to(circuit.type).requires_grad_()
        (circuit.probabilities(leaf) @ cotangent).backward()
        return leaf.grad.numpy()

    return call

"""What the peers share: the jobs, the inputs, the circuit as gates, and a reference in NumPy."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import qnnw

Array = NDArray[Any]

# From one input (angles, or a seed when sampling) to an array.
Call = Callable[[Any], Array]

NUM_INPUTS = 8


@dataclass(frozen=True)
class Job:
    """One row of the table."""

    task: str
    num_qubits: int
    reps: int
    precision: str
    shots: int = 0

    @property
    def real(self) -> type[np.floating[Any]]:
        """The real type of this precision."""
        return np.float64 if self.precision == "float64" else np.float32

    @property
    def complex(self) -> type[np.complexfloating[Any, Any]]:
        """The complex type of this precision."""
        return np.complex128 if self.precision == "float64" else np.complex64

    @property
    def ansatz(self) -> qnnw.EfficientSU2:
        """The circuit."""
        return qnnw.EfficientSU2(self.num_qubits, self.reps, "linear")

    @property
    def used(self) -> int:
        """Number of angles that matter: all but the last RZ layer's."""
        return self.num_qubits * (2 * self.reps + 1)

    def inputs(self) -> list[Any]:
        """Inputs of successive calls: new angles each, or new seeds when sampling."""
        if self.task == "sampling":
            return list(range(1, NUM_INPUTS + 1))
        return [self.ansatz.random_angles(seed) for seed in range(NUM_INPUTS)]

    def cotangent(self) -> NDArray[np.float64]:
        """Derivative of the loss by every probability."""
        return np.random.default_rng(0).normal(size=2**self.num_qubits)


@dataclass(frozen=True)
class Variant:
    """One way to run a peer: through its documented interface, or past it.

    `make` builds what may be built once, and gives the call that is timed.
    """

    name: str
    make: Callable[[], Call]
    documented: bool = True


def used_gates(job: Job) -> list[tuple[str, tuple[int, ...], int | None]]:
    """The circuit's gates without the last RZ layer, which changes no probability."""
    return [gate for gate in job.ansatz._instructions() if gate[2] is None or gate[2] < job.used]


def layers(job: Job, angles: Array) -> tuple[list[list[float]], list[list[float]]]:
    """RY and RZ angles as lists, layer by layer; the last RZ angles are 0."""
    both = angles.reshape(job.reps + 1, 2, job.num_qubits).copy()
    both[-1, 1] = 0.0
    return both[:, 0].tolist(), both[:, 1].tolist()


def ladder(job: Job) -> list[list[int]]:
    """(control, target) of the CNOTs of one block; every block of `linear` is the same."""
    return [list(pair) for pair in job.ansatz.entangler_pairs(0)] if job.reps else []


def ladder_source(job: Job) -> NDArray[np.int64]:
    """Where each amplitude comes from in a block of CNOTs: new = old[source]."""
    source = np.arange(2**job.num_qubits)
    for control, target in reversed(ladder(job)):
        source ^= ((source >> control) & 1) << target
    return source


def squared(state: Array) -> Array:
    """|amplitude|^2 without the square root of `abs`."""
    return state.real**2 + state.imag**2


@functools.cache
def sampling_state(job: Job) -> tuple[Array, Array]:
    """Amplitudes to sample from, and their probabilities."""
    state = job.ansatz.statevector(job.ansatz.random_angles(0))
    probabilities = squared(state)
    return state, probabilities / probabilities.sum()


def check(job: Job, result: Array) -> None:
    """Raise if a peer's result for the first input is wrong."""
    if job.task == "sampling":
        check_counts(job, result)
        return
    expected = reference(job)
    tolerance = 1e-9 if job.precision == "float64" else 1e-4
    error = float(np.abs(np.asarray(result) - expected).max() / np.abs(expected).max())
    if result.shape != expected.shape or not error < tolerance:
        raise AssertionError(f"wrong by {error:.1e} of the largest entry")


def check_counts(job: Job, counts: Array) -> None:
    """Raise if counts don't sum to the shots, or lie far from their means."""
    means = sampling_state(job)[1] * job.shots
    far = np.abs(counts - means) > 8 * np.sqrt(means) + 8
    if counts.sum() != job.shots or far.any():
        raise AssertionError("the counts are not multinomial")


@functools.lru_cache(maxsize=1)
def reference(job: Job) -> Array:
    """Probabilities or gradient: NumPy's up to 10 qubits, ours (checked there) above."""
    angles = job.inputs()[0]
    if job.num_qubits <= 10:
        return numpy_reference(job, angles)
    if job.task == "forward":
        return job.ansatz.probabilities(angles)
    return job.ansatz.probabilities_vjp(angles, job.cotangent())


def numpy_reference(job: Job, angles: Array) -> Array:
    """Gate by gate; the gradient by one sweep backwards with <lambda|Pauli|psi>."""
    state = np.zeros(2**job.num_qubits, dtype=complex)
    state[0] = 1.0
    gates = job.ansatz._instructions()
    for gate in gates:
        state = apply_gate(gate, state, angles, 1)
    if job.task == "forward":
        return squared(state)
    gradient = np.zeros(len(angles))
    other = job.cotangent() * state
    for gate in reversed(gates):
        name, qubits, index = gate
        if index is not None:
            gradient[index] = np.vdot(other, apply_matrix(PAULIS[name], qubits[0], state)).imag
        state = apply_gate(gate, state, angles, -1)
        other = apply_gate(gate, other, angles, -1)
    return gradient


PAULIS = {"ry": np.array([[0, -1j], [1j, 0]]), "rz": np.diag([1.0 + 0j, -1.0])}
HADAMARD = np.array([[1, 1], [1, -1]]) / np.sqrt(2)


def apply_gate(
    gate: tuple[str, tuple[int, ...], int | None], state: Array, angles: Array, sign: int
) -> Array:
    """One gate, or its inverse if the sign is -1."""
    name, qubits, index = gate
    if name == "cx":
        basis = np.arange(len(state))
        return state[basis ^ (((basis >> qubits[0]) & 1) << qubits[1])]
    if index is None:
        return apply_matrix(HADAMARD, qubits[0], state)
    half = sign * angles[index] / 2
    matrix = np.cos(half) * np.eye(2) - 1j * np.sin(half) * PAULIS[name]
    return apply_matrix(matrix, qubits[0], state)


def apply_matrix(matrix: Array, qubit: int, state: Array) -> Array:
    """A 2 by 2 matrix on one qubit."""
    return np.einsum("ij,ajb->aib", matrix, state.reshape(-1, 2, 2**qubit)).reshape(-1)

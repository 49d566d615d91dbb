"""Trajectories: probabilities of a noisy circuit as a mean over pure states, and their gradient.

Depolarising alone is Paulis at random. A Pauli before a rotation by phi is the same Pauli behind a
rotation by phi or -phi, and before a Clifford gate another Pauli behind it: a trajectory of the
whole circuit is the circuit itself with signs on its angles, and bits that flip when they are read.
So the fast engine evolves it, with an exact gradient.

With amplitude damping (:class:`Damped`) the jumps depend on the state, gates run one by one, and
the gradient counts how their probabilities change: with the branch's probability W of the numbers
that it was drawn with, the derivative is that of |K psi|^2 / W, where W stays. In the mean this is
the gradient of the channel, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw.circuit.devices.damped import Damped
from qnnw.circuit.devices.noise import Noise
from qnnw.circuit.devices.program import ROTATIONS, Program
from qnnw.circuit.execution import Vector

Bits = NDArray[np.bool_]
# States of one chunk that the engine evolves together.
CHUNK = 64


def trajectories(
    program: Program, circuit: Any, noise: Noise, angles: Vector, count: int, seed: int
) -> tuple[Vector, Callable[[Vector], Vector]]:
    """Mean probabilities of trajectories, shape (2**N,), and their way back to the angles."""
    rng = np.random.default_rng([2, seed])
    paulis = random_paulis(program, noise.depolarizing, count, rng)
    if any(noise.damping) or not program.plain:
        damped = Damped(program, noise.damping, paulis, angles, rng)
        return damped.probabilities, damped.pullback
    signs, flips = frames(program, paulis, count)
    # Most trajectories of little noise are the same one.
    rows, times = np.unique(np.column_stack([signs < 0, flips]), axis=0, return_counts=True)
    signs, flips = 1.0 - 2 * rows[:, : program.num_slots], rows[:, program.num_slots :]
    shares = times / count
    bases = np.arange(2**program.num_qubits)
    read = bases ^ (flips @ (1 << np.arange(program.num_qubits)))[:, None]
    total, ways = np.zeros(len(bases)), []
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        found, back = circuit.probabilities_with_vjp(signs[part] * angles)
        # One after another: a product of matrices would depend on BLAS's threads.
        for share, order, probabilities in zip(shares[part], read[part], found, strict=True):
            total += share * probabilities[order]
        ways.append((part, back))

    def pullback(cotangent: Vector) -> Vector:
        gradient = np.zeros(len(angles))
        for part, back in ways:
            cotangents = shares[part, None] * np.asarray(cotangent, dtype=np.float64)[read[part]]
            for sign, one in zip(signs[part], back(cotangents), strict=True):
                gradient += sign * one
        return gradient

    return total, pullback


def random_paulis(
    program: Program, depolarizing: tuple[float, float], count: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Paulis behind every gate, shape (gates, 2, trajectories): bit 0 is X, bit 1 is Z.

    Depolarising by p is, with probability p, one of all 4^n Paulis, the identity among them.
    """
    sizes = np.array([len(qubits) for _, qubits, _ in program.gates])
    chances = np.array(depolarizing)[sizes - 1]
    paulis = rng.integers(0, 4, (len(sizes), 2, count), dtype=np.uint8)
    paulis *= (rng.random((len(sizes), count)) < chances[:, None])[:, None]
    paulis[sizes == 1, 1] = 0
    return paulis


def frames(program: Program, paulis: NDArray[np.uint8], count: int) -> tuple[Vector, Bits]:
    """What Paulis make of a circuit whose gates had none.

    Returns
    -------
    signs : ndarray of float64, shape (trajectories, slots)
        Of the angles.
    flips : ndarray of bool, shape (trajectories, N)
        Bits that are read as their opposite.
    """
    x = np.zeros((program.num_qubits, count), dtype=bool)
    z = np.zeros_like(x)
    signs = np.ones((program.num_slots, count))
    for (name, qubits, slot), errors in zip(program.gates, paulis, strict=True):
        if slot is not None:
            turned = np.zeros(count, dtype=bool)
            for qubit, letter in zip(qubits, ROTATIONS[name], strict=True):
                turned ^= {"X": z, "Z": x}[letter][qubit] if letter != "Y" else x[qubit] ^ z[qubit]
            signs[slot, turned] = -1.0
        else:
            _conjugate(name, qubits, x, z)
        for qubit, error in zip(qubits, errors, strict=False):
            x[qubit] ^= (error & 1).astype(bool)
            z[qubit] ^= (error >> 1).astype(bool)
    return signs.T, x.T


def _conjugate(name: str, qubits: tuple[int, ...], x: Bits, z: Bits) -> None:
    """Take Paulis from before a Clifford gate to behind it; their signs do not matter."""
    first, last = qubits[0], qubits[-1]
    if name == "h":
        x[first], z[first] = z[first].copy(), x[first].copy()
    elif name in ("s", "sdg"):
        z[first] ^= x[first]
    elif name in ("sx", "sxdg"):
        x[first] ^= z[first]
    elif name == "cx":
        x[last] ^= x[first]
        z[first] ^= z[last]
    elif name == "cz":
        z[first] ^= x[last]
        z[last] ^= x[first]
    elif name == "swap":
        x[[first, last]], z[[first, last]] = x[[last, first]], z[[last, first]]

"""From gates to rotations by Paulis in the basis of the start: what the core runs.

CNOTs and swaps only rename basis states, linearly over GF(2): index at the end = A (index at the
start). Behind them, a rotation by a Pauli is one by another Pauli before them. Rotations that can
change no probability are left out: phases that commute with all that follows, and rotations that
commute with all that came before and leave the start as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import qnnw._core as _core
from qnnw.circuit.gates import GATES, Angle, Gate

Masks = NDArray[np.uint64]
Places = NDArray[np.int64]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Lowered:
    """Rotations in their order, and the basis at the end.

    Attributes
    ----------
    num_qubits
        N.
    flips, signs, quarters
        P psi(i) = (-i)^quarters (-1)^|signs & i| psi(i ^ flips) of every rotation.
    angles
        Of every rotation.
    rows
        Bit q of an index at the end is the parity of ``rows[q]`` and the index at the start.
    hadamards
        Qubits that start in |+>.
    dropped
        Rotations that were left out.
    """

    num_qubits: int
    flips: Masks
    signs: Masks
    quarters: NDArray[np.int64]
    angles: tuple[Angle, ...]
    rows: tuple[int, ...]
    hadamards: int
    dropped: int

    @property
    def constants(self) -> Vector:
        """The angles' constants."""
        return np.array([angle.constant for angle in self.angles], dtype=np.float64)

    @property
    def terms(self) -> tuple[Places, Places, Vector]:
        """Rotation, parameter and coefficient of every term of the angles."""
        flat = [(r, *term) for r, angle in enumerate(self.angles) for term in angle.terms]
        rotations, parameters, factors = zip(*flat, strict=True) if flat else ((), (), ())
        first, second = (np.array(p, dtype=np.int64) for p in (rotations, parameters))
        return first, second, np.array(factors, dtype=np.float64)

    def program(self, num_parameters: int) -> _core.Program:
        """What the core runs, by the circuit's parameters."""
        rotations, parameters, factors = self.terms
        starts = np.searchsorted(rotations, np.arange(len(self.angles) + 1))
        return self._program(num_parameters, self.constants, (starts, parameters), factors)

    def free_program(self) -> _core.Program:
        """The same with every rotation's angle a parameter of its own."""
        count = len(self.angles)
        every = np.arange(count + 1)
        return self._program(count, np.zeros(count), (every, every[:-1]), np.ones(count))

    def _program(
        self, num_parameters: int, constants: Vector, terms: tuple[Places, Places], by: Vector
    ) -> _core.Program:
        paulis = (self.flips, self.signs, self.quarters)
        return _core.Program(
            self.num_qubits, num_parameters, paulis, constants, terms, by,
            np.array(self.rows, dtype=np.uint64), self.hadamards,
        )  # fmt: skip


def lowered(num_qubits: int, gates: Iterable[Gate]) -> Lowered:
    """The rotations of a circuit that can change a probability."""
    rows, columns = ([1 << qubit for qubit in range(num_qubits)] for _ in range(2))
    untouched, hadamards = set(range(num_qubits)), 0
    found: list[tuple[int, int, int, Angle]] = []

    def rotate(letters: str, qubits: Iterable[int], angle: Angle) -> None:
        flips = signs = 0
        for letter, qubit in zip(letters, qubits, strict=True):
            flips ^= columns[qubit] if letter in "XY" else 0
            signs ^= rows[qubit] if letter in "YZ" else 0
        found.append((flips, signs, letters.count("Y"), angle))

    for name, on, angles in gates:
        for what, qubits, angle in GATES[name].steps(*on, *angles):
            if what == "cx":
                control, target = qubits
                rows[target] ^= rows[control]
                columns[control] ^= columns[target]
            elif what == "swap":
                for table in (rows, columns):
                    table[qubits[0]], table[qubits[1]] = table[qubits[1]], table[qubits[0]]
            elif what == "h" and qubits[0] in untouched:
                hadamards |= 1 << qubits[0]
            elif what == "h":
                rotate("Z", qubits, Angle(np.pi))
                rotate("Y", qubits, Angle(np.pi / 2))
            else:
                rotate(what, qubits, angle)
            untouched.difference_update(qubits)
    flips, signs = (np.array([r[i] for r in found], dtype=np.uint64) for i in range(2))
    plus = np.uint64(hadamards)
    leaves_start = ((flips & ~plus) == 0) & ((signs & plus) == 0)
    kept = _needed(flips, signs, leaves_start, np.arange(len(flips)))
    live = _needed(flips, signs, flips == 0, kept[::-1])[::-1]
    quarters = np.array([r[2] for r in found], dtype=np.int64)
    angles_left = tuple(found[place][3] for place in live)
    dropped = len(found) - len(live)
    left = (flips[live], signs[live], quarters[live])
    return Lowered(num_qubits, *left, angles_left, tuple(rows), hadamards, dropped)


def _needed(
    flips: Masks, signs: Masks, doubtful: NDArray[np.bool_], order: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Those of a walk that are not doubtful, or do not commute with one before them that stays."""
    kept = np.empty(len(order), dtype=np.intp)
    count = 0
    for place in order:
        others = kept[:count]
        odd = (flips[others] & signs[place]) ^ (signs[others] & flips[place])
        for shift in (32, 16, 8, 4, 2, 1):  # down to whether an odd number of bits is set
            odd = odd ^ (odd >> np.uint64(shift))
        if not doubtful[place] or (odd & np.uint64(1)).any():
            kept[count] = place
            count += 1
    return kept[:count]

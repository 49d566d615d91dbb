"""Damped: trajectories with amplitude damping, gate by gate, and the way back through them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw.circuit.devices.program import ROTATIONS, Program
from qnnw.circuit.execution import Vector

State = NDArray[np.complex128]
_ROOT = np.sqrt(0.5)
#: X, Y, Z and the gates on one qubit without an angle.
MATRICES: dict[str, NDArray[np.complex128]] = {
    name: np.array(rows, dtype=np.complex128)
    for name, rows in {
        "x": [[0, 1], [1, 0]],
        "y": [[0, -1j], [1j, 0]],
        "z": [[1, 0], [0, -1]],
        "h": [[_ROOT, _ROOT], [_ROOT, -_ROOT]],
        "s": [[1, 0], [0, 1j]],
        "sdg": [[1, 0], [0, -1j]],
        "sx": [[0.5 + 0.5j, 0.5 - 0.5j], [0.5 - 0.5j, 0.5 + 0.5j]],
        "sxdg": [[0.5 - 0.5j, 0.5 + 0.5j], [0.5 + 0.5j, 0.5 - 0.5j]],
    }.items()
}
_PAULIS = (None, "x", "z", "y")
# Above it a state is kept instead of found again by the inverse, which would lose digits.
INVERTED = 0.1


class Damped:
    """Trajectories at given angles.

    Parameters
    ----------
    program, paulis
        What runs, and the Paulis behind every gate.
    damping
        Probability of a loss behind gates on one and on two qubits.
    angles
        The circuit's.
    rng
        Draws the losses.

    Attributes
    ----------
    probabilities
        Their mean, shape (2**N,).
    """

    def __init__(
        self, program: Program, damping: tuple[float, float], paulis: NDArray[np.uint8],
        angles: Vector, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self._program, self._damping = program, damping
        self._slots = program.slots(angles)
        self._paulis = paulis
        self._chances = rng.random(paulis.shape)
        self._count = paulis.shape[2]
        self._all = [self._evolved(number, None) for number in range(self._count)]
        self.probabilities: Vector = np.mean([np.abs(state) ** 2 for state in self._all], axis=0)

    def pullback(self, cotangent: Vector) -> Vector:
        """dL/dangles from dL/dp."""
        values = np.asarray(cotangent, dtype=np.float64)
        means = np.array([values @ np.abs(state) ** 2 for state in self._all])
        by_slots = np.zeros(len(self._slots))
        for number in range(self._count):
            # Probabilities sum to 1: to shift all of the cotangent changes no gradient in the mean,
            # and its spread is least about the mean of the other trajectories.
            others = (means.sum() - means[number]) / max(self._count - 1, 1)
            by_slots += self._backward(number, values - others)
        gradient: Vector = self._program.slopes.T @ (by_slots / self._count)
        return gradient

    def _evolved(self, number: int, tape: list[Any] | None) -> State:
        """One trajectory's last state, of norm 1; the tape says what happened."""
        state = np.zeros(2**self._program.num_qubits, dtype=np.complex128)
        state[0] = 1
        for place, (name, qubits, slot) in enumerate(self._program.gates):
            state = _applied(state, name, qubits, None if slot is None else self._slots[slot])
            if tape is not None:
                tape.append(("gate", name, qubits, slot))
            for qubit, pauli in zip(qubits, self._paulis[place, :, number], strict=False):
                if pauli:
                    state = _applied(state, str(_PAULIS[pauli]), (qubit,), None)
                    if tape is not None:
                        tape.append(("gate", _PAULIS[pauli], (qubit,), None))
            loss = self._damping[len(qubits) - 1]
            if loss:
                for side, qubit in enumerate(qubits):
                    self._damp(state, qubit, loss, self._chances[place, side, number], tape)
        return state

    def _damp(
        self, state: State, qubit: int, loss: float, chance: float, tape: list[Any] | None
    ) -> None:
        """In place: a jump, or none."""
        pairs = state.reshape(-1, 2, 1 << qubit)
        jumps = loss * float(np.vdot(pairs[:, 1], pairs[:, 1]).real)
        jumped = chance < jumps
        kept = state.copy() if tape is not None and (jumped or loss > INVERTED) else None
        if jumped:
            pairs[:, 0] = pairs[:, 1] * np.sqrt(loss / jumps)
            pairs[:, 1] = 0
            factors = (0.0, np.sqrt(loss / jumps))
        else:
            factors = (1 / np.sqrt(1 - jumps), np.sqrt((1 - loss) / (1 - jumps)))
            pairs[:, 0] *= factors[0]
            pairs[:, 1] *= factors[1]
        if tape is not None:
            tape.append(("jump" if jumped else "none", factors, qubit, kept))

    def _backward(self, number: int, cotangent: Vector) -> Vector:
        tape: list[Any] = []
        state = self._evolved(number, tape)
        costate = cotangent * state
        by_slots = np.zeros(len(self._slots))
        for kind, what, where, more in reversed(tape):
            if kind == "gate":
                angle = None if more is None else self._slots[more]
                if more is not None:
                    turned = state
                    for qubit, letter in zip(where, ROTATIONS[what], strict=True):
                        turned = _applied(turned, letter.lower(), (qubit,), None)
                    by_slots[more] += np.vdot(costate, turned).imag
                state = _applied(state, what, where, angle, inverse=True)
                costate = _applied(costate, what, where, angle, inverse=True)
                continue
            pairs = costate.reshape(-1, 2, 1 << where)
            if kind == "jump":
                pairs[:, 1] = what[1] * pairs[:, 0]
                pairs[:, 0] = 0
            else:
                pairs[:, 0] *= what[0]
                pairs[:, 1] *= what[1]
            if more is None:
                states = state.reshape(pairs.shape)
                states[:, 0] /= what[0]
                states[:, 1] /= what[1]
            else:
                state = more
        return by_slots


def _applied(
    state: State, name: Any, qubits: tuple[int, ...], angle: float | None, inverse: bool = False
) -> State:
    """A gate's state, in a new array."""
    if angle is not None:
        half = (-angle if inverse else angle) / 2
        turned = state
        for qubit, letter in zip(qubits, ROTATIONS[name], strict=True):
            turned = _applied(turned, letter.lower(), (qubit,), None)
        found: State = np.cos(half) * state - 1j * np.sin(half) * turned
        return found
    if name in MATRICES:
        matrix = MATRICES[name].conj().T if inverse else MATRICES[name]
        pairs = state.reshape(-1, 2, 1 << qubits[0])
        rows = [row[0] * pairs[:, 0] + row[1] * pairs[:, 1] for row in matrix]
        return np.stack(rows, axis=1).reshape(state.shape)
    moved: State = state.copy()
    low, high = sorted(qubits)
    # Axes: above, the high qubit, between, the low one, below.
    old, new = (one.reshape(-1, 2, 1 << (high - low - 1), 2, 1 << low) for one in (state, moved))
    if name == "cz":
        new[:, 1, :, 1] *= -1
    elif name == "swap":
        new[:, 0, :, 1], new[:, 1, :, 0] = old[:, 1, :, 0], old[:, 0, :, 1]
    elif qubits[0] == high:
        new[:, 1, :, 0], new[:, 1, :, 1] = old[:, 1, :, 1], old[:, 1, :, 0]
    else:
        new[:, 0, :, 1], new[:, 1, :, 1] = old[:, 1, :, 1], old[:, 0, :, 1]
    return moved

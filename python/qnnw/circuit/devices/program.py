"""Program: a circuit as Clifford gates and Pauli rotations, each rotation with an angle of its own.

What noise, shifts and devices need of a circuit. A rotation's own angle is a *slot*; the slots are
phi = A angles + b, so that an angle may be used many times and inside linear expressions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array

from qnnw._common.extras import needs
from qnnw._common.once import once
from qnnw.circuit.ansatz import EfficientSU2
from qnnw.circuit.execution import Vector
from qnnw.circuit.interchange import Instruction, gates_of

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

#: Rotations exp(-i phi P / 2), and the letters of P on their qubits.
ROTATIONS = {"rx": "X", "ry": "Y", "rz": "Z", "rxx": "XX", "ryy": "YY", "rzz": "ZZ"}
#: Gates without an angle.
CLIFFORDS = ("h", "x", "y", "z", "s", "sdg", "sx", "sxdg", "cx", "cz", "swap")
# Behind these a phase stays a phase, that is: no probability knows it.
_DIAGONAL = ("z", "s", "sdg", "cz", "rz", "rzz")
_PERMUTING = ("x", "cx", "swap")


@dataclass(frozen=True)
class Program:
    """A circuit's gates in order, and how its angles reach them.

    Attributes
    ----------
    num_qubits
        Number of qubits, N.
    gates
        In order; every name is of :data:`ROTATIONS` or :data:`CLIFFORDS`.
    slopes
        A, shape (slots, angles).
    offset
        b, shape (slots,).
    plain
        Whether every slot is the angle of its number, as :class:`qnnw.EfficientSU2` has it.
    """

    num_qubits: int
    gates: tuple[Instruction, ...]
    slopes: csr_array
    offset: Vector
    plain: bool = False

    @classmethod
    def of(cls, circuit: Any) -> Program:
        """A circuit's program.

        Raises
        ------
        TypeError
            It has no ``to_qiskit``.
        ValueError
            A gate has no place in it, or an angle enters through no linear expression; the message
            names it.
        MissingExtraError
            Qiskit is needed and not installed.
        """
        if isinstance(circuit, EfficientSU2):
            count, gates = circuit.num_parameters, tuple(circuit._instructions())
            slopes = csr_array(eye_array(count))
            return cls(circuit.num_qubits, gates, slopes, np.zeros(count), plain=True)
        if not hasattr(circuit, "to_qiskit"):
            kind = type(circuit).__name__
            raise TypeError(f"`circuit` is of type {kind}; it must have num_qubits and to_qiskit()")
        return _unrolled(circuit)

    @property
    def num_slots(self) -> int:
        """Number of rotations."""
        return len(self.offset)

    def slots(self, angles: Vector) -> Vector:
        """Phi = A angles + b."""
        values: Vector = self.slopes @ angles + self.offset
        return values

    @once
    def live(self) -> NDArray[np.intp]:
        """The slots that can change a probability and belong to an angle."""
        clean = set(range(self.num_qubits))
        dead = set()
        for name, qubits, slot in reversed(self.gates):
            passes = name in _DIAGONAL or name in _PERMUTING
            if passes and clean.issuperset(qubits):
                if slot is not None:
                    dead.add(slot)
            else:
                clean.difference_update(qubits)
        bound = np.flatnonzero(np.diff(self.slopes.indptr))
        return np.array([slot for slot in bound if slot not in dead], dtype=np.intp)

    def to_qiskit(self) -> QuantumCircuit:
        """Qiskit's circuit of the slots, measured into the register ``c``."""
        with needs("device", "A circuit on a device"):
            from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
            from qiskit.circuit import ParameterVector
        qubits = range(self.num_qubits)
        classical = ClassicalRegister(self.num_qubits, "c")
        circuit = QuantumCircuit(QuantumRegister(self.num_qubits, "q"), classical)
        slots = ParameterVector("φ", self.num_slots)
        for name, on, slot in self.gates:
            getattr(circuit, name)(*(() if slot is None else (slots[slot],)), *on)
        circuit.measure(qubits, classical)
        return circuit


def _unrolled(circuit: Any) -> Program:
    """By Qiskit's own translation to these gates."""
    with needs("device", "A circuit of gates other than EfficientSU2's"):
        from qiskit import transpile
    given = circuit.to_qiskit()
    basis = [*ROTATIONS, *CLIFFORDS]
    try:
        plain = transpile(given, basis_gates=basis, optimization_level=0)
    except Exception as error:  # Qiskit's, of several kinds
        raise ValueError(f"`circuit` has a gate that cannot be unrolled: {error}") from error
    # One that transpiling has dropped has no slope.
    names = [parameter.name for parameter in given.parameters]
    gates: list[Instruction] = []
    offset: list[float] = []
    entries: list[tuple[float, int, int]] = []
    for number, (name, qubits, angles) in enumerate(gates_of(plain, names)[1]):
        if name not in basis:
            raise ValueError(
                f"`circuit` has {name!r} as gate {number}; a circuit that is measured at its end "
                f"is unrolled to {', '.join(basis)}"
            )
        slot = None
        for angle in angles:
            slot = len(offset)
            offset.append(angle.constant)
            entries += [(slope, slot, place) for place, slope in angle.terms]
        gates.append((name, qubits, slot))
    values, rows, columns = zip(*entries, strict=True) if entries else ((), (), ())
    shape = (len(offset), circuit.num_parameters)
    slopes = csr_array((values, (rows, columns)), shape=shape, dtype=np.float64)
    return Program(circuit.num_qubits, tuple(gates), slopes, np.array(offset))

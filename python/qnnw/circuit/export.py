"""The circuit in other people's formats: Qiskit's circuits and OpenQASM 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.extras import needs

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["Instruction", "openqasm3", "qiskit_circuit"]

#: A gate's name, its qubits, and the index of its angle, if it has one.
Instruction = tuple[str, tuple[int, ...], int | None]


def qiskit_circuit(
    num_qubits: int, instructions: Sequence[Instruction], angles: NDArray[np.float64] | None
) -> QuantumCircuit:
    """Qiskit's circuit, without measurements; without angles, of parameters ``θ[0]``, ``θ[1]`` ….

    Raises
    ------
    MissingExtraError
        Qiskit is not installed.
    """
    with needs("qiskit", "EfficientSU2.to_qiskit"):
        from qiskit import QuantumCircuit
        from qiskit.circuit import ParameterVector
    values: Sequence[Any]
    if angles is None:
        count = sum(index is not None for _, _, index in instructions)
        values = ParameterVector("θ", count)
    else:
        values = angles.tolist()
    circuit = QuantumCircuit(num_qubits, name="EfficientSU2")
    for gate, qubits, index in instructions:
        arguments = qubits if index is None else (values[index], *qubits)
        getattr(circuit, gate)(*arguments)
    return circuit


def openqasm3(
    num_qubits: int, instructions: Sequence[Instruction], angles: NDArray[np.float64], measure: bool
) -> str:
    """The program, angles with all their digits; ``measure``: all qubits at the end, into ``c``."""
    values = angles.tolist()
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";', f"qubit[{num_qubits}] q;"]
    if measure:
        lines.insert(2, f"bit[{num_qubits}] c;")
    for gate, qubits, index in instructions:
        argument = "" if index is None else f"({values[index]!r})"
        operands = ", ".join(f"q[{qubit}]" for qubit in qubits)
        lines.append(f"{gate}{argument} {operands};")
    if measure:
        lines.append("c = measure q;")
    return "\n".join(lines) + "\n"

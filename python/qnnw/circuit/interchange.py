"""Circuits in other people's formats, and in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qnnw._common.checks import instance
from qnnw._common.extras import needs
from qnnw.circuit.gates import GATES, Angle, Gate
from qnnw.circuit.lowering import Lowered

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    import qnnw._core as _core

#: A gate's name, its qubits, and the index of its angle, if it has one.
Instruction = tuple[str, tuple[int, ...], int | None]

# A definition that is nested deeper is none of a standard gate.
DEEPEST = 20


def gates_of(
    circuit: QuantumCircuit, names: Sequence[str] | None = None
) -> tuple[int, list[Gate], int]:
    """Qubits, gates and number of parameters of a circuit of Qiskit; refuses by name and place.

    Parameters are in Qiskit's order, or in that of ``names``.
    """
    with needs("qiskit", "Circuit.from_qiskit"):
        from qiskit import QuantumCircuit
    instance("circuit", circuit, QuantumCircuit, "a qiskit.QuantumCircuit")
    listed = [parameter.name for parameter in circuit.parameters] if names is None else list(names)
    places = {parameter: listed.index(parameter.name) for parameter in circuit.parameters}
    gates: list[Gate] = []
    measured: set[int] = set()
    for place, instruction in enumerate(circuit.data):
        operation = instruction.operation
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        where = f"`circuit` has {operation.name!r} at place {place}"
        if operation.name == "barrier":
            continue
        if measured.intersection(qubits):
            raise ValueError(f"{where}, behind a measurement of its qubit; leave that to the end")
        if operation.name == "measure":
            measured.update(qubits)
            continue
        gates += _gates(operation, qubits, places, where, DEEPEST)
    return circuit.num_qubits, gates, len(listed)


def _gates(
    operation: Any, qubits: tuple[int, ...], places: dict[Any, int], where: str, depth: int
) -> Iterator[Gate]:
    """A gate itself, or those of its definition."""
    from qiskit.circuit import Gate as QiskitGate

    if not isinstance(operation, QiskitGate):
        raise ValueError(f"{where}, which is no gate; a circuit is made of gates alone")
    name = operation.name
    closed = getattr(operation, "ctrl_state", None)
    known = closed is None or closed == 2**operation.num_ctrl_qubits - 1
    if known and name in GATES and GATES[name].num_qubits == len(qubits):
        angles = tuple(_linear(value, places, where) for value in operation.params)
        if len(angles) == GATES[name].num_angles:
            yield Gate(name, qubits, angles)
            return
    definition = operation.definition
    if definition is None or depth == 0:
        raise ValueError(f"{where}, which has no definition by gates that are known")
    for inner in definition.data:
        on = tuple(qubits[definition.find_bit(qubit).index] for qubit in inner.qubits)
        if inner.operation.name != "barrier":
            yield from _gates(inner.operation, on, places, where, depth - 1)


def _linear(value: Any, places: dict[Any, int], where: str) -> Angle:
    """An angle of Qiskit as a linear expression."""
    found = getattr(value, "parameters", ())
    refused = f"{where} with the angle {value}; it must be linear in its parameters, and real"
    try:
        if not found:
            return Angle(_number(value))
        factors = {parameter: value.gradient(parameter) for parameter in found}
        terms = {places[parameter]: _number(factor) for parameter, factor in factors.items()}
        zero = value.bind(dict.fromkeys(found, 0.0))
        return Angle(_number(zero), tuple(sorted((k, c) for k, c in terms.items() if c)))
    except Exception as error:  # what Qiskit raises where an expression stays one
        raise ValueError(refused) from error


def _number(value: Any) -> float:
    if getattr(value, "parameters", ()):
        raise TypeError("not a number")
    number = complex(value)
    if number.imag != 0 or number.real != number.real or abs(number.real) == float("inf"):
        raise ValueError("not real")
    return number.real


def qiskit_circuit(
    num_qubits: int,
    count: int,
    gates: Callable[[Any], Iterable[tuple[str, tuple[int, ...], Sequence[Any]]]],
    values: Sequence[float] | None,
    name: str | None = None,
) -> QuantumCircuit:
    """Qiskit's circuit; without values, of ``count`` parameters ``θ[0]``, ``θ[1]`` ….

    ``gates`` takes these, or the values, to names, qubits and angles; ``name`` is the circuit's.
    """
    with needs("qiskit", f"{name or 'Circuit'}.to_qiskit"):
        from qiskit import QuantumCircuit
        from qiskit.circuit import ParameterVector, library
    rare = {"u1": library.U1Gate, "u2": library.U2Gate, "u3": library.U3Gate}
    rare |= {"cu1": library.CU1Gate, "cu3": library.CU3Gate}
    rare |= {"xx_plus_yy": library.XXPlusYYGate, "xx_minus_yy": library.XXMinusYYGate}
    circuit = QuantumCircuit(num_qubits, name=name)
    for gate, qubits, angles in gates(ParameterVector("θ", count) if values is None else values):
        if gate in rare:
            circuit.append(rare[gate](*angles), qubits)
        else:
            getattr(circuit, gate)(*angles, *qubits)
    return circuit


def parsed(program: str) -> tuple[QuantumCircuit, list[str]]:
    """The circuit of an OpenQASM 3 program, and its inputs in the order of their declarations."""
    with needs("qiskit", "Circuit.from_openqasm3"):
        import qiskit_qasm3_import  # noqa: F401
        from qiskit import qasm3
    instance("program", program, str, "a string")
    names = re.findall(r"^\s*input\s+[^;]*?(\w+)\s*;", program, flags=re.MULTILINE)
    try:
        return qasm3.loads(program), names
    except Exception as error:  # the parser's own kinds
        raise ValueError(f"`program` cannot be read as OpenQASM 3: {error}") from error


def openqasm3(
    num_qubits: int, instructions: Sequence[Instruction], angles: Sequence[float], measure: bool
) -> str:
    """The program, angles with all their digits; ``measure``: all qubits at the end, into ``c``."""
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";', f"qubit[{num_qubits}] q;"]
    if measure:
        lines.insert(2, f"bit[{num_qubits}] c;")
    for gate, qubits, index in instructions:
        argument = "" if index is None else f"({angles[index]!r})"
        operands = ", ".join(f"q[{qubit}]" for qubit in qubits)
        lines.append(f"{gate}{argument} {operands};")
    if measure:
        lines.append("c = measure q;")
    return "\n".join(lines) + "\n"


def plan_in_words(lowered: Lowered, program: _core.Program) -> str:
    """What the core does, walk by walk."""
    turns = sum(1 for mask in lowered.flips if mask)
    phases = len(lowered.flips) - turns
    lines = [
        f"{lowered.num_qubits} qubits, of which {bin(lowered.hadamards).count('1')} start in |+>: "
        f"{turns} rotations and {phases} phases; {lowered.dropped} that change no probability are "
        "left out; CNOTs and swaps rename basis states."
    ]
    for back, name in ((False, "Forwards"), (True, "Backwards, with two states")):
        walks = program.walks(back)
        lines.append(f"{name}: {len(walks)} walks over the state.")
        for number, (size, steps) in enumerate(walks, 1):
            parts = [
                f"{count} rotations" + (f" after {entries} phases" if entries else "")
                for count, _, entries in steps
            ]
            lines.append(f"  {number}. tiles of {size} lines: {'; '.join(parts)}")
    return "\n".join(lines)

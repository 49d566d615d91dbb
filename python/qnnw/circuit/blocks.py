"""Circuits in layers: rotation blocks, entanglement blocks, and who is entangled with whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import qnnw._core as _core
from qnnw._common.checks import flag, integer, kind_of, one_of
from qnnw._common.seeds import Seed, derived_seed, seed_to_int
from qnnw.circuit.ansatz import EfficientSU2
from qnnw.circuit.any_circuit import Circuit
from qnnw.circuit.gates import GATES, Angle, Gate

#: Qiskit's names, then ours.
ENTANGLEMENTS = (
    "linear", "reverse_linear", "circular", "full", "pairwise", "sca", "none", "brick_wall",
    "heavy_hex", "ring",
)  # fmt: skip
Blocks = str | Sequence[str]
Pairs = tuple[tuple[int, int], ...]
Entanglement = str | Sequence[tuple[int, int]]
# Qubits of a row of the heavy-hex lattice, and columns of the bridges below even and odd ones.
ROW, BRIDGES = 7, ((0, 4), (2, 6))


def entangled_pairs(num_qubits: int, entanglement: Entanglement, block: int) -> Pairs:
    """(control, target) pairs of entanglement block number ``block``, in order.

    ``"linear"``, ``"reverse_linear"``, ``"circular"``, ``"full"``, ``"pairwise"`` and ``"sca"`` are
    Qiskit's; ``"ring"`` is (0, 1), (1, 2), … (N-1, 0), Quantum-Train's circular one;
    ``"brick_wall"`` has the even bonds in even blocks and the odd ones in odd blocks;
    ``"heavy_hex"`` the bonds of a heavy-hex lattice of rows of 7 qubits, row after row, the bridges
    below a row behind it, each bond from the lower number; ``"none"`` has none. Or the pairs
    themselves.
    """
    if not isinstance(entanglement, str):
        return tuple((int(control), int(target)) for control, target in entanglement)
    one_of("entanglement", entanglement, ENTANGLEMENTS)
    if entanglement == "none" or num_qubits == 1:
        return ()
    if entanglement == "ring":
        last = num_qubits if num_qubits > 2 else 1
        return tuple((q, (q + 1) % num_qubits) for q in range(last))
    if entanglement == "brick_wall":
        return tuple((q, q + 1) for q in range(block % 2, num_qubits - 1, 2))
    if entanglement == "heavy_hex":
        return _heavy_hex(num_qubits)
    core = _core.EfficientSU2(num_qubits, block + 1, entanglement)
    return tuple(core.entangler_pairs(block))


def _heavy_hex(num_qubits: int) -> Pairs:
    bonds, numbers, first, row = [], {}, 0, 0
    while first < num_qubits:
        for column in range(ROW):
            numbers[2 * row, column] = first + column
            if column:
                bonds.append((first + column - 1, first + column))
        for place, column in enumerate(BRIDGES[row % 2]):
            numbers[2 * row + 1, column] = first + ROW + place
            bonds.append((first + column, first + ROW + place))
        above = [(numbers[2 * row - 1, c], first + c) for c in BRIDGES[(row - 1) % 2] if row]
        bonds += above
        first, row = first + ROW + len(BRIDGES[row % 2]), row + 1
    return tuple(sorted(bond for bond in bonds if max(bond) < num_qubits))


def two_local(
    num_qubits: int,
    rotation_blocks: Blocks = ("ry", "rz"),
    entanglement_blocks: Blocks = "cx",
    *,
    reps: int = 3,
    entanglement: Entanglement = "linear",
    order: Seed | None = None,
    hadamards: bool = True,
    skip_final_rotation_layer: bool = False,
    initial: str | float = "uniform",
) -> Circuit:
    """``reps`` times (rotation blocks on all qubits, entanglement blocks on pairs), then rotations.

    Every angle of every gate is a parameter of its own, in the gates' order: Qiskit's ``n_local``.

    Parameters
    ----------
    num_qubits
        Number of qubits N.
    rotation_blocks
        Names of gates of one qubit: ``"ry"``, ``["rx", "rz"]``, ``"u3"``, ….
    entanglement_blocks
        Names of gates of two: ``"cx"``, ``"cz"``, ``"swap"``, ``"iswap"``, ``"crx"``, ``"cry"``,
        ``"crz"``, ``"cp"``, ``"rxx"``, ``"ryy"``, ``"rzz"``, ``"cu3"``, ….
    reps
        Number of repetitions.
    entanglement
        See :func:`entangled_pairs`.
    order
        A seed: in every block the qubits of the pairs are permuted at random, afresh.
    hadamards
        Whether all qubits start in |+>.
    skip_final_rotation_layer
        As in Qiskit.
    initial
        See :class:`qnnw.Circuit`.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range.
    """
    qubits, reps = integer("num_qubits", num_qubits, 1, 32), integer("reps", reps, 0)
    rotations = _named("rotation_blocks", rotation_blocks, 1)
    entanglers = _named("entanglement_blocks", entanglement_blocks, 2)
    seed = None if order is None else seed_to_int(order, "order")
    gates = [Gate("h", (q,)) for q in range(qubits) if flag("hadamards", hadamards)]
    count = 0

    def add(name: str, on: tuple[int, ...]) -> None:
        nonlocal count
        own = GATES[name].num_angles
        gates.append(Gate(name, on, tuple(Angle(0.0, ((count + k, 1.0),)) for k in range(own))))
        count += own

    for layer in range(reps + (not flag("skip_final_rotation_layer", skip_final_rotation_layer))):
        for name in rotations:
            for qubit in range(qubits):
                add(name, (qubit,))
        if layer < reps:
            places = list(range(qubits))
            if seed is not None:
                words = np.random.PCG64(derived_seed(seed, layer)).random_raw(qubits)
                places = np.argsort(words, kind="stable").tolist()
            for name in entanglers:
                for control, target in entangled_pairs(qubits, entanglement, layer):
                    add(name, (places[control], places[target]))
    return Circuit(qubits, tuple(gates), count, initial)


def efficient_su2(
    num_qubits: int, su2_gates: Blocks = ("ry", "rz"), *, reps: int = 3, **options: Any
) -> Circuit:
    """Qiskit's ``efficient_su2`` with these gates and CNOTs; ``options`` are :func:`two_local`'s.

    With RY and RZ it is :class:`qnnw.EfficientSU2`, which is faster.
    """
    return two_local(num_qubits, su2_gates, "cx", reps=reps, **options)


def real_amplitudes(num_qubits: int, *, reps: int = 3, **options: Any) -> Circuit:
    """RY and CNOTs, Qiskit's ``real_amplitudes``; ``options`` are :func:`two_local`'s."""
    return two_local(num_qubits, "ry", "cx", reps=reps, **options)


def u3_cu3(num_qubits: int, *, reps: int = 16, **options: Any) -> Circuit:
    """U3 on every qubit and CU3 around the ring: Quantum-Train's circuit (arXiv:2405.11304).

    No Hadamards and no last rotations, unless ``options`` of :func:`two_local` say so.
    """
    ours = {"entanglement": "ring", "hadamards": False, "skip_final_rotation_layer": True}
    return two_local(num_qubits, "u3", "cu3", reps=reps, **{**ours, **options})


#: The name of :class:`qnnw.EfficientSU2`.
DEFAULT = "efficient_su2"
#: Other circuits by name, for settings and the command line.
CIRCUITS: dict[str, Callable[..., Circuit]] = {
    "real_amplitudes": real_amplitudes,
    "u3_cu3": u3_cu3,
    "rx_rz_cz": lambda n, **options: two_local(n, ("rx", "rz"), "cz", **options),
    "rz_ry_rz": lambda n, **options: two_local(n, ("rz", "ry", "rz"), "cx", **options),
    "brick_wall": lambda n, **options: two_local(
        n, ("ry", "rz"), "cz", **{**options, "entanglement": "brick_wall"}
    ),
    "heavy_hex": lambda n, **options: two_local(
        n, ("ry", "rz"), "cx", **{**options, "entanglement": "heavy_hex"}
    ),
}


def ansatz_of(
    circuit: str | Circuit | Callable[[int], Circuit] | None,
    num_qubits: int,
    *,
    reps: int,
    entanglement: Entanglement,
) -> EfficientSU2 | Circuit:
    """The circuit of a setting, for so many qubits.

    Parameters
    ----------
    circuit
        ``None`` or ``"efficient_su2"``: :class:`qnnw.EfficientSU2`. A name in :data:`CIRCUITS`, an
        OpenQASM 3 program or its file, a circuit, or what makes one for a number of qubits.
    num_qubits
        N.
    reps, entanglement
        Of those by name; of u3_cu3, brick_wall and heavy_hex the entanglement belongs to the name.

    Raises
    ------
    TypeError, ValueError
        There is no such name or file, or it is a circuit of another number of qubits.
    """
    if circuit is None or (isinstance(circuit, str) and circuit == DEFAULT):
        pairs: Any = () if entanglement == "none" else entanglement
        return EfficientSU2(num_qubits, reps, pairs)
    if isinstance(circuit, str) and circuit in CIRCUITS:
        own = {} if circuit == "u3_cu3" else {"entanglement": entanglement}
        return CIRCUITS[circuit](num_qubits, reps=reps, **own)
    if isinstance(circuit, str):
        circuit = Circuit.from_openqasm3(program_of(circuit))
    elif not isinstance(circuit, Circuit) and callable(circuit):
        circuit = circuit(num_qubits)
    if not isinstance(circuit, Circuit):
        need = "it must be a qnnw.Circuit, a name, a function of the number of qubits, or None"
        raise TypeError(f"`circuit` is {kind_of(circuit)}; {need}")
    if circuit.num_qubits != num_qubits:
        raise ValueError(
            f"`circuit` has {circuit.num_qubits} qubits; the weights need {num_qubits}"
        )
    return circuit


def program_of(name: str) -> str:
    """An OpenQASM 3 program: itself, or the text of its file."""
    if name.lstrip().startswith(("OPENQASM", "//", "/*")):
        return name
    if not name.endswith((".qasm", ".qasm3")):
        known = ", ".join(map(repr, (DEFAULT, *CIRCUITS)))
        raise ValueError(
            f"`circuit` is {name!r}; it must be {known}, or an OpenQASM 3 file, *.qasm"
        )
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"`circuit` is {name!r}, which cannot be read: {error}") from error


def _named(argument: str, names: Blocks, num_qubits: int) -> tuple[str, ...]:
    """Gates of so many qubits."""
    listed: Iterable[str] = (names,) if isinstance(names, str) else names
    known = [name for name, kind in GATES.items() if kind.num_qubits == num_qubits]
    return tuple(one_of(argument, name, known) for name in listed)

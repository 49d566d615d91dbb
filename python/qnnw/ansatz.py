"""EfficientSU2: the circuit whose measurement probabilities become weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw import _core
from qnnw._extras import needs
from qnnw._seeds import Seed, seed_to_int

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["EfficientSU2"]

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class EfficientSU2:
    """Hadamards, then ``reps`` times (RY and RZ on every qubit, a block of CNOTs), then RY and RZ.

    The circuit is Qiskit's ``efficient_su2(num_qubits, su2_gates=["ry", "rz"], reps=reps,
    entanglement=...)`` after a Hadamard on every qubit. Angles are radians, layer by layer: RY of
    qubits 0 … N-1, then RZ of qubits 0 … N-1. Basis index i = sum_q b_q 2^q: qubit 0 is the least
    significant bit.

    Parameters
    ----------
    num_qubits
        Number of qubits N, from 1 to 32.
    reps
        Number of repetitions L. There are L + 1 rotation layers.
    entanglement
        ``"linear"``, ``"reverse_linear"``, ``"circular"``, ``"full"``, ``"pairwise"`` or ``"sca"``
        (Qiskit's blocks of CNOTs), or a sequence of (control, target) pairs, used in every block.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, or out of range.

    Notes
    -----
    Section II.D of Liu et al. (2024). The last RZ layer changes no probability: its angles count
    as parameters, and their gradient is exactly 0.
    """

    num_qubits: int
    reps: int = 3
    entanglement: str | Pairs = "linear"
    _core: _core.EfficientSU2 = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        entanglement = _normalized(self.entanglement)
        given = entanglement if isinstance(entanglement, str) else list(entanglement)
        object.__setattr__(self, "_core", _core.EfficientSU2(self.num_qubits, self.reps, given))
        object.__setattr__(self, "num_qubits", int(self.num_qubits))
        object.__setattr__(self, "reps", int(self.reps))
        object.__setattr__(self, "entanglement", entanglement)

    def __reduce__(self) -> tuple[type[EfficientSU2], tuple[int, int, str | Pairs]]:
        return EfficientSU2, (self.num_qubits, self.reps, self.entanglement)

    @property
    def num_parameters(self) -> int:
        """Number of angles, 2 N (L + 1)."""
        return self._core.num_parameters

    def entangler_pairs(self, block: int) -> Pairs:
        """(control, target) pairs of the CNOTs in block number ``block`` (0 … L-1), in order."""
        if not 0 <= block < self.reps:
            raise ValueError(f"`block` is {block}; it must be from 0 to reps-1 = {self.reps - 1}")
        return tuple(self._core.entangler_pairs(block))

    def random_angles(self, seed: Seed) -> NDArray[np.float64]:
        """Angles uniform on [0, 2 pi), the same for the same seed in every release.

        Parameters
        ----------
        seed
            An integer from 0 to 2**64 - 1, or a ``numpy.random.Generator``.

        Returns
        -------
        ndarray of float64, shape (num_parameters,)
            Radians.
        """
        return self._core.random_angles(seed_to_int(seed))

    def statevector(self, angles: ArrayLike) -> NDArray[np.complex128]:
        """Amplitudes <i|psi(angles)>, with Qiskit's bit order and global phase.

        Parameters
        ----------
        angles
            Real numbers, shape (num_parameters,) or (B, num_parameters); radians.

        Returns
        -------
        ndarray of complex128, shape (2**N,) or (B, 2**N)

        Raises
        ------
        TypeError
            ``angles`` are not real numbers.
        ValueError
            Their shape is wrong, or one is NaN or infinite.
        MemoryError
            The state does not fit in memory; the message says how many GiB it needs.
        """
        return self._core.statevector(angles)

    def probabilities(self, angles: ArrayLike) -> NDArray[np.float64]:
        """Measurement probabilities p_i = |<i|psi(angles)>|^2.

        Parameters
        ----------
        angles
            Real numbers, shape (num_parameters,) or (B, num_parameters); radians.

        Returns
        -------
        ndarray of float64, shape (2**N,) or (B, 2**N)
            Each row sums to 1.

        Raises
        ------
        TypeError, ValueError, MemoryError
            As for :meth:`statevector`.
        """
        return self._core.probabilities(angles)

    def to_qiskit(self, angles: ArrayLike | None = None) -> QuantumCircuit:
        """Return the circuit for Qiskit, without measurements.

        Parameters
        ----------
        angles
            Shape (num_parameters,), radians; ``None`` leaves parameters named ``θ[0]``, ``θ[1]``, …
            in the order of the angles.

        Raises
        ------
        MissingExtraError
            Qiskit is not installed.
        TypeError, ValueError
            ``angles`` are wrong.
        """
        with needs("qiskit", "EfficientSU2.to_qiskit"):
            from qiskit import QuantumCircuit
            from qiskit.circuit import ParameterVector
        values: Sequence[Any]
        if angles is None:
            values = ParameterVector("θ", self.num_parameters)
        else:
            values = self._checked_set(angles).tolist()
        circuit = QuantumCircuit(self.num_qubits, name="EfficientSU2")
        for gate, qubits, index in self._instructions():
            arguments = qubits if index is None else (values[index], *qubits)
            getattr(circuit, gate)(*arguments)
        return circuit

    def to_openqasm3(self, angles: ArrayLike, measure: bool = False) -> str:
        """Return the circuit as an OpenQASM 3 program.

        Parameters
        ----------
        angles
            Shape (num_parameters,), radians; written with all their digits.
        measure
            Whether every qubit is measured at the end, into the register ``c``.

        Raises
        ------
        TypeError, ValueError
            ``angles`` are wrong.
        """
        values = self._checked_set(angles).tolist()
        lines = ["OPENQASM 3.0;", 'include "stdgates.inc";', f"qubit[{self.num_qubits}] q;"]
        if measure:
            lines.insert(2, f"bit[{self.num_qubits}] c;")
        for gate, qubits, index in self._instructions():
            argument = "" if index is None else f"({values[index]!r})"
            operands = ", ".join(f"q[{qubit}]" for qubit in qubits)
            lines.append(f"{gate}{argument} {operands};")
        if measure:
            lines.append("c = measure q;")
        return "\n".join(lines) + "\n"

    def _instructions(self) -> list[tuple[str, tuple[int, ...], int | None]]:
        """Gates in order: name, qubits, index of the angle."""
        qubits = range(self.num_qubits)
        gates: list[tuple[str, tuple[int, ...], int | None]] = [("h", (q,), None) for q in qubits]
        for layer in range(self.reps + 1):
            start = 2 * self.num_qubits * layer
            gates += [("ry", (q,), start + q) for q in qubits]
            gates += [("rz", (q,), start + self.num_qubits + q) for q in qubits]
            if layer < self.reps:
                gates += [("cx", pair, None) for pair in self.entangler_pairs(layer)]
        return gates

    def _checked_set(self, angles: ArrayLike) -> NDArray[np.float64]:
        """One set of angles, checked."""
        values = np.asarray(angles)
        if values.dtype.kind not in "iuf":
            raise TypeError(
                f"`angles` has dtype {values.dtype}; an array of real numbers is needed"
            )
        if values.shape != (self.num_parameters,):
            raise ValueError(
                f"`angles` has shape {values.shape}; {self!r} needs ({self.num_parameters},)"
            )
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError("`angles` has NaN or infinity; every entry must be finite")
        return values


def _normalized(entanglement: Any) -> str | Pairs:
    """A name, or pairs as nested tuples, so that equal circuits are equal and hashable."""
    if isinstance(entanglement, str):
        return entanglement
    need = "it must be a name or a sequence of (control, target) pairs of qubits"
    try:
        pairs = tuple(tuple(pair) for pair in entanglement)
    except TypeError:
        raise TypeError(
            f"`entanglement` is of type {type(entanglement).__name__}; {need}"
        ) from None
    for pair in pairs:
        if len(pair) != 2 or not all(hasattr(qubit, "__index__") for qubit in pair):
            raise TypeError(f"`entanglement` has the entry {pair!r}; {need}")
        if not all(0 <= int(qubit) < 2**32 for qubit in pair):
            raise ValueError(f"`entanglement` has the entry {pair!r}; {need}")
    return tuple((int(control), int(target)) for control, target in pairs)

"""EfficientSU2: the circuit whose measurement probabilities become weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

import qnnw._core as _core
from qnnw._common.checks import flag, integer, kind_of, one_of
from qnnw._common.once import once
from qnnw._common.precision import is_single
from qnnw.circuit.derivatives import pauli_covariances, shifted
from qnnw.circuit.drawing import circuit_html
from qnnw.circuit.evolved import Evolved, Real
from qnnw.circuit.interchange import Instruction, openqasm3

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class EfficientSU2(Evolved):
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

    _named: ClassVar[str] = "EfficientSU2"
    _record = staticmethod(_core.record_probabilities)

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_qubits", integer("num_qubits", self.num_qubits))
        object.__setattr__(self, "reps", integer("reps", self.reps))
        object.__setattr__(self, "entanglement", _normalized(self.entanglement))
        _ = self._core  # which checks their ranges

    def __reduce__(self) -> tuple[type[EfficientSU2], tuple[int, int, str | Pairs]]:
        return EfficientSU2, (self.num_qubits, self.reps, self.entanglement)

    def _repr_html_(self) -> str:
        gates = [(n, q, [] if k is None else [f"θ[{k}]"]) for n, q, k in self._instructions()]
        return circuit_html(repr(self), self.num_qubits, gates)

    @once
    def _core(self) -> _core.EfficientSU2:
        return _core.EfficientSU2(self.num_qubits, self.reps, self._given)

    @property
    def _given(self) -> str | list[tuple[int, int]]:
        """The entanglement as the core takes it."""
        return self.entanglement if isinstance(self.entanglement, str) else list(self.entanglement)

    @property
    def num_parameters(self) -> int:
        """Number of angles, 2 N (L + 1)."""
        return self._core.num_parameters

    @property
    def live_angles(self) -> NDArray[np.intp]:
        """Places of the angles that can change a probability: all but the last RZ layer's N.

        Behind those there is nothing but the measurement, whose probabilities know no phase.
        """
        return np.arange(self.num_parameters - self.num_qubits)

    def entangler_pairs(self, block: int) -> Pairs:
        """(control, target) pairs of the CNOTs in block number ``block`` (0 … L-1), in order."""
        block = integer("block", block)
        if not 0 <= block < self.reps:
            need = f"it must be from 0 to reps-1 = {self.reps - 1}" if self.reps else "reps is 0"
            raise ValueError(f"`block` is {block}; {need}")
        return tuple(self._core.entangler_pairs(block))

    def _started(self, seed: int) -> NDArray[np.float64]:
        return self._core.random_angles(seed)

    def statevector(
        self, angles: ArrayLike, *, dtype: DTypeLike = np.float64
    ) -> NDArray[np.complexfloating[Any, Any]]:
        """Amplitudes <i|psi(angles)>, with Qiskit's bit order and global phase.

        Parameters
        ----------
        angles
            Real numbers, shape (num_parameters,) or (B, num_parameters); radians.
        dtype
            Precision: ``float64`` (the result is complex128) or ``float32`` (complex64).

        Returns
        -------
        ndarray of complex128 or complex64, shape (2**N,) or (B, 2**N)

        Raises
        ------
        TypeError, ValueError, MemoryError, RuntimeError
            As for :meth:`probabilities`.
        """
        return self._core.statevector(angles, is_single(dtype))

    def jacobian(self, angles: ArrayLike, *, dtype: DTypeLike = np.float64) -> Real:
        """Jacobian J[i, k] = d p_i / d angles_k, by the parameter-shift rule (exact here).

        Costs 2 num_parameters evolutions and 2**N num_parameters numbers: meant for small N.

        Parameters
        ----------
        angles
            Real numbers, shape (num_parameters,); radians.
        dtype
            Precision: ``float64`` or ``float32``.

        Returns
        -------
        ndarray of ``dtype``, shape (2**N, num_parameters)

        Raises
        ------
        TypeError, ValueError, MemoryError
            As for :meth:`probabilities`.
        """
        single, qubits, checked = is_single(dtype), self.num_qubits, self._checked_set(angles)
        size = len(checked) * 2**qubits * (4 if single else 8)
        _core.require_memory(size, f"the Jacobian of {qubits} qubits")
        columns = np.zeros((len(checked), 2**qubits), np.float32 if single else np.float64)
        read = partial(self.probabilities, dtype=dtype)
        for place, change in shifted(read, checked, self.live_angles):
            columns[place] = change / 2
        by_basis: Real = columns.T
        return by_basis

    def fisher(self, angles: ArrayLike, *, block: str = "layer") -> NDArray[np.float64]:
        """Quantum Fisher information, in blocks of one rotation layer.

        F_jk = 4 Re(<d_j psi|d_k psi> - <d_j psi|psi><psi|d_k psi>), for angles j and k of one
        layer: the covariances of the Paulis Y and Z of that layer's qubits in the state between its
        RY and its RZ. Natural gradient solves F x = gradient layer by layer (Stokes et al.,
        Quantum 4, 269, 2020).

        Parameters
        ----------
        angles
            Real numbers, shape (num_parameters,); radians.
        block
            ``"layer"``.

        Returns
        -------
        ndarray of float64, shape (reps + 1, 2 N, 2 N)
            Symmetric and positive semidefinite, in the order of a layer's angles: RY of qubits
            0 … N-1, then RZ. It is the information of the state: the block of the last RZ layer is
            not 0, though those angles change no probability.

        Raises
        ------
        TypeError, ValueError, MemoryError
            As for :meth:`probabilities`; also where ``block`` is unknown.
        """
        one_of("block", block, ["layer"])
        checked, qubits = self._checked_set(angles), self.num_qubits
        # Every Pauli's state, and their conjugates.
        _core.require_memory(64 * qubits * 2**qubits, f"the Fisher information of {qubits} qubits")
        blocks = np.empty((self.reps + 1, 2 * qubits, 2 * qubits))
        for layer in range(self.reps + 1):
            # The same circuit, cut after this layer's RY.
            part = _core.EfficientSU2(qubits, layer, self._given)
            until = checked[: part.num_parameters].copy()
            until[-qubits:] = 0.0
            blocks[layer] = pauli_covariances(part.statevector(until, False), qubits)
        return blocks

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
        measured = flag("measure", measure)
        values = self._checked_set(angles).tolist()
        return openqasm3(self.num_qubits, self._instructions(), values, measured)

    def plan(self, *, dtype: DTypeLike = np.float64) -> str:
        """What is done to the state, in words: walks, tiles, and the layers that each walk takes.

        It depends on N, the entanglement, the precision and the processor's vectors, and is made
        before any angle is known: a state that fits in a cache goes layer by layer, a large one of
        a ladder several layers at a time, tile by tile.

        Parameters
        ----------
        dtype
            Precision: ``float64`` or ``float32``.

        Raises
        ------
        TypeError
            ``dtype`` is neither precision.
        MemoryError
            The plan's tables do not fit in memory.
        """
        return self._core.plan(is_single(dtype))

    def _gates_at(self, given: Any) -> Iterator[tuple[str, tuple[int, ...], list[Any]]]:
        for name, qubits, place in self._instructions():
            yield name, qubits, [] if place is None else [given[place]]

    def _instructions(self) -> list[Instruction]:
        """Gates in order: name, qubits, index of the angle."""
        qubits = range(self.num_qubits)
        gates: list[Instruction] = [("h", (q,), None) for q in qubits]
        for layer in range(self.reps + 1):
            start = 2 * self.num_qubits * layer
            gates += [("ry", (q,), start + q) for q in qubits]
            gates += [("rz", (q,), start + self.num_qubits + q) for q in qubits]
            if layer < self.reps:
                gates += [("cx", pair, None) for pair in self.entangler_pairs(layer)]
        return gates


def _normalized(entanglement: Any) -> str | Pairs:
    """A name, or pairs as nested tuples, so that equal circuits are equal and hashable."""
    if isinstance(entanglement, str):
        return str(entanglement)
    need = "it must be a name or a sequence of (control, target) pairs of qubits"
    try:
        pairs = [tuple(pair) for pair in entanglement]
    except TypeError as error:
        raise TypeError(f"`entanglement` is {kind_of(entanglement)}; {need}") from error
    checked = []
    for pair in pairs:
        if len(pair) != 2:
            raise TypeError(f"`entanglement` has the entry {pair!r}; {need}")
        try:
            control, target = (integer("entanglement", q, 0, 2**32 - 1) for q in pair)
        except (TypeError, ValueError) as error:
            raise type(error)(f"`entanglement` has the entry {pair!r}; {need}") from error
        checked.append((control, target))
    return tuple(checked)

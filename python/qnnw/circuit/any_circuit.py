"""Circuit: a program of any standard gates, with exact probabilities and gradients."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import qnnw._core as _core
from qnnw._common.checks import integer, one_of, real
from qnnw._common.once import once
from qnnw.circuit import interchange
from qnnw.circuit.derivatives import shifted
from qnnw.circuit.drawing import circuit_html
from qnnw.circuit.evolved import Evolved, Real
from qnnw.circuit.gates import Angle, Gate, checked_gate
from qnnw.circuit.lowering import Lowered, lowered

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

#: Standard deviation of ``"near_identity"``, in radians.
NEAR_IDENTITY = 0.01


@dataclass(frozen=True, repr=False)
class Circuit(Evolved):
    """Gates on N qubits that start in |0>, their angles linear in the parameters; measured at last.

    Basis index i = sum_q b_q 2^q, Qiskit's: qubit 0 is the least significant bit. A circuit is a
    value: it does not change, equal ones are equal, and it can be a key.

    Parameters
    ----------
    num_qubits
        Number of qubits N, from 1 to 32.
    gates
        In their order: ``(name, qubits)`` or ``(name, qubits, angles)``; names, qubits and angles
        are Qiskit's (``qnnw.circuit.gates.GATES`` has all). An angle is a number, in radians, or
        linear in the parameters: ``2 * parameter(0) - parameter(1) + 0.5``.
    num_parameters
        How many; ``None``: as many as are in the angles.
    initial
        Where training starts: ``"uniform"``, every parameter on [0, 2 pi); a number sigma, normal
        with that standard deviation; ``"near_identity"``, normal with 0.01.

    Raises
    ------
    TypeError, ValueError
        A gate is unknown or does not fit; the message has its name and its place.

    Notes
    -----
    Every gate is made of rotations exp(-i angle P / 2) by Paulis P, CNOTs and swaps. The latter
    rename basis states and are never done; a rotation is one multiply-add a real number, lanes of a
    vector at a time, tiles of the state in the processor's first cache. Phases meet in tables.
    The gradient goes back through the same rotations, with two states and no tape. :meth:`plan`
    tells what is done.
    """

    num_qubits: int
    gates: tuple[Gate, ...]
    num_parameters: int = None  # type: ignore[assignment]
    initial: str | float = "uniform"

    _record = staticmethod(_core.Program.record)

    def __post_init__(self) -> None:
        qubits = integer("num_qubits", self.num_qubits, 1, 32)
        gates = tuple(checked_gate(gate, k, qubits) for k, gate in enumerate(self.gates))
        highest = max((k for g in gates for a in g.angles for k, _ in a.terms), default=-1)
        given = highest + 1 if self.num_parameters is None else self.num_parameters
        count = integer("num_parameters", given, 0)
        if count <= highest:
            raise ValueError(f"`num_parameters` is {count}; the gates have parameter {highest}")
        checked: dict[str, Any] = {"num_qubits": qubits, "gates": gates, "num_parameters": count}
        if isinstance(self.initial, str):
            checked["initial"] = one_of("initial", self.initial, ["uniform", "near_identity"])
        else:
            checked["initial"] = real("initial", self.initial, above=0)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[type[Circuit], tuple[Any, ...]]:
        return Circuit, (self.num_qubits, self.gates, self.num_parameters, self.initial)

    def __repr__(self) -> str:
        mark = hashlib.sha256(json.dumps(self.describe()).encode()).hexdigest()[:16]
        return (
            f"Circuit(num_qubits={self.num_qubits}, num_parameters={self.num_parameters}, "
            f"gates=<{len(self.gates)}, {mark}>)"
        )

    def _repr_html_(self) -> str:
        told = f"{self.num_qubits} qubits, {self.num_parameters} parameters"
        gates = [(name, qubits, [*map(str, angles)]) for name, qubits, angles in self.gates]
        return circuit_html(told, self.num_qubits, gates)

    @once
    def _lowered(self) -> Lowered:
        return lowered(self.num_qubits, self.gates)

    @once
    def _core(self) -> _core.Program:
        return self._lowered.program(self.num_parameters)

    def _gates_at(self, given: Any) -> Iterator[tuple[str, tuple[int, ...], list[Any]]]:
        return ((name, on, [a.at(given) for a in angles]) for name, on, angles in self.gates)

    @property
    def live_angles(self) -> NDArray[np.intp]:
        """Places of the parameters that can change a probability, as far as the gates' order tells.

        Parameters of phases behind which everything commutes with them, as those before the
        measurement, are none; nor are those of rotations that leave the start as it is.
        """
        return np.unique(self._lowered.terms[1]).astype(np.intp)

    def _started(self, seed: int) -> NDArray[np.float64]:
        # From raw words of PCG64, which no version of NumPy changes.
        count = self.num_parameters
        words = np.random.PCG64(seed).random_raw(2 * count).reshape(2, count)
        uniform = (words >> np.uint64(11)) * 2.0**-53
        if self.initial == "uniform":
            turns: NDArray[np.float64] = 2 * math.pi * uniform[0]
            return turns
        sigma = NEAR_IDENTITY if self.initial == "near_identity" else float(self.initial)
        radius: NDArray[np.float64] = np.sqrt(-2 * np.log1p(-uniform[0]))
        drawn: NDArray[np.float64] = sigma * radius * np.cos(2 * math.pi * uniform[1])
        return drawn

    def jacobian(self, angles: ArrayLike) -> NDArray[np.float64]:
        """Jacobian d p_i / d angles_k, by the parameter-shift rule for every rotation; exact.

        Two evolutions a rotation: meant for small N.

        Parameters
        ----------
        angles
            Values of the parameters, shape (num_parameters,).

        Returns
        -------
        ndarray of float64, shape (2**N, num_parameters)

        Raises
        ------
        TypeError, ValueError, MemoryError
            As for :meth:`probabilities`.
        """
        size = 8 * 2**self.num_qubits * self.num_parameters
        _core.require_memory(size, f"the Jacobian of {self.num_qubits} qubits")
        rotations = self.rotations
        turned = rotations.angles(self._checked_set(angles))
        columns = np.zeros((self.num_parameters, 2**self.num_qubits))
        for rotation, change in shifted(rotations.probabilities, turned, rotations.live_angles):
            for place, factor in self._lowered.angles[rotation].terms:
                columns[place] += factor / 2 * change
        by_basis: NDArray[np.float64] = columns.T
        return by_basis

    @property
    def rotations(self) -> Rotations:
        """The rotations that it is made of, each with an angle of its own."""
        return self._rotations

    @once
    def _rotations(self) -> Rotations:
        return Rotations(self._lowered, self.num_parameters)

    def plan(self) -> str:
        """What is done to the state, in words: passes, steps, and the walks that they take."""
        return interchange.plan_in_words(self._lowered, self._core)

    @classmethod
    def from_qiskit(cls, circuit: QuantumCircuit, *, initial: str | float = "uniform") -> Circuit:
        """Take over a circuit of Qiskit.

        Gates that :class:`Circuit` has are taken as they are, others by their definitions.
        Parameter number k is ``circuit.parameters[k]``. Barriers are left out, and measurements at
        the end.

        Parameters
        ----------
        circuit
            Its parameters must enter the angles linearly.
        initial
            As for the class.

        Raises
        ------
        MissingExtraError
            Qiskit is not installed.
        TypeError, ValueError
            Something is no gate, or an angle is not linear; the message has its name and place.
        """
        qubits, gates, count = interchange.gates_of(circuit)
        return cls(qubits, tuple(gates), count, initial)

    @classmethod
    def from_openqasm3(cls, program: str, *, initial: str | float = "uniform") -> Circuit:
        """Take over an OpenQASM 3 program; raises as :meth:`from_qiskit`.

        Its inputs are the parameters, in the order of their declarations; ``θ[0]`` is written as
        ``_θ_0_``.
        """
        qubits, gates, count = interchange.gates_of(*interchange.parsed(program))
        return cls(qubits, tuple(gates), count, initial)

    def to_openqasm3(self, angles: ArrayLike | None = None) -> str:
        """Return the circuit as an OpenQASM 3 program; for the rest see :meth:`to_qiskit`."""
        circuit = self.to_qiskit(angles)
        from qiskit import qasm3

        return str(qasm3.dumps(circuit))

    def describe(self) -> dict[str, Any]:
        """The circuit as JSON."""
        gates = [
            [name, list(qubits), [[a.constant, [list(t) for t in a.terms]] for a in angles]]
            for name, qubits, angles in self.gates
        ]
        return {
            "num_qubits": self.num_qubits, "num_parameters": self.num_parameters,
            "initial": self.initial, "gates": gates,
        }  # fmt: skip

    @classmethod
    def from_description(cls, described: Mapping[str, Any]) -> Circuit:
        """Rebuild what :meth:`describe` gave; raises KeyError, TypeError or ValueError."""
        gates = [
            (name, qubits, [_angle_from(constant, terms) for constant, terms in angles])
            for name, qubits, angles in described["gates"]
        ]
        count, initial = described["num_parameters"], described["initial"]
        return cls(described["num_qubits"], gates, count, initial)  # type: ignore[arg-type]


class Rotations:
    """A circuit's rotations by their own angles: what the parameter-shift rule is exact for."""

    def __init__(self, lowered: Lowered, num_parameters: int) -> None:
        self._constants, self._terms = lowered.constants, lowered.terms
        self._count, self._core = num_parameters, lowered.free_program()
        self.num_qubits = lowered.num_qubits
        self.live_angles = np.arange(len(self._constants))

    def angles(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The angle of every rotation for values of the circuit's parameters."""
        return self._constants + self.turns(values)

    def turns(self, change: ArrayLike) -> NDArray[np.float64]:
        """By how much a change of the parameters turns every rotation."""
        rotations, parameters, factors = self._terms
        moved = factors * np.asarray(change, dtype=np.float64)[parameters]
        return np.bincount(rotations, moved, minlength=len(self._constants)).astype(np.float64)

    def brought_back(self, by_angles: NDArray[np.float64]) -> NDArray[np.float64]:
        """A gradient by the angles as one by the circuit's parameters."""
        rotations, parameters, factors = self._terms
        brought = np.bincount(parameters, factors * by_angles[rotations], minlength=self._count)
        return brought.astype(np.float64)

    def probabilities(self, angles: ArrayLike) -> Real:
        """As :meth:`Circuit.probabilities`, in double precision."""
        return self._core.probabilities(angles, False)

    def probabilities_vjp(self, angles: ArrayLike, cotangent: ArrayLike) -> Real:
        """As :meth:`Circuit.probabilities_vjp`, in double precision."""
        return self._core.probabilities_vjp(angles, cotangent, False)


def _angle_from(constant: Any, terms: Iterable[Any]) -> Angle:
    pairs = tuple((integer("gates", k, 0), real("gates", factor)) for k, factor in terms)
    return Angle(real("gates", constant), pairs)

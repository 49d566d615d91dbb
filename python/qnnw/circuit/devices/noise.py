"""Noise: what goes wrong on a device, as few numbers, for the exact engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.checks import real
from qnnw.circuit.devices.prepared import Prepared
from qnnw.circuit.devices.program import Program
from qnnw.circuit.devices.readout import readout_matrices

_WORDS = ("depolarizing", "damping", "readout")
Pair = tuple[float, float]


@dataclass(frozen=True)
class Noise:
    """Errors after every gate, and of the measurement.

    After a gate on n qubits they become rho -> (1 - p_n) rho + p_n 1/2^n (depolarising), and then
    each of them loses its excitation with probability g_n (amplitude damping, with the Kraus
    operators diag(1, sqrt(1 - g)) and sqrt(g) |0><1|). At the end readings are wrong as
    :mod:`qnnw.circuit.devices.readout` has it.

    Parameters
    ----------
    depolarizing, damping
        One number for gates on one and on two qubits, or (p_1, p_2) and (g_1, g_2); in [0, 1].
    readout
        As :func:`qnnw.devices.readout_matrices` takes it; ``None``: no errors.

    Raises
    ------
    TypeError, ValueError
        A number is none, or out of range.
    """

    depolarizing: Any = 0.0
    damping: Any = 0.0
    readout: Any = None

    def __post_init__(self) -> None:
        for name in ("depolarizing", "damping"):
            object.__setattr__(self, name, _pair(name, getattr(self, name)))
        if self.readout is not None:
            given = np.asarray(self.readout, dtype=np.float64)
            checked = readout_matrices(given, len(given) if given.ndim == 3 else 1)
            kept = checked.tolist() if given.ndim == 3 else given.tolist()
            object.__setattr__(self, "readout", kept)

    @property
    def of_gates(self) -> bool:
        """Whether gates have errors."""
        return any((*self.depolarizing, *self.damping))

    def matrices(self, num_qubits: int) -> NDArray[np.float64] | None:
        """Readout errors, shape (N, 2, 2)."""
        return None if self.readout is None else readout_matrices(self.readout, num_qubits)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "depolarizing": list(self.depolarizing),
            "damping": list(self.damping),
            "readout": self.readout,
        }

    @classmethod
    def parsed(cls, given: Noise | str) -> Noise | str:
        """A setting's words, like ``depolarizing=1e-4:1e-2,readout=0.02``, as noise.

        A fake backend's name stays as it is: the circuit decides the qubits, and so the noise.

        Raises
        ------
        ValueError
            It is neither.
        """
        if isinstance(given, Noise) or given.startswith("fake_"):
            return given
        found: dict[str, Any] = {}
        try:
            for part in given.split(","):
                name, value = part.split("=")
                numbers = tuple(float(word) for word in value.split(":"))
                if name not in _WORDS or name in found or len(numbers) > 2:
                    raise ValueError
                found[name] = numbers[0] if len(numbers) == 1 else numbers
        except ValueError:
            raise ValueError(
                f"`noise` is {given!r}; it must be the name of a fake backend, or like "
                "'depolarizing=1e-4:1e-2,damping=0,readout=0.02:0.03': of gates on one and on two "
                "qubits, and P(1|0):P(0|1) of readings"
            ) from None
        return cls(**found)

    @classmethod
    def from_backend(cls, backend: Any, circuit: Any) -> Noise:
        """A device's noise for one circuit, in the few numbers that there are here.

        The circuit is transpiled for it. Errors of gates, relaxation included, become depolarising:
        a gate of average infidelity r on n qubits has p_n = r 2^n / (2^n - 1). All of one-qubit
        gates, summed, are spread evenly over the one-qubit gates that the circuit has here, and so
        are those of two qubits, with what routing adds. Readout errors are those of the qubits that
        are read.

        Parameters
        ----------
        backend
            With a target that says its errors.
        circuit
            As of :meth:`qnnw.circuit.execution.Execution.forward`.
        """
        program = Program.of(circuit)
        prepared = Prepared.of(program, backend, 3, 0)
        sums = [0.0, 0.0]
        for one in prepared.circuit.data:
            name = one.operation.name
            if name in ("measure", "barrier", "delay") or len(one.qubits) > 2:
                continue
            places = tuple(prepared.circuit.find_bit(qubit).index for qubit in one.qubits)
            error = getattr(backend.target[name].get(places), "error", None) or 0.0
            size = 2 ** len(places)
            sums[len(places) - 1] += min(1.0, error * size / (size - 1))
        found = [max(1, sum(len(g[1]) == count for g in program.gates)) for count in (1, 2)]
        depolarizing = tuple(
            min(1.0, total / count) for total, count in zip(sums, found, strict=True)
        )
        wrong = [backend.target["measure"][(qubit,)].error or 0.0 for qubit in prepared.qubits]
        return cls(depolarizing, 0.0, [[[1 - e, e], [e, 1 - e]] for e in wrong])


def _pair(name: str, given: Any) -> Pair:
    array = np.asarray(given, dtype=np.float64)
    if array.shape not in ((), (2,)):
        raise ValueError(f"`{name}` has shape {array.shape}; it must be a number, or two of them")
    one, two = (real(name, value, least=0, most=1) for value in np.broadcast_to(array, 2))
    return one, two

"""Prepared: a circuit as a device runs it, transpiled once, its angles left as parameters."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.extras import needs
from qnnw._common.once import once
from qnnw.circuit.devices.program import Program

PACKAGES = ("qiskit", "qiskit-aer", "qiskit-ibm-runtime", "mthree")


def backend_of(sampler: Any) -> Any:
    """The backend that a sampler runs on, if it says."""
    for name in ("backend", "_backend"):
        found = getattr(sampler, name, None)
        if found is not None:
            return found() if callable(found) and not hasattr(found, "target") else found
    return None


@dataclass(frozen=True)
class Prepared:
    """A circuit for one target.

    Attributes
    ----------
    program
        What it computes; the angles that it takes are the program's slots.
    circuit
        Measured into ``c``, whose bit q is the program's qubit q wherever the layout puts it.
    columns
        The slots of the circuit's parameters, in their order: those of no effect may be gone.
    calibrations
        All qubits 0, and all 1, on the same physical qubits, measured alike.
    about
        For the record: backend, calibration date, layout, depth and gates.
    """

    program: Program
    circuit: Any
    columns: NDArray[np.intp]
    calibrations: tuple[Any, Any]
    about: dict[str, Any]

    @classmethod
    def of(cls, program: Program, backend: Any, level: int, seed: int) -> Prepared:
        """Transpile for a backend; ``None``: as it is."""
        with needs("device", "A circuit on a device"):
            from qiskit import transpile
        logical = program.to_qiskit()
        places = {parameter: place for place, parameter in enumerate(logical.parameters)}
        circuit = logical
        if backend is not None:
            circuit = transpile(
                logical, backend=backend, optimization_level=level, seed_transpiler=seed
            )
        columns = np.array([places[parameter] for parameter in circuit.parameters], dtype=np.intp)
        qubits = _layout(circuit, program.num_qubits)
        calibrations = (_calibration(circuit, 0), _calibration(circuit, 1))
        if backend is not None:
            calibrations = tuple(
                transpile(one, backend=backend, optimization_level=0) for one in calibrations
            )
        name = getattr(backend, "name", None)
        two = [one.operation.name for one in circuit.data if len(one.qubits) == 2]
        about = {
            "backend": None if name is None else str(name() if callable(name) else name),
            "num_qubits": None if backend is None else int(backend.num_qubits),
            "calibrated": _calibrated(backend),
            "qubits": qubits,
            "depth": int(circuit.depth()),
            "two_qubit_depth": int(circuit.depth(lambda one: len(one.qubits) == 2)),
            "two_qubit_gates": len(two) - two.count("barrier"),
            "gates": {str(gate): int(number) for gate, number in circuit.count_ops().items()},
            "versions": {package: _version(package) for package in PACKAGES},
        }
        return cls(program, circuit, columns, calibrations, about)

    @property
    def qubits(self) -> list[int]:
        """The physical qubit of each of the program's at the end."""
        found: list[int] = self.about["qubits"]
        return found

    @once
    def digest(self) -> str:
        """Tells it from other circuits and targets."""
        gates = (self.program.num_qubits, self.program.gates, self.about["backend"], self.qubits)
        slopes, offset = self.program.slopes, self.program.offset
        sha = hashlib.sha256(repr(gates).encode())
        for part in (slopes.data, slopes.indices, slopes.indptr, offset):
            sha.update(np.ascontiguousarray(part).tobytes())
        return sha.hexdigest()


def _layout(circuit: Any, count: int) -> list[int]:
    """Which physical qubit is read into which bit."""
    found = {}
    for instruction in circuit.data:
        if instruction.operation.name == "measure":
            bit = circuit.find_bit(instruction.clbits[0]).index
            found[bit] = circuit.find_bit(instruction.qubits[0]).index
    return [found[bit] for bit in range(count)]


def _calibration(circuit: Any, value: int) -> Any:
    """The measurements of a circuit alone, after X on all qubits that are read, or on none."""
    alone = circuit.copy_empty_like()
    alone.global_phase = 0
    measures = [one for one in circuit.data if one.operation.name == "measure"]
    if value:
        for one in measures:
            alone.x(one.qubits[0])
    for one in measures:
        alone.append(one)
    return alone


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _calibrated(backend: Any) -> str | None:
    """When the device was last calibrated, where it says."""
    properties = getattr(backend, "properties", None)
    found = properties() if callable(properties) else None
    date = getattr(found, "last_update_date", None)
    return None if date is None else str(date.isoformat() if hasattr(date, "isoformat") else date)

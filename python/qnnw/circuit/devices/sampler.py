"""Sampler: probabilities from a SamplerV2, Qiskit's own, a simulator with noise, or a device."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from qnnw._common.checks import integer, one_of, real
from qnnw.circuit.devices.gradients import GRADIENTS, rows_of
from qnnw.circuit.devices.journal import Journal
from qnnw.circuit.devices.prepared import Prepared, backend_of
from qnnw.circuit.devices.program import Program
from qnnw.circuit.devices.readout import MITIGATIONS, mitigated, nearest, readout_matrices
from qnnw.circuit.devices.running import Runner
from qnnw.circuit.execution import Vector

# Fewer would leave the readout errors less certain than what they are to correct.
CALIBRATION_SHOTS = 10_000


class Sampler:
    """Measures circuits on a SamplerV2, and takes gradients from measurements.

    A circuit is transpiled once, its angles left as parameters. A step is one job, of the circuit
    at its angles and of all shifted circuits in one array of parameter values; where the
    primitive's limits are lower, it is as few jobs as they allow. The same angles and seed are one
    measurement: asked for again, it is not run again.

    Parameters
    ----------
    sampler
        A SamplerV2; or a function that takes a seed, below 2**31, to one. With a function of which
        the seed decides all outcomes, runs are the same bit for bit.
    shots
        Of every circuit.
    backend
        Whose target circuits are transpiled for; ``None``: the sampler's own, and where it has none
        circuits are run as they are.
    gradient
        ``"parameter_shift"``, ``"random_half"``, ``"spsa"`` or ``"twin"``: see
        :mod:`qnnw.circuit.devices.gradients` for what they cost.
    fraction
        Of the angles, for ``"random_half"``; in (0, 1].
    step, directions
        Of ``"spsa"``: radians, and how many directions a gradient.
    mitigate
        ``None``, ``"m3"`` or ``"inverse"``: correct readout errors. The corrected quasi-
        probabilities go to the gradient as they are, and to the weights as the nearest
        distribution.
    readout
        Readout errors as :func:`qnnw.devices.readout_matrices` takes them; ``None``: measured, by a
        job of two circuits, all qubits 0 and all 1, of at least 10,000 shots.
    optimization_level, transpiler_seed
        Of the transpiler.
    max_circuits, max_shots
        Circuits of a job, and shots of a circuit; ``None``: the backend's limits.
    retries
        How often a failed job is tried again.
    wait
        Seconds before the first of these; every one waits twice as long as the one before.
    name
        That :func:`qnnw.devices.named` knows it by.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, or out of range.
    """

    def __init__(
        self,
        sampler: Any,
        *,
        shots: int = 4096,
        backend: Any = None,
        gradient: str = GRADIENTS[0],
        fraction: float = 0.5,
        step: float = 0.2,
        directions: int = 1,
        mitigate: str | None = None,
        readout: ArrayLike | None = None,
        optimization_level: int = 3,
        transpiler_seed: int = 0,
        max_circuits: int | None = None,
        max_shots: int | None = None,
        retries: int = 4,
        wait: float = 1.0,
        name: str | None = None,
    ) -> None:
        self.shots = self.draws = integer("shots", shots, 1, 2**40)
        self.gradient = one_of("gradient", gradient, GRADIENTS)
        self.fraction = real("fraction", fraction, above=0, most=1)
        self.step = real("step", step, above=0)
        self.directions = integer("directions", directions, 1)
        self.mitigate = None if mitigate is None else one_of("mitigate", mitigate, MITIGATIONS)
        self.readout = readout
        self.name = name
        self._target = backend_of(sampler) if backend is None else backend
        self._transpiling = (
            integer("optimization_level", optimization_level, 0, 3),
            integer("transpiler_seed", transpiler_seed, 0, 2**31 - 1),
        )
        self.journal = Journal()
        self._runner = Runner(sampler, self._target, max_circuits, max_shots, retries, wait)
        self._prepared: dict[int, tuple[Any, Prepared]] = {}

    def keep_in(self, folder: Path) -> Journal:
        """Keep what is measured, and a line for every job, in this folder."""
        self.journal = Journal(folder)
        return self.journal

    def prepared(self, circuit: Any) -> Prepared:
        """The circuit as it is run; made once."""
        held = self._prepared.get(id(circuit))
        if held is None or held[0] is not circuit:
            held = circuit, Prepared.of(Program.of(circuit), self._target, *self._transpiling)
            self._prepared[id(circuit)] = held
            self.journal.note({"device": held[1].about})
        return held[1]

    def probabilities(self, circuit: Any, angles: Vector, seed: int) -> Vector:
        """Corrected frequencies: see :class:`qnnw.circuit.execution.Execution`."""
        prepared = self.prepared(circuit)
        wanted = {self._key(prepared, angles, seed): prepared.program.slots(angles)[None]}
        return self._distribution(prepared, *self._counts(prepared, wanted, seed))

    def forward(
        self, circuit: Any, angles: Vector, seed: int
    ) -> tuple[Vector, Callable[[Vector], Vector]]:
        """Corrected frequencies, and the gradient from measurements."""
        if self.gradient == "twin":
            _, exact = circuit.probabilities_with_vjp(angles)
            return self.probabilities(circuit, angles, seed), exact
        prepared = self.prepared(circuit)
        program, slots = prepared.program, prepared.program.slots(angles)
        rows = rows_of(
            self.gradient, program, len(angles), seed, self.fraction, self.step, self.directions
        )
        rule = (self.gradient, self.fraction, self.step, self.directions)
        wanted = {
            self._key(prepared, angles, seed): slots[None],
            self._key(prepared, angles, seed, rule): slots + rows.shifts,
        }
        base, shifted = self._counts(prepared, wanted, seed)
        if self.mitigate is None:
            estimates = shifted / self.shots
        else:
            estimates = mitigated(self.mitigate, shifted, self._matrices(prepared))

        def pullback(cotangent: Vector) -> Vector:
            gradient: Vector = rows.back @ (estimates @ np.asarray(cotangent, dtype=np.float64))
            return gradient

        return self._distribution(prepared, base), pullback

    def describe(self) -> dict[str, Any]:
        """Settings that :func:`qnnw.devices.execution_from` takes.

        Raises
        ------
        ValueError
            The sampler is an object, which no file can hold.
        """
        if self.name is None:
            raise ValueError(
                "`sampler` is an object, which no file can hold: make it by "
                "qnnw.devices.named(...), or merge the network's weights first"
            )
        names = ("shots", "gradient", "fraction", "step", "directions", "mitigate")
        return {"kind": "sampler", "name": self.name} | {n: getattr(self, n) for n in names}

    def _distribution(self, prepared: Prepared, counts: csr_array) -> Vector:
        if self.mitigate is None:
            frequencies: Vector = counts.toarray()[0] / self.shots
            return frequencies
        quasi = mitigated(self.mitigate, counts, self._matrices(prepared))
        return nearest(quasi.toarray()[0] if isinstance(quasi, csr_array) else quasi[0])

    def _matrices(self, prepared: Prepared) -> NDArray[np.float64]:
        """Readout errors of the circuit's qubits: as given, or measured once."""
        count = prepared.program.num_qubits
        if self.readout is not None:
            return readout_matrices(self.readout, count)
        key = self._key(prepared, np.zeros(0), 0, "readout")
        counts = self.journal.get(key)
        shots = max(self.shots, CALIBRATION_SHOTS)
        if counts is None:
            pubs = [(circuit, np.zeros((1, 0))) for circuit in prepared.calibrations]
            found, line = self._runner.run(pubs, shots, 0, count)
            counts = csr_array(np.concatenate([one.toarray() for one in found]))
            self.journal.put(key, counts)
            self.journal.note({"readout": line})
        bases = np.arange(2**count)
        ones = np.array([counts @ ((bases >> qubit) & 1) for qubit in range(count)]) / shots
        return readout_matrices(np.stack([1 - ones, ones], axis=1), count)

    def _counts(self, prepared: Prepared, wanted: dict[str, Vector], seed: int) -> list[csr_array]:
        """Counts at these slots: those that are kept, and the others measured, in one job."""
        found: dict[str, Any] = {key: self.journal.get(key) for key in wanted}
        missing = [key for key, counts in found.items() if counts is None]
        if missing:
            pubs = [(prepared.circuit, wanted[key][:, prepared.columns]) for key in missing]
            made, line = self._runner.run(pubs, self.shots, seed, prepared.program.num_qubits)
            self.journal.note(line)
            # The first pub's outcomes are the same in a job of its own: a kill may come before it.
            for key, counts in reversed(list(zip(missing, made, strict=True))):
                self.journal.put(key, counts)
                found[key] = counts
        return list(found.values())

    def _key(self, prepared: Prepared, angles: Vector, seed: int, what: Any = None) -> str:
        parts = (prepared.digest, self.shots, seed, what)
        values = np.ascontiguousarray(angles, dtype=np.float64).tobytes()
        return hashlib.sha256(repr(parts).encode() + values).hexdigest()[:32]

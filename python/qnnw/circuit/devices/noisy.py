"""Noisy: the exact engine with noise, so that a network trains against what it will meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from qnnw._common.checks import instance, integer, one_of
from qnnw._common.seeds import derived_seed
from qnnw.circuit.devices.backends import fake_backend
from qnnw.circuit.devices.noise import Noise
from qnnw.circuit.devices.program import Program
from qnnw.circuit.devices.readout import MITIGATIONS, applied, mitigated, nearest
from qnnw.circuit.devices.trajectories import trajectories
from qnnw.circuit.execution import Vector
from qnnw.circuit.sampling import sample_counts


class Noisy:
    """A circuit's probabilities under noise, simulated, with their gradient.

    Readout errors alone are exact: p_read = (A_{N-1} x ... x A_0) p. Errors of gates are a mean
    over random trajectories, whose gradient is exact for those drawn; with amplitude damping, in
    the mean: see :mod:`qnnw.circuit.devices.trajectories`. With ``shots`` the outcomes are drawn
    from these probabilities, and the gradient is straight through: that of the probabilities.

    Parameters
    ----------
    noise
        What goes wrong; or a setting's words, as :meth:`Noise.parsed` takes them, which may name a
        device whose noise is that of the qubits that a circuit would lie on.
    shots
        Measurements; ``None``: the probabilities themselves.
    trajectories
        Of one measurement, where gates have errors.
    mitigate
        ``None``, ``"m3"`` or ``"inverse"``: correct the readout errors again, by the matrices of
        ``noise``; with ``shots``.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, or out of range.
    """

    def __init__(
        self,
        noise: Noise | str,
        *,
        shots: int | None = None,
        trajectories: int = 32,
        mitigate: str | None = None,
    ) -> None:
        instance("noise", noise, Noise | str, "a qnnw.devices.Noise or words")
        self.noise = Noise.parsed(noise)
        self.shots = None if shots is None else integer("shots", shots, 1, 2**40)
        self.trajectories = integer("trajectories", trajectories, 1)
        self.mitigate = None if mitigate is None else one_of("mitigate", mitigate, MITIGATIONS)
        readout = isinstance(self.noise, str) or self.noise.readout is not None
        if self.mitigate and (self.shots is None or not readout):
            raise ValueError(
                f"`mitigate` is {mitigate!r}; it corrects readings: give `shots` and `readout`"
            )
        self._known: dict[int, tuple[Any, Program | None, Noise]] = {}

    @property
    def draws(self) -> int | None:
        """Shots, or trajectories where there are no shots; ``None``: nothing is drawn."""
        of_gates = isinstance(self.noise, str) or self.noise.of_gates
        return self.shots or (self.trajectories if of_gates else None)

    def probabilities(self, circuit: Any, angles: Vector, seed: int) -> Vector:
        """See :class:`qnnw.circuit.execution.Execution`."""
        return self.forward(circuit, angles, seed)[0]

    def forward(
        self, circuit: Any, angles: Vector, seed: int
    ) -> tuple[Vector, Callable[[Vector], Vector]]:
        """See :class:`qnnw.circuit.execution.Execution`."""
        program, noise = self._of(circuit)
        if program is not None:
            drawn = (noise, angles, self.trajectories, derived_seed(seed, 0))
            found, back = trajectories(program, circuit, *drawn)
        else:
            found, back = circuit.probabilities_with_vjp(angles)
        matrices = noise.matrices(circuit.num_qubits)
        if matrices is not None:
            found = applied(matrices, found)
        if self.shots is not None:
            found = self._drawn(found, derived_seed(seed, 1), matrices)

        def pullback(cotangent: Vector) -> Vector:
            if matrices is None:
                return back(cotangent)
            undone = cotangent
            if self.mitigate is not None:
                undone = applied(np.linalg.inv(matrices).swapaxes(1, 2), cotangent)
            return back(applied(matrices.swapaxes(1, 2), undone))

        return found, pullback

    def describe(self) -> dict[str, Any]:
        """Settings that :func:`qnnw.devices.execution_from` takes."""
        return {
            "kind": "noisy",
            "noise": self.noise if isinstance(self.noise, str) else self.noise.to_dict(),
            "shots": self.shots,
            "trajectories": self.trajectories,
            "mitigate": self.mitigate,
        }

    def _drawn(self, probabilities: Vector, seed: int, matrices: Any) -> Vector:
        assert self.shots is not None
        counts = sample_counts(probabilities, self.shots, seed)
        if self.mitigate is None:
            return counts / self.shots
        quasi = mitigated(self.mitigate, csr_array(counts[None]), matrices)
        return nearest(quasi.toarray()[0] if isinstance(quasi, csr_array) else quasi[0])

    def _of(self, circuit: Any) -> tuple[Program | None, Noise]:
        """What trajectories need of a circuit, if there are any, and its noise; made once."""
        held = self._known.get(id(circuit))
        if held is None or held[0] is not circuit:
            words = self.noise
            noise = (
                Noise.from_backend(fake_backend(words), circuit)
                if isinstance(words, str)
                else words
            )
            program = Program.of(circuit) if noise.of_gates else None
            held = self._known[id(circuit)] = circuit, program, noise
        return held[1], held[2]

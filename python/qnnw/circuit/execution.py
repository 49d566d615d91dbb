"""Execution: how a circuit's probabilities are obtained; chosen where a source is made.

Exact evolution, a noisy simulation and a device's sampler all are one. Map, network and trainer
take the weights that come of it, and ask nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@runtime_checkable
class Execution(Protocol):
    """Obtains a circuit's probabilities, and their way back.

    What it draws is decided by ``seed``: the same circuit, angles and seed are one measurement.
    """

    @property
    def shots(self) -> int | None:
        """Outcomes that the probabilities are frequencies of; ``None``: they are no frequencies."""
        ...

    @property
    def draws(self) -> int | None:
        """Shots, or trajectories, of one measurement; ``None``: no seed changes anything."""
        ...

    def probabilities(self, circuit: Any, angles: Vector, seed: int) -> Vector:
        """What :meth:`forward` gives, where no way back is needed."""
        ...

    def forward(
        self, circuit: Any, angles: Vector, seed: int
    ) -> tuple[Vector, Callable[[Vector], Vector]]:
        """The probabilities, and what takes dL/dp to dL/dangles.

        Parameters
        ----------
        circuit
            What is measured: it has ``num_qubits`` N, ``num_parameters``, and ``to_qiskit()``,
            Qiskit's circuit without measurements, its parameters in the angles' order.
        angles
            Shape (num_parameters,), radians.
        seed
            Of all that is drawn.

        Returns
        -------
        probabilities : ndarray of float64, shape (2**N,)
            Not negative; they sum to 1. Basis i has qubit q in bit q of i.
        pullback : callable
        """
        ...

    def describe(self) -> dict[str, Any]:
        """JSON that :func:`qnnw.devices.execution_from` makes it of again."""
        ...

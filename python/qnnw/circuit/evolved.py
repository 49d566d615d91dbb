"""What every circuit does alike: probabilities, their gradient, and Qiskit's circuit of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

import qnnw._core as _core
from qnnw._common.precision import is_single
from qnnw._common.seeds import Seed, seed_to_int
from qnnw.circuit.interchange import qiskit_circuit

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

Real = NDArray[np.floating[Any]]


class Evolved(ABC):
    """A circuit that the core evolves."""

    # Qiskit's name of it, where that is told.
    _named: ClassVar[str | None] = None

    num_qubits: int

    @property
    @abstractmethod
    def num_parameters(self) -> int:
        """Number of its parameters."""

    @property
    @abstractmethod
    def _core(self) -> _core.EfficientSU2 | _core.Program:
        """What the core runs."""

    @property
    @abstractmethod
    def _record(self) -> Callable[..., tuple[Real, Callable[[ArrayLike], Real]]]:
        """What the core has for :meth:`probabilities_with_vjp`."""

    @abstractmethod
    def _started(self, seed: int) -> NDArray[np.float64]:
        """Where training starts."""

    @abstractmethod
    def _gates_at(self, given: Any) -> Iterator[tuple[str, tuple[int, ...], list[Any]]]:
        """Name, qubits and angles of every gate, for these values of the parameters."""

    def random_angles(self, seed: Seed) -> NDArray[np.float64]:
        """Angles where training starts: uniform on [0, 2 pi), or by a circuit's own ``initial``.

        Parameters
        ----------
        seed
            An integer from 0 to 2**64 - 1, or a ``numpy.random.Generator``.

        Returns
        -------
        ndarray of float64, shape (num_parameters,)
            Radians; the same for the same seed in every release.
        """
        return self._started(seed_to_int(seed))

    def probabilities(self, angles: ArrayLike, *, dtype: DTypeLike = np.float64) -> Real:
        """Measurement probabilities ``p_i = |<i|psi(angles)>|^2``.

        Parameters
        ----------
        angles
            Real numbers, the parameters, shape (num_parameters,) or (B, num_parameters); radians.
        dtype
            Precision of the evolution and of the result: ``float64`` or ``float32``. Angles are
            always taken in double precision.

        Returns
        -------
        ndarray of ``dtype``, shape (2**N,) or (B, 2**N)
            Each row sums to 1, to rounding: float32 rows may be off by some 1e-6.

        Raises
        ------
        TypeError
            ``angles`` are not real numbers, or ``dtype`` is neither precision.
        ValueError
            Their shape is wrong, or one is NaN or infinite.
        MemoryError
            The state does not fit in memory; the message says how many GiB it needs.
        RuntimeError
            The system refuses to start the threads that are asked for.
        """
        return self._core.probabilities(angles, is_single(dtype))

    def probabilities_vjp(
        self, angles: ArrayLike, cotangent: ArrayLike, *, dtype: DTypeLike = np.float64
    ) -> Real:
        """Exact gradient by the angles of L = sum_i cotangent_i p_i(angles).

        One forward evolution and one sweep back, for any number of angles: see
        :meth:`probabilities_with_vjp` where the probabilities are wanted too.

        Parameters
        ----------
        angles, dtype
            As for :meth:`probabilities`.
        cotangent
            Real numbers dL/dp, shape (2**N,) or (B, 2**N), as the probabilities have.

        Returns
        -------
        ndarray of ``dtype``, shape of ``angles``
            dL/dangles. Those of the last RZ layer of :class:`qnnw.EfficientSU2` are exactly 0.

        Raises
        ------
        TypeError, ValueError, MemoryError
            As for :meth:`probabilities`; also where ``cotangent`` does not fit.
        """
        return self._core.probabilities_vjp(angles, cotangent, is_single(dtype))

    def probabilities_with_vjp(
        self, angles: ArrayLike, *, dtype: DTypeLike = np.float64
    ) -> tuple[Real, Callable[[ArrayLike], Real]]:
        """Probabilities, and a function that takes cotangents of them to gradients.

        The function is that of :meth:`probabilities_vjp` at these angles, but the forward evolution
        is not done again: of :class:`qnnw.EfficientSU2` up to 16 qubits the states of all layers
        wait in memory, (L + 1) 2^N complex numbers. For more qubits, and of any other circuit, only
        the last state does, and a second call of the function evolves once more; so does a call
        that comes while another is under way, from a thread, a signal handler or a lazy array: none
        waits for another.

        Parameters
        ----------
        angles, dtype
            As for :meth:`probabilities_vjp`.

        Returns
        -------
        probabilities : ndarray of ``dtype``, shape (2**N,) or (B, 2**N)
        pullback : callable
            ``pullback(cotangent)`` is dL/dangles, in the shape of ``angles``.

        Raises
        ------
        TypeError, ValueError, MemoryError
            As for :meth:`probabilities`.
        """
        return self._record(self._core, angles, is_single(dtype))

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
        values = None if angles is None else self._checked_set(angles).tolist()
        sizes = (self.num_qubits, self.num_parameters)
        return qiskit_circuit(*sizes, self._gates_at, values, self._named)

    def _checked_set(self, angles: ArrayLike) -> NDArray[np.float64]:
        """One set of angles, checked."""
        values = self._core.checked_angles(angles)
        if values.ndim != 1:
            need = f"{self!r} needs ({self.num_parameters},)"
            raise ValueError(f"`angles` has shape {values.shape}; {need}")
        return values

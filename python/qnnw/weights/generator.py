"""WeightGenerator: from angles and gamma to a network's weights, and the way back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw._common.seeds import derived_seed
from qnnw.circuit.ansatz import EfficientSU2
from qnnw.weights.functional import generate_weights, generate_weights_with_vjp
from qnnw.weights.mapping import WeightMap

__all__ = ["WeightGenerator"]

# The map is even in gamma, and 0 would make every weight 0 and stop gamma from moving.
SMALLEST_GAMMA = 1e-12

Gradients = tuple[NDArray[np.float64], float]
Pullback = Callable[[ArrayLike], tuple[NDArray[Any], NDArray[Any]]]

_handles = itertools.count(1)
_by_handle: WeakValueDictionary[int, WeightGenerator] = WeakValueDictionary()


@dataclass(frozen=True)
class _Made:
    """Weights that were made, and their way back if it was recorded."""

    key: tuple[bytes, float, int]
    weights: NDArray[Any]
    pullback: Pullback | None


class WeightGenerator:
    """Makes weights theta = scale * t(angles, gamma), t as in :class:`qnnw.WeightMap`.

    The last weights are remembered with what their gradient needs, so that a forward and a
    backward call, or many forward calls between two steps of an optimiser, evolve the circuit
    once. The memory of up to (L + 1) 2^N complex numbers waits until other weights are made.

    Everything is computed in float64. Calls from several threads wait for one another.

    Parameters
    ----------
    ansatz
        The circuit.
    weight_map
        The map; it must read the circuit's number of qubits.
    scale
        Shape (M,), finite; ``None`` is 1.
    shots
        ``None``: exact probabilities. Otherwise the circuit is measured this often.
    seed
        Seed of the outcomes; ``draw`` counts the measurements that belong to it.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, shape or value.
    """

    __slots__ = (
        "__weakref__",
        "_last",
        "_lock",
        "ansatz",
        "handle",
        "scale",
        "seed",
        "shots",
        "weight_map",
    )

    def __init__(
        self,
        ansatz: EfficientSU2,
        weight_map: WeightMap,
        *,
        scale: ArrayLike | None = None,
        shots: int | None = None,
        seed: int = 0,
    ) -> None:
        if weight_map.num_qubits != ansatz.num_qubits:
            raise ValueError(
                f"`weight_map` has {weight_map.num_weights} weights and reads "
                f"{weight_map.num_qubits} qubits; it must read the ansatz's {ansatz.num_qubits}"
            )
        if shots is not None and not 1 <= shots <= 2**40:
            raise ValueError(f"`shots` is {shots}; it must be from 1 to 2**40")
        self.ansatz = ansatz
        self.weight_map = weight_map
        self.scale = _per_weight("scale", scale, weight_map.num_weights)
        self.shots = shots
        self.seed = seed
        self._last: _Made | None = None
        self._lock = Lock()
        #: Names this generator within the process, for :meth:`by_handle`.
        self.handle = next(_handles)
        _by_handle[self.handle] = self

    @classmethod
    def by_handle(cls, handle: int) -> WeightGenerator:
        """The living generator with this handle.

        Raises
        ------
        KeyError
            There is none in this process.
        """
        try:
            return _by_handle[handle]
        except KeyError:
            raise KeyError(
                f"there is no weight generator {handle} in this process: a graph with the circuit "
                "inside does not leave it; merge the module first"
            ) from None

    @property
    def num_weights(self) -> int:
        """Number of weights, M."""
        return self.weight_map.num_weights

    @property
    def num_angles(self) -> int:
        """Number of angles, 2 N (L + 1)."""
        return self.ansatz.num_parameters

    def weights(
        self, angles: NDArray[Any], gamma: float, draw: int = 0, *, record: bool = False
    ) -> NDArray[np.float64]:
        """Make the weights.

        Parameters
        ----------
        angles
            Shape (num_angles,), radians.
        gamma
            Scale of the map. The map is even in it; its absolute value is used, at least 1e-12.
        draw
            Number of the measurement; without shots it changes nothing.
        record
            Keep what :meth:`gradients` needs; the weights are the same, bit for bit.

        Returns
        -------
        ndarray of float64, shape (M,)

        Raises
        ------
        TypeError, ValueError, MemoryError
            As for :func:`qnnw.generate_weights`.
        """
        with self._lock:
            weights: NDArray[np.float64] = self._made(angles, gamma, draw, record).weights.copy()
        return weights

    def gradients(
        self, angles: NDArray[Any], gamma: float, cotangent: NDArray[Any], draw: int = 0
    ) -> Gradients:
        """Gradient of L = sum_j cotangent_j theta_j by the angles and by gamma.

        Exact without shots; with them the straight-through estimator of
        :func:`qnnw.generate_weights_with_vjp`.

        Parameters
        ----------
        angles, gamma, draw
            As for :meth:`weights`.
        cotangent
            dL/dtheta, shape (M,).

        Returns
        -------
        angles_gradient : ndarray of float64, shape (num_angles,)
        gamma_gradient : float

        Raises
        ------
        TypeError, ValueError, MemoryError
            As for :func:`qnnw.generate_weights_vjp`.
        """
        if self.scale is not None:
            cotangent = cotangent * self.scale
        with self._lock:
            pullback = self._made(angles, gamma, draw, True).pullback
            assert pullback is not None
            by_angles, by_gamma = pullback(cotangent)
        return by_angles, math.copysign(1.0, gamma) * float(by_gamma)

    def _made(self, angles: NDArray[Any], gamma: float, draw: int, record: bool) -> _Made:
        angles = np.asarray(angles, dtype=np.float64)
        key = (angles.tobytes(), gamma, draw)
        last = self._last
        if last is not None and last.key == key and (last.pullback is not None or not record):
            return last
        # What waits for the way back is let go first: two of them would double the peak.
        self._last = None
        shots, seed = self.shots, None
        if shots is not None:
            seed = derived_seed(self.seed, draw)
        size = max(abs(gamma), SMALLEST_GAMMA) if math.isfinite(gamma) else gamma
        chain = (self.ansatz, angles, self.weight_map, size, shots, seed)
        pullback: Pullback | None = None
        weights: NDArray[Any]
        if record:
            weights, pullback = generate_weights_with_vjp(*chain)
        else:
            weights = generate_weights(*chain)
        if self.scale is not None:
            weights *= self.scale
        self._last = _Made(key, weights, pullback)
        return self._last

    def __deepcopy__(self, memo: dict[int, Any]) -> WeightGenerator:
        # Circuit and map never change: a copy shares them, with a memory of its own.
        return _rebuild(*self._parts())

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._parts()

    def _parts(self) -> tuple[Any, ...]:
        return (self.ansatz, self.weight_map, self.scale, self.shots, self.seed)


def _rebuild(
    ansatz: EfficientSU2,
    weight_map: WeightMap,
    scale: NDArray[np.float64] | None,
    shots: int | None,
    seed: int,
) -> WeightGenerator:
    return WeightGenerator(ansatz, weight_map, scale=scale, shots=shots, seed=seed)


def _per_weight(
    name: str, values: ArrayLike | None, num_weights: int
) -> NDArray[np.float64] | None:
    if values is None:
        return None
    array = np.array(values, dtype=np.float64)
    if array.shape != (num_weights,):
        raise ValueError(f"`{name}` has shape {array.shape}; it must be ({num_weights},)")
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` has NaN or infinity; every entry must be finite")
    array.flags.writeable = False
    return array

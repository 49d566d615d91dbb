"""What stands in for the circuit in a control: weights from as many parameters, or from fewer.

A control keeps network, data, optimiser and budget, and changes only where the weights come from
(:attr:`qnnw.training.config.TrainConfig.weights_from`):

==============  ====================================================================================
``"circuit"``   the circuit and the map: no control
``"frozen"``    the same, its angles as they were drawn: gamma alone is trained
``"haar"``      the map on the probabilities of a Haar-random state; gamma alone is trained
``"subspace"``  w = w0 + P z: as many z as the circuit has angles, in a fixed random direction each
``"direct"``    the network's own weights
==============  ====================================================================================

A circuit without CNOTs, whose states are products, is ``entanglement="none"``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qnnw._common.devices import one_torch_thread
from qnnw._common.extras import needs
from qnnw._common.seeds import derived_seed
from qnnw.circuit.ansatz import EfficientSU2
from qnnw.training.config import TrainConfig
from qnnw.weights.generator import SMALLEST_GAMMA, Gradients, WeightGenerator
from qnnw.weights.mapping import WeightMap, probs_to_weights

with needs("train", "qnnw.weights.rivals"):
    import torch
    from torch import nn

    from qnnw.weights.targets import Target, find_targets, per_weight, scale_of

__all__ = [
    "DirectWeights",
    "FrozenProbabilities",
    "Source",
    "Subspace",
    "map_argument",
    "source_of",
]

# The derived seed of a control's own draws; those below are the shots', those above the orders'.
DRAWS = 1 << 42

Vector = NDArray[np.float64]


class Source(Protocol):
    """Makes a network's weights from trained numbers; see :class:`WeightGenerator`."""

    @property
    def num_angles(self) -> int:
        """How many numbers are trained besides gamma; the circuit's are angles."""
        ...

    def weights(
        self, angles: NDArray[Any], gamma: float, draw: int = 0, *, record: bool = False
    ) -> Vector:
        """The weights."""
        ...

    def gradients(
        self, angles: NDArray[Any], gamma: float, cotangent: NDArray[Any], draw: int = 0
    ) -> Gradients:
        """The way back."""
        ...


def source_of(
    config: TrainConfig, network: nn.Module, ansatz: EfficientSU2, weight_map: WeightMap
) -> tuple[Source, Vector]:
    """What makes the weights of a run, and the numbers that it starts from."""
    targets = find_targets(network, None)
    scale = per_weight(targets, scale_of(targets, config.scale))
    rng = np.random.default_rng(derived_seed(config.seed, DRAWS))
    kind = config.weights_from
    if kind == "circuit":
        circuit = WeightGenerator(
            ansatz, weight_map, scale=scale, shots=config.shots, seed=config.seed
        )
        return circuit, ansatz.random_angles(config.seed)
    if config.shots is not None:
        raise ValueError(f"`shots` is {config.shots}; weights from {kind!r} are not measured")
    nothing = np.zeros(0)
    if kind == "frozen":
        probabilities = ansatz.probabilities(ansatz.random_angles(config.seed))
        return FrozenProbabilities(np.asarray(probabilities), weight_map, scale), nothing
    if kind == "haar":
        state = haar_probabilities(ansatz.num_qubits, rng)
        return FrozenProbabilities(state, weight_map, scale), nothing
    origin = usual_weights(targets, rng)
    if kind == "direct":
        return DirectWeights(len(origin)), origin
    size = ansatz.num_parameters
    return Subspace(origin, size, rng), np.zeros(size)


def usual_weights(targets: tuple[Target, ...], rng: np.random.Generator) -> Vector:
    """Weights as torch initialises linear and convolution layers: uniform within 1/sqrt(fan_in)."""
    parts = []
    for target in targets:
        bound = 1 / math.sqrt(target.fan_in)
        parts.append(rng.uniform(-bound, bound, target.numel))
    return np.concatenate(parts)


def haar_probabilities(num_qubits: int, rng: np.random.Generator) -> Vector:
    """Probabilities of a Haar-random state: squares of complex normal numbers, normalised."""
    state = rng.normal(size=(2, 2**num_qubits))
    squares = np.square(state).sum(axis=0)
    probabilities: Vector = squares / squares.sum()
    return probabilities


def map_argument(probabilities: Vector, weight_map: WeightMap) -> Vector:
    """What the map multiplies by s * gamma: 2^(N-1) q, or 2^N q - 1 for the centred one."""
    mean = (probabilities[weight_map.first] + probabilities[weight_map.second]) / 2
    size = float(2**weight_map.num_qubits)
    argument: Vector = size * mean - 1 if weight_map.mapping == "centered" else size / 2 * mean
    return argument


class _Unmeasured(ABC):
    """A source without a circuit: no draw changes it, and nothing need be recorded."""

    @property
    @abstractmethod
    def num_angles(self) -> int:
        """How many numbers are trained besides gamma."""

    @abstractmethod
    def _weights(self, angles: Vector, gamma: float) -> Vector: ...

    @abstractmethod
    def _gradients(self, gamma: float, cotangent: Vector) -> Gradients: ...

    def weights(
        self,
        angles: NDArray[Any],
        gamma: float,
        draw: int = 0,  # noqa: ARG002
        *,
        record: bool = False,  # noqa: ARG002
    ) -> Vector:
        """The weights, shape (M,)."""
        return self._weights(angles, gamma)

    def gradients(
        self,
        angles: NDArray[Any],  # noqa: ARG002
        gamma: float,
        cotangent: NDArray[Any],
        draw: int = 0,  # noqa: ARG002
    ) -> Gradients:
        """Gradient of sum(cotangent * weights); none of these depends on where the angles are."""
        return self._gradients(gamma, cotangent)


class FrozenProbabilities(_Unmeasured):
    """The map on probabilities that stay as they are: only gamma moves the weights.

    theta = scale * gamma * tanh(s * gamma * c), c as in :func:`map_argument`; so
    d theta / d gamma = scale * (tanh(u) + u * (1 - tanh(u)^2)) with u = s * gamma * c.

    Parameters
    ----------
    probabilities
        Shape (2^N,).
    weight_map
        The map.
    scale
        Shape (M,), or ``None`` for 1.
    """

    num_angles = 0

    def __init__(self, probabilities: Vector, weight_map: WeightMap, scale: Vector | None) -> None:
        self.probabilities, self.weight_map = probabilities, weight_map
        self._scale = np.ones(weight_map.num_weights) if scale is None else np.asarray(scale)
        self._argument = weight_map.signs * map_argument(probabilities, weight_map)

    def _weights(self, angles: Vector, gamma: float) -> Vector:  # noqa: ARG002
        size = max(abs(gamma), SMALLEST_GAMMA)
        weights: Vector = self._scale * probs_to_weights(self.probabilities, self.weight_map, size)
        return weights

    def _gradients(self, gamma: float, cotangent: Vector) -> Gradients:
        argument = max(abs(gamma), SMALLEST_GAMMA) * self._argument
        tangent = np.tanh(argument)
        slope = self._scale * (tangent + argument * (1 - tangent**2))
        # A sum of products, not a BLAS call: the same bits for any number of threads.
        return np.zeros(0), math.copysign(1.0, gamma) * float((cotangent * slope).sum())


class Subspace(_Unmeasured):
    """w = w0 + P z: P's columns are independent random directions of length 1 (Li et al. 2018).

    Gamma has no part.

    Parameters
    ----------
    origin
        w0, shape (M,).
    size
        Number of z.
    rng
        Draws P.
    """

    def __init__(self, origin: Vector, size: int, rng: np.random.Generator) -> None:
        self._origin = origin
        columns = rng.normal(size=(len(origin), size))
        # In torch, whose products keep to one thread here as NumPy's would not.
        self._basis = torch.from_numpy(columns / np.linalg.norm(columns, axis=0))

    @property
    def num_angles(self) -> int:
        """Number of z."""
        return self._basis.shape[1]

    def _weights(self, angles: Vector, gamma: float) -> Vector:  # noqa: ARG002
        with one_torch_thread():
            weights: Vector = self._origin + (self._basis @ torch.from_numpy(angles)).numpy()
        return weights

    def _gradients(self, gamma: float, cotangent: Vector) -> Gradients:  # noqa: ARG002
        with one_torch_thread():
            by_angles: Vector = (self._basis.T @ torch.from_numpy(cotangent)).numpy()
        return by_angles, 0.0


class DirectWeights(_Unmeasured):
    """The weights themselves; gamma has no part.

    Parameters
    ----------
    size
        M.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    @property
    def num_angles(self) -> int:
        """Number of weights, M."""
        return self._size

    def _weights(self, angles: Vector, gamma: float) -> Vector:  # noqa: ARG002
        weights: Vector = angles.copy()
        return weights

    def _gradients(self, gamma: float, cotangent: Vector) -> Gradients:  # noqa: ARG002
        return cotangent.copy(), 0.0

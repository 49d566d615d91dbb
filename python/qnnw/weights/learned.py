"""LearnedSource: a circuit's probabilities through a map that is trained with its angles."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw._common.checks import instance, integer
from qnnw._common.extras import needs
from qnnw._common.seeds import Seed, seed_to_int
from qnnw.circuit import Ansatz
from qnnw.weights.derivatives import push_probabilities, turn_probabilities
from qnnw.weights.rivals import draws_of
from qnnw.weights.settings import (
    ansatz_from,
    ansatz_settings,
    packed_scale,
    per_weight,
    scale_from,
)
from qnnw.weights.source import Array, Description, Group, Parameters, Pullback

with needs("train", "qnnw.weights.learned"):
    import torch
    from torch import Tensor

    from qnnw._common.devices import one_torch_thread
    from qnnw.weights.learned_maps import LearnedMap, learned_map_from
    from qnnw.weights.twice import curved, pushed, recorded

Vector = NDArray[np.float64]


def qubits_needed(num_weights: int, learned_map: LearnedMap) -> int:
    """N = max(1, ceil(log2 K)) for K = ceil(M / outputs) basis states, of which each is read."""
    return max(1, (_states(num_weights, learned_map) - 1).bit_length())


class LearnedSource:
    """Weights from a learned map of every basis state's bits and probability (Quantum-Train).

    With f_kc the map's output number c for basis state k = 0 … K - 1, K = ceil(M / C) of C outputs
    each, weight number j = k C + c is

        w_j = (scale_j / s) (f_j - mean_i f_i),

    the mean over all M weights (nothing is subtracted where M = 1). Without a ``scale`` both it and
    s are 1; with one, s is the standard deviation of f where training starts, so that every weight
    starts with its scale's spread. What the map reads of a probability is its own:
    :class:`qnnw.weights.learned_maps.LearnedMap`.

    The trained groups are ``"angles"``, those of the circuit, radians, uniform on [0, 2 pi) at the
    start, and ``"map"``, the map's numbers. Gradients are exact.

    Parameters
    ----------
    num_weights
        M, from 1 to 2^32.
    learned_map
        The map.
    ansatz
        The circuit, of :func:`qubits_needed` qubits. ``None`` is its control: in place of
        probabilities the map reads fixed numbers with the distribution of a Haar-random state's,
        drawn from the seed, and ``"map"`` alone trains. It starts where that of the circuit does.
    scale
        Shape (M,), finite; ``None`` as published.
    seed
        Draws the angles, the map's start and the fixed numbers.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, shape or value.

    Notes
    -----
    Quantum-Train: Liu et al. (2024), arXiv:2405.11304, and its code (github.com/Hon-Hai-Quantum-
    Computing/QuantumTrain): bits as -1 and 1, what is read of p, layers without an activation
    though its comments name ReLU, and the mean taken off. At 13 qubits its network has 249 numbers
    and its circuit, 16 blocks of U3 and CU3, has 1248: the 1497 of its MNIST model. Bits and
    probability reach the weights through one affine map, of 14 free directions.

    QPA: Liu et al. (2025), arXiv:2410.09846, and its code (github.com/CYLphysics/QPA): layers
    again without an activation, of 32, 64, 128, 128, 64, 32 and once more 32, then the chunk. With
    2048 weights a basis state and 8 blocks of RY those are its log's 106,264 numbers for GPT-2, the
    52.06 % of LoRA's that the paper reports.

    Matrix product state: Liu, Lin and Chen (2024), arXiv:2409.06992. Codes of that line take
    TorchMPS, whose third matrix a site adds no function to our two, and whose start makes all
    weights alike.

    Ours are the circuit (theirs is of U3 and circular CU3, QPA's of RY), basis states in order
    where QPA's code draws others at every step, its mean over the states that are read and not over
    all, ``scale`` and s, and the matrix product state's start.
    """

    shots: int | None = None
    version = 0

    def __init__(
        self,
        num_weights: int,
        learned_map: LearnedMap,
        ansatz: Ansatz | None = None,
        *,
        scale: ArrayLike | None = None,
        seed: Seed = 0,
    ) -> None:
        self.num_weights = integer("num_weights", num_weights, 1, 2**32)
        instance("learned_map", learned_map, LearnedMap, "a LearnedMap")
        instance("ansatz", ansatz, Ansatz | None, "a qnnw.EfficientSU2 or Circuit, or None")
        self.learned_map, self.ansatz = learned_map, ansatz
        self.num_qubits = _checked_qubits(self.num_weights, learned_map, ansatz)
        self.scale = per_weight(scale, self.num_weights)
        self.seed = int(seed_to_int(seed))
        rng = draws_of(self.seed)
        self._start = learned_map.start(self.num_qubits + 1, rng)
        states = np.arange(_states(self.num_weights, learned_map))
        bits = states[:, None] >> np.arange(self.num_qubits)[::-1] & 1
        self._bits = torch.from_numpy(2.0 * bits - 1)
        if ansatz is None:
            # The probabilities of a Haar-random state: exponential numbers, normalised.
            drawn = rng.exponential(size=2**self.num_qubits)
            self._fixed = torch.from_numpy(drawn / drawn.sum())
        self._factors: Tensor | None = None
        if self.scale is not None:
            start = {name: group.start for name, group in self.groups.items()}
            spread = float(self.weights(start).std())
            # A map whose units are all off starts at 0, whatever it is divided by.
            self._factors = torch.from_numpy(self.scale / (spread if spread > 0 else 1.0))

    @property
    def groups(self) -> Mapping[str, Group]:
        """Angles, where there is a circuit, and the map's numbers."""
        numbers = {"map": Group(self._start.copy(), step=self.learned_map.step)}
        if self.ansatz is None:
            return numbers
        angles = self.ansatz.random_angles(self.seed)
        return {"angles": Group(angles, live=self.ansatz.live_angles), **numbers}

    def weights(self, parameters: Parameters, draw: int = 0) -> Array:  # noqa: ARG002
        """The weights, float64, shape (M,)."""
        with torch.no_grad(), one_torch_thread():
            made = self._made(*self._leaves(parameters))
        return made.numpy()

    def forward(self, parameters: Parameters, draw: int = 0) -> tuple[Array, Pullback]:  # noqa: ARG002
        """See :class:`qnnw.weights.source.WeightSource`."""
        numbers = self._numbers(parameters)
        if self.ansatz is None:
            made, back = recorded(partial(self._made, self._fixed), [numbers])
            return made, lambda cotangent: {"map": back(cotangent)[0]}
        read, through_circuit = self.ansatz.probabilities_with_vjp(_angles(parameters))
        made, back = recorded(self._made, [torch.tensor(read), numbers])
        count = self.ansatz.num_parameters

        def pullback(cotangent: ArrayLike) -> dict[str, Vector]:
            by_read, by_map = back(cotangent)
            by_angles = np.full(count, np.nan)
            # A step that overflowed is seen by who scales the loss, and left out.
            if np.isfinite(by_read).all():
                by_angles = np.asarray(through_circuit(by_read), np.float64)
            return {"angles": by_angles, "map": by_map}

        return made, pullback

    def jvp(self, parameters: Parameters, tangents: Parameters) -> Array:
        """Derivative of the weights along ``tangents``, shape (M,); two evolutions an angle."""
        leaves, ways = self._leaves(parameters), self._ways(parameters, tangents)
        return pushed(self._made, leaves, ways, self.num_weights)

    def hvp(
        self, parameters: Parameters, cotangent: ArrayLike, tangents: Parameters
    ) -> dict[str, Vector]:
        """Derivative of ``pullback(cotangent)`` along ``tangents``; two gradients an angle."""
        leaves, ways = self._leaves(parameters), self._ways(parameters, tangents)
        found, (by_read, by_map) = curved(self._made, leaves, ways, cotangent)
        if self.ansatz is None:
            return {"map": by_map}
        angles = _angles(parameters)
        by_angles = np.asarray(self.ansatz.probabilities_vjp(angles, by_read))
        turned = turn_probabilities(self.ansatz, angles, found[0], _angles(tangents))
        return {"angles": by_angles + turned, "map": by_map}

    def _leaves(self, parameters: Parameters) -> list[Tensor]:
        """All 2^N probabilities, or what stands in their place, and the map's numbers."""
        numbers = self._numbers(parameters)
        if self.ansatz is None:
            return [self._fixed.clone(), numbers]
        return [torch.tensor(self.ansatz.probabilities(_angles(parameters))), numbers]

    def _ways(self, parameters: Parameters, tangents: Parameters) -> list[Tensor]:
        """How these move with the trained numbers."""
        if self.ansatz is None:
            return [torch.zeros_like(self._fixed), self._numbers(tangents)]
        moved = push_probabilities(self.ansatz, _angles(parameters), _angles(tangents))
        return [torch.from_numpy(moved), self._numbers(tangents)]

    def _made(self, probabilities: Tensor, numbers: Tensor) -> Tensor:
        """The weights of all 2^N probabilities and the map's numbers."""
        read = self.learned_map.read(probabilities[: len(self._bits)], len(probabilities))
        rows = torch.cat([self._bits, read[:, None]], dim=1)
        made = self.learned_map.made(numbers, rows).reshape(-1)[: self.num_weights]
        if self.num_weights > 1:
            made = made - made.mean()
        return made if self._factors is None else made * self._factors

    def _numbers(self, parameters: Parameters) -> Tensor:
        values = np.array(parameters["map"], dtype=np.float64)
        if values.shape != self._start.shape:
            raise ValueError(f"`map` has shape {values.shape}; it must be {self._start.shape}")
        if not np.isfinite(values).all():
            raise ValueError("`map` has NaN or infinity; every entry must be finite")
        return torch.from_numpy(values)

    def describe(self) -> Description:
        """Sizes, map, circuit and seed; the scale as an array only where it is no stretches."""
        packed, arrays = packed_scale(self.scale)
        settings = {
            "kind": "learned",
            "num_weights": self.num_weights,
            "map": self.learned_map.describe(),
            "circuit": None if self.ansatz is None else ansatz_settings(self.ansatz),
            "scale": packed,
            "seed": self.seed,
        }
        return Description(settings, arrays)

    @classmethod
    def sizes_of(cls, description: Description) -> tuple[int, dict[str, int]]:
        """See :func:`qnnw.weights.source.sizes_of`."""
        settings = description.settings
        size = integer("num_weights", settings["num_weights"], 1, 2**32)
        learned_map = learned_map_from(settings["map"])
        # A map that makes them is no larger than what it makes.
        integer("map", learned_map.widest(), 1, max(1024, size))
        circuit = settings["circuit"]
        ansatz = None if circuit is None else ansatz_from(circuit)
        count = learned_map.count(_checked_qubits(size, learned_map, ansatz) + 1)
        return size, {
            **({} if ansatz is None else {"angles": ansatz.num_parameters}),
            "map": count,
        }

    @classmethod
    def from_description(cls, description: Description) -> LearnedSource:
        """Rebuild what :meth:`describe` gave; raises KeyError, TypeError or ValueError."""
        settings = description.settings
        size = integer("num_weights", settings["num_weights"], 1, 2**32)
        circuit = settings["circuit"]
        return cls(
            size,
            learned_map_from(settings["map"]),
            None if circuit is None else ansatz_from(circuit),
            scale=scale_from(settings["scale"], description.arrays, size),
            seed=settings["seed"],
        )

    def __repr__(self) -> str:
        read = "fixed random numbers" if self.ansatz is None else repr(self.ansatz)
        return (
            f"{self.num_weights} weights from {read} through a learned map of "
            f"{len(self._start)} numbers: {self.learned_map!r}"
        )


def _states(num_weights: int, learned_map: LearnedMap) -> int:
    """Basis states that are read, K."""
    return -(-num_weights // learned_map.outputs)


def _checked_qubits(num_weights: int, learned_map: LearnedMap, ansatz: Ansatz | None) -> int:
    needed = qubits_needed(num_weights, learned_map)
    if ansatz is not None and ansatz.num_qubits != needed:
        raise ValueError(
            f"`ansatz` has {ansatz.num_qubits} qubits; {num_weights} weights, "
            f"{learned_map.outputs} a basis state, need {needed}"
        )
    return needed


def _angles(parameters: Parameters) -> Vector:
    return np.asarray(parameters["angles"], dtype=np.float64)

"""Weights from as many trained numbers as a circuit has, or from fewer, but without it.

=====================  =============================================================================
:class:`FrozenSource`  the map on probabilities that stay as they are: gamma alone is trained
:class:`DirectSource`  the weights themselves
=====================  =============================================================================
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw._common.checks import real
from qnnw._common.seeds import Seed, derived_seed, seed_to_int
from qnnw.circuit import Ansatz
from qnnw.weights.circuit import usable_gamma
from qnnw.weights.derivatives import map_argument
from qnnw.weights.mapping import WeightMap, probs_to_weights
from qnnw.weights.settings import (
    BEST,
    ansatz_from,
    ansatz_settings,
    described_map,
    map_from,
    packed_scale,
    per_weight,
    scale_from,
    size_of_map,
)
from qnnw.weights.source import Array, Description, Group, Parameters, Pullback

if TYPE_CHECKING:
    from typing_extensions import Self

# The derived seed of a rival's own draws; those below are the shots', those above the orders'.
DRAWS = 1 << 42

Vector = NDArray[np.float64]
#: Number of weights and fan-in of one tensor after another.
Layout = Sequence[tuple[int, int]]


def usual_weights(layout: Layout, rng: np.random.Generator) -> Vector:
    """Weights as torch initialises linear and convolution layers: uniform within 1/sqrt(fan_in)."""
    parts = [rng.uniform(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), n) for n, fan_in in layout]
    return np.concatenate(parts)


def draws_of(seed: int) -> np.random.Generator:
    """What a source without a circuit draws from."""
    return np.random.default_rng(derived_seed(seed, DRAWS))


def as_layout(layout: Layout) -> tuple[tuple[int, int], ...]:
    """A layout, checked."""
    checked = tuple((int(numel), int(fan_in)) for numel, fan_in in layout)
    if not checked or any(numel < 1 or fan_in < 1 for numel, fan_in in checked):
        raise ValueError(f"`layout` is {layout!r}; it must be pairs (weights, fan-in) of 1 or more")
    return checked


class ExactSource(ABC):
    """A source without a circuit: nothing is measured, no draw and no setting changes it."""

    num_weights: int
    shots: int | None = None
    version = 0

    def weights(self, parameters: Parameters, draw: int = 0) -> Array:
        """The weights, float64, shape (M,)."""
        return self.forward(parameters, draw)[0]

    @abstractmethod
    def forward(self, parameters: Parameters, draw: int = 0) -> tuple[Array, Pullback]:
        """See :class:`qnnw.weights.source.WeightSource`."""


class LaidOutSource(ExactSource):
    """One that draws where its weights start by their layout.

    Parameters
    ----------
    layout
        Number of weights and fan-in of every tensor.
    seed
        Draws all that it draws.
    """

    #: In descriptions.
    kind: ClassVar[str]
    #: Its other arguments, which it has under their names.
    told: ClassVar[tuple[str, ...]]

    def __init__(self, layout: Layout, seed: Seed) -> None:
        self.layout = as_layout(layout)
        self.num_weights = sum(numel for numel, _ in self.layout)
        self.seed = int(seed_to_int(seed))

    def describe(self) -> Description:
        """Layout, sizes and seed."""
        layout = [list(pair) for pair in self.layout]
        told = {name: getattr(self, name) for name in self.told}
        return Description({"kind": self.kind, "layout": layout, **told})

    @classmethod
    def from_description(cls, description: Description) -> Self:
        """Rebuild what :meth:`describe` gave; raises KeyError, TypeError or ValueError."""
        settings = description.settings
        return cls(settings["layout"], **{name: settings[name] for name in cls.told})

    @staticmethod
    def _size_of(description: Description) -> int:
        """Number of weights, before they are drawn."""
        return sum(numel for numel, _ in as_layout(description.settings["layout"]))


class FrozenSource(ExactSource):
    """The map on probabilities that stay as they are: only gamma moves the weights.

    theta = scale * gamma * tanh(s * gamma * c), c as in
    :func:`qnnw.weights.derivatives.map_argument`; so d theta / d gamma = scale * (tanh(u) + u *
    (1 - tanh(u)^2)) with u = s * gamma * c. The one group is ``"gamma"``, shape (1,).

    Parameters
    ----------
    probabilities
        Shape (2^N,).
    weight_map
        The map.
    gamma
        Where gamma starts, > 0.
    scale
        Shape (M,), or ``None`` for 1.
    """

    def __init__(
        self,
        probabilities: ArrayLike,
        weight_map: WeightMap,
        *,
        gamma: float = BEST["gamma"],
        scale: ArrayLike | None = None,
    ) -> None:
        self.probabilities: Vector = np.asarray(probabilities, dtype=np.float64)
        self.weight_map, self.num_weights = weight_map, weight_map.num_weights
        self.gamma = real("gamma", gamma, above=0)
        self.scale = per_weight(scale, weight_map.num_weights)
        self._factors = np.ones(weight_map.num_weights) if self.scale is None else self.scale
        self._argument = weight_map.signs * map_argument(self.probabilities, weight_map)
        self._made_by: dict[str, Any] | None = None

    @classmethod
    def from_circuit(
        cls, ansatz: Ansatz, weight_map: WeightMap, seed: Seed = 0, **settings: Any
    ) -> FrozenSource:
        """The probabilities of a circuit at its random angles of this seed."""
        number = int(seed_to_int(seed))
        probabilities = np.asarray(ansatz.probabilities(ansatz.random_angles(number)))
        source = cls(probabilities, weight_map, **settings)
        source._made_by = {"circuit": ansatz_settings(ansatz), "seed": number}
        return source

    @classmethod
    def haar(cls, weight_map: WeightMap, seed: Seed = 0, **settings: Any) -> FrozenSource:
        """Those of a Haar-random state: squares of complex normal numbers, normalised."""
        number = int(seed_to_int(seed))
        state = draws_of(number).normal(size=(2, 2**weight_map.num_qubits))
        squares = np.square(state).sum(axis=0)
        source = cls(squares / squares.sum(), weight_map, **settings)
        source._made_by = {"haar": True, "seed": number}
        return source

    @property
    def groups(self) -> Mapping[str, Group]:
        """Gamma."""
        return {"gamma": Group(np.array([self.gamma]), even=True)}

    def forward(self, parameters: Parameters, draw: int = 0) -> tuple[Array, Pullback]:  # noqa: ARG002
        """See :class:`qnnw.weights.source.WeightSource`."""
        gamma = usable_gamma(parameters["gamma"])
        made = self._factors * probs_to_weights(self.probabilities, self.weight_map, gamma)

        def pullback(cotangent: ArrayLike) -> dict[str, Vector]:
            _, slope, sign = self._slope(parameters)
            # A sum of products, not a BLAS call: the same bits for any number of threads.
            with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity travel on
                return {"gamma": np.array([sign * float((np.asarray(cotangent) * slope).sum())])}

        return made, pullback

    def jvp(self, parameters: Parameters, tangents: Parameters) -> Array:
        """Derivative of the weights along ``tangents``, shape (M,)."""
        _, slope, sign = self._slope(parameters)
        return slope * sign * float(np.asarray(tangents["gamma"]).reshape(()))

    def hvp(
        self, parameters: Parameters, cotangent: ArrayLike, tangents: Parameters
    ) -> dict[str, Vector]:
        """Derivative of ``pullback(cotangent)`` along ``tangents``."""
        argument, _, _ = self._slope(parameters)
        tangent = np.tanh(argument)
        bend = 2 * self._factors * self._argument * (1 - tangent**2) * (1 - argument * tangent)
        along = float(np.asarray(tangents["gamma"]).reshape(()))
        return {"gamma": np.array([float((np.asarray(cotangent) * bend).sum()) * along])}

    def _slope(self, parameters: Parameters) -> tuple[Vector, Vector, float]:
        """u, d theta / d|gamma|, and gamma's sign."""
        argument = usable_gamma(parameters["gamma"]) * self._argument
        tangent = np.tanh(argument)
        slope = self._factors * (tangent + argument * (1 - tangent**2))
        sign = math.copysign(1.0, float(np.asarray(parameters["gamma"]).reshape(())))
        return argument, slope, sign

    def describe(self) -> Description:
        """What made the probabilities; they themselves only where no seed did."""
        packed, arrays = packed_scale(self.scale)
        map_settings, map_arrays = described_map(self.weight_map)
        settings = {
            "kind": "frozen",
            "probabilities": self._made_by,
            "map": map_settings,
            "gamma": self.gamma,
            "scale": packed,
        }
        if self._made_by is None:
            arrays = {**arrays, "probabilities": self.probabilities}
        return Description(settings, {**map_arrays, **arrays})

    @classmethod
    def sizes_of(cls, description: Description) -> tuple[int, dict[str, int]]:
        """See :func:`qnnw.weights.source.sizes_of`."""
        made_by = description.settings["probabilities"]
        size = size_of_map(description.settings["map"], description.arrays)
        if made_by is not None and "circuit" in made_by:
            found = ansatz_from(made_by["circuit"]).num_qubits
            needed = max(1, (size - 1).bit_length())
            if found != needed:
                raise ValueError(f"`circuit` has {found} qubits; {size} weights need {needed}")
        return size, {"gamma": 1}

    @classmethod
    def from_description(cls, description: Description) -> FrozenSource:
        """Rebuild what :meth:`describe` gave; raises KeyError, TypeError or ValueError."""
        settings, arrays = description.settings, description.arrays
        weight_map = map_from(settings["map"], arrays)
        given: dict[str, Any] = {
            "gamma": settings["gamma"],
            "scale": scale_from(settings["scale"], arrays, weight_map.num_weights),
        }
        made_by = settings["probabilities"]
        if made_by is None:
            return cls(arrays["probabilities"], weight_map, **given)
        if "haar" in made_by:
            return cls.haar(weight_map, made_by["seed"], **given)
        return cls.from_circuit(
            ansatz_from(made_by["circuit"]), weight_map, made_by["seed"], **given
        )

    def __repr__(self) -> str:
        return f"{self.num_weights} weights from frozen probabilities and gamma"


class LinearSource(ExactSource):
    """A source whose one group moves the weights linearly, from those at 0."""

    _at_zero: Vector | float = 0.0

    def jvp(self, parameters: Parameters, tangents: Parameters) -> Array:  # noqa: ARG002
        """The tangent's own weights, but for those at 0."""
        return self.forward(tangents)[0] - self._at_zero

    def hvp(
        self,
        parameters: Parameters,
        cotangent: ArrayLike,  # noqa: ARG002
        tangents: Parameters,  # noqa: ARG002
    ) -> dict[str, Vector]:
        """0."""
        return {name: np.zeros(len(numbers)) for name, numbers in parameters.items()}


class DirectSource(LaidOutSource, LinearSource):
    """The weights themselves: the one group is ``"values"``, shape (M,).

    Parameters
    ----------
    layout
        Number of weights and fan-in of every tensor; training starts at :func:`usual_weights` of
        them.
    seed
        Draws these.
    start
        Where it starts instead, shape (M,).
    """

    kind, told = "direct", ("seed",)

    def __init__(self, layout: Layout, seed: Seed = 0, *, start: ArrayLike | None = None) -> None:
        super().__init__(layout, seed)
        self._given = start is not None
        self._start: Vector = (
            usual_weights(self.layout, draws_of(self.seed))
            if start is None
            else np.array(start, dtype=np.float64)
        )
        if self._start.shape != (self.num_weights,):
            need = f"the layout has ({self.num_weights},)"
            raise ValueError(f"`start` has shape {self._start.shape}; {need}")

    @property
    def groups(self) -> Mapping[str, Group]:
        """The weights."""
        return {"values": Group(self._start.copy())}

    def forward(self, parameters: Parameters, draw: int = 0) -> tuple[Array, Pullback]:  # noqa: ARG002
        """See :class:`qnnw.weights.source.WeightSource`."""
        made = np.array(parameters["values"], dtype=np.float64)
        if made.shape != self._start.shape:
            raise ValueError(f"`values` has shape {made.shape}; it must be {self._start.shape}")
        return made, lambda cotangent: {"values": np.array(cotangent, dtype=np.float64)}

    def describe(self) -> Description:
        """Layout and seed; the start only where it was given."""
        settings = super().describe().settings
        return Description(settings, {"start": self._start} if self._given else {})

    @classmethod
    def sizes_of(cls, description: Description) -> tuple[int, dict[str, int]]:
        """See :func:`qnnw.weights.source.sizes_of`."""
        size = cls._size_of(description)
        return size, {"values": size}

    @classmethod
    def from_description(cls, description: Description) -> DirectSource:
        """Rebuild what :meth:`describe` gave; raises KeyError, TypeError or ValueError."""
        settings = description.settings
        start = description.arrays.get("start")
        return cls(settings["layout"], settings["seed"], start=start)

    def __repr__(self) -> str:
        return f"{self.num_weights} weights, trained themselves"

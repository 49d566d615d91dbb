"""WeightSource: the one seam between trained numbers and a network's weights.

Something makes M weights from a few trained numbers, and knows the way back. What stands behind it
(a circuit, a random subspace, frozen probabilities, the weights themselves) is its own business:
torch modules, trainers, the command line and files take *a source*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Of an even number: 0 would stop it from moving.
SMALLEST = 1e-12

Thing = TypeVar("Thing")
Array = NDArray[np.floating[Any]]
#: The trained numbers: one vector a group.
Parameters = Mapping[str, NDArray[Any]]
#: dL/dweights to dL/d(numbers of every group). Whoever holds it holds all that it needs.
Pullback = Callable[[ArrayLike], dict[str, NDArray[np.float64]]]


@dataclass(frozen=True)
class Group:
    """One named group of trained numbers.

    Attributes
    ----------
    start
        Where training begins: float64, shape (n,), n >= 1.
    step
        The length of a change of one number that matters, in its own units: what a step of an
        optimiser is measured by. A circuit's angles have 1 (radian).
    even
        Whether the weights are the same for the negative numbers.
    live
        Places of the numbers that can change a weight; ``None``: all of them.
    """

    start: NDArray[np.float64]
    step: float = 1.0
    even: bool = False
    live: NDArray[np.intp] | None = None

    def settled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same point by its usual numbers: positive ones, and not 0, of an even group."""
        return np.maximum(np.abs(values), SMALLEST) if self.even else values


@dataclass(frozen=True)
class Description:
    """What a source can be rebuilt from.

    Attributes
    ----------
    settings
        JSON, with the source's ``"kind"``; seeds instead of what they draw.
    arrays
        What no seed makes.
    """

    settings: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def part(self, settings: dict[str, Any], start: str = "") -> Description:
        """That of a source within this one, whose arrays' names start so."""
        return Description(settings, named(self.arrays, start))


def named(found: Mapping[str, Thing], start: str) -> dict[str, Thing]:
    """Those whose names start so, by the rest of their names."""
    return {name.removeprefix(start): one for name, one in found.items() if name.startswith(start)}


@runtime_checkable
class WeightSource(Protocol):
    """Makes M weights from groups of trained numbers.

    A source holds settings and nothing of the numbers: it may be shared by threads and models.
    """

    @property
    def num_weights(self) -> int:
        """Number of weights, M."""
        ...

    @property
    def groups(self) -> Mapping[str, Group]:
        """The groups of trained numbers by name, in their order."""
        ...

    @property
    def shots(self) -> int | None:
        """Measurements a draw; ``None``: exact, and no draw changes the weights."""
        ...

    @property
    def version(self) -> int:
        """Grows whenever a setting is changed: what was made before is then out of date."""
        ...

    def forward(self, parameters: Parameters, draw: int = 0) -> tuple[Array, Pullback]:
        """The weights, and their way back.

        Parameters
        ----------
        parameters
            A vector for every group; finite.
        draw
            Number of the measurement; without shots it changes nothing.

        Returns
        -------
        weights : ndarray of float64 or float32, shape (M,)
        pullback : callable
            Takes dL/dweights, shape (M,), to dL/d(every group), float64. It may be called again.
            NaN and infinity go through it, to a gradient that is not finite.

        Raises
        ------
        TypeError, ValueError, MemoryError
            The numbers are of the wrong kind, shape or value, or do not fit in memory.
        """
        ...

    def weights(self, parameters: Parameters, draw: int = 0) -> Array:
        """The weights of :meth:`forward`, bit for bit, where no way back is needed."""
        ...

    def describe(self) -> Description:
        """What :func:`from_description` rebuilds the source from."""
        ...


Rebuild = Callable[[Description], WeightSource]

# Kind to where it stands. A new idea is one new file, and a line here.
_KINDS: dict[str, tuple[str, str]] = {
    "circuit": ("qnnw.weights.circuit", "CircuitSource"),
    "frozen": ("qnnw.weights.rivals", "FrozenSource"),
    "subspace": ("qnnw.weights.subspaces", "SubspaceSource"),
    "direct": ("qnnw.weights.rivals", "DirectSource"),
    "hashed": ("qnnw.weights.subspaces", "HashedSource"),
    "fastfood": ("qnnw.weights.subspaces", "FastfoodSource"),
    "networks": ("qnnw.weights.subspaces", "NetworksSource"),
    "mcnc": ("qnnw.weights.mcnc", "McncSource"),
    "learned": ("qnnw.weights.learned", "LearnedSource"),
    "circuits": ("qnnw.weights.circuits", "CircuitsSource"),
    "delta": ("qnnw.weights.delta", "DeltaSource"),
    "joined": ("qnnw.weights.joined", "JoinedSource"),
    "trained": ("qnnw.weights.trained", "TrainedSource"),
}
_registered: dict[str, Rebuild] = {}


def register_kind(kind: str, rebuild: Rebuild) -> None:
    """Let :func:`from_description` rebuild a source of your own.

    Parameters
    ----------
    kind
        The ``"kind"`` in its descriptions' settings; none of the built-in ones.
    rebuild
        Takes the description to the source.

    Raises
    ------
    ValueError
        The kind is built in.
    """
    if kind in _KINDS:
        raise ValueError(f"`kind` is {kind!r}, which is built in; take another name")
    _registered[kind] = rebuild


def from_description(description: Description) -> WeightSource:
    """Rebuild a source from what :meth:`WeightSource.describe` gave.

    Raises
    ------
    KeyError, TypeError, ValueError
        The description is of no source.
    """
    kind = description.settings.get("kind")
    if isinstance(kind, str) and kind in _registered:
        return _registered[kind](description)
    source: WeightSource = _built_in(kind).from_description(description)
    return source


def sizes_of(description: Description) -> tuple[int, dict[str, int]] | None:
    """Number of weights, and of numbers in each group, before anything of such a size is made.

    ``None`` for a source of somebody's own; raises as :func:`from_description`.
    """
    kind = description.settings.get("kind")
    if isinstance(kind, str) and kind in _registered:
        return None
    sizes: tuple[int, dict[str, int]] | None = _built_in(kind).sizes_of(description)
    return sizes


def _built_in(kind: Any) -> Any:
    if not isinstance(kind, str) or kind not in _KINDS:
        known = ", ".join(map(repr, [*_KINDS, *_registered]))
        raise ValueError(f"`kind` of the weight source is {kind!r}; it must be one of {known}")
    module, name = _KINDS[kind]
    return getattr(import_module(module), name)

"""JoinedSource: several sources side by side, their weights one after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw.weights.source import (
    Array,
    Description,
    Group,
    Parameters,
    Pullback,
    WeightSource,
    from_description,
    sizes_of,
)


class JoinedSource:
    """The weights of its parts, concatenated; a part's groups go by ``"part.group"``.

    Parameters
    ----------
    parts
        Sources by name. The part named ``""`` keeps its groups' own names.

    Raises
    ------
    ValueError
        There is no part, or two groups would have one name.
    """

    def __init__(self, parts: Mapping[str, WeightSource]) -> None:
        self.parts = dict(parts)
        self.num_weights = sum(part.num_weights for part in self.parts.values())
        self._places = {
            (f"{name}.{group}" if name else group): (name, group)
            for name, part in self.parts.items()
            for group in part.groups
        }
        if len(self._places) != sum(len(part.groups) for part in self.parts.values()):
            raise ValueError("`parts` have two groups of one name")
        if not self.parts:
            raise ValueError("`parts` is empty; at least one source is needed")

    @property
    def groups(self) -> Mapping[str, Group]:
        """The groups of all parts."""
        found = {name: part.groups for name, part in self.parts.items()}
        return {name: found[part][group] for name, (part, group) in self._places.items()}

    @property
    def shots(self) -> int | None:
        """Measurements of the first part that measures."""
        return next((p.shots for p in self.parts.values() if p.shots is not None), None)

    @property
    def version(self) -> int:
        """Sum over the parts."""
        return sum(part.version for part in self.parts.values())

    def weights(self, parameters: Parameters, draw: int = 0) -> Array:
        """The weights of all parts."""
        return np.concatenate(
            [part.weights(given, draw) for part, given in self._given(parameters)]
        )

    def forward(self, parameters: Parameters, draw: int = 0) -> tuple[Array, Pullback]:
        """See :class:`qnnw.weights.source.WeightSource`."""
        made = [part.forward(given, draw) for part, given in self._given(parameters)]

        def pullback(cotangent: ArrayLike) -> dict[str, NDArray[np.float64]]:
            rows = zip(self.parts, made, self._pieces(cotangent), strict=True)
            found = {name: back(piece) for name, (_, back), piece in rows}
            return {name: found[part][group] for name, (part, group) in self._places.items()}

        return np.concatenate([weights for weights, _ in made]), pullback

    def jvp(self, parameters: Parameters, tangents: Parameters) -> Array:
        """The parts' derivatives along ``tangents``; AttributeError where one has none."""
        pairs = zip(self._given(parameters), self._given(tangents), strict=True)
        return np.concatenate(
            [part.jvp(given, along) for (part, given), (_, along) in pairs]  # type: ignore[attr-defined]
        )

    def hvp(
        self, parameters: Parameters, cotangent: ArrayLike, tangents: Parameters
    ) -> dict[str, NDArray[np.float64]]:
        """The parts' Hessian products; AttributeError where one has none."""
        pairs = zip(self._given(parameters), self._given(tangents), strict=True)
        rows = zip(self.parts, self._pieces(cotangent), pairs, strict=True)
        found = {
            name: part.hvp(given, piece, along)  # type: ignore[attr-defined]
            for name, piece, ((part, given), (_, along)) in rows
        }
        return {name: found[part][group] for name, (part, group) in self._places.items()}

    def describe(self) -> Description:
        """The parts' descriptions."""
        settings: list[list[Any]] = []
        arrays: dict[str, NDArray[Any]] = {}
        for name, part in self.parts.items():
            described = part.describe()
            settings.append([name, described.settings])
            arrays |= {f"{name}/{key}": array for key, array in described.arrays.items()}
        return Description({"kind": "joined", "parts": settings}, arrays)

    @classmethod
    def from_description(cls, description: Description) -> JoinedSource:
        """Rebuild what :meth:`describe` gave; raises KeyError, TypeError or ValueError."""
        return cls({name: from_description(part) for name, part in _described(description)})

    @classmethod
    def sizes_of(cls, description: Description) -> tuple[int, dict[str, int]] | None:
        """See :func:`qnnw.weights.source.sizes_of`."""
        total = 0
        sizes: dict[str, int] = {}
        for name, part in _described(description):
            found = sizes_of(part)
            if found is None:
                return None
            total += found[0]
            sizes |= {f"{name}.{key}" if name else key: size for key, size in found[1].items()}
        return total, sizes

    def __repr__(self) -> str:
        return "; ".join(
            f"{name}: {part!r}" if name else repr(part) for name, part in self.parts.items()
        )

    def _pieces(self, cotangent: ArrayLike) -> list[NDArray[Any]]:
        ends = np.cumsum([part.num_weights for part in self.parts.values()])[:-1]
        return np.split(np.asarray(cotangent), ends)

    def _given(self, parameters: Parameters) -> list[tuple[WeightSource, dict[str, Any]]]:
        given: dict[str, dict[str, Any]] = {name: {} for name in self.parts}
        for name, (part, group) in self._places.items():
            given[part][group] = parameters[name]
        return [(self.parts[name], given[name]) for name in self.parts]


def _described(description: Description) -> Iterator[tuple[str, Description]]:
    """The parts' names and descriptions."""
    for name, settings in description.settings["parts"]:
        yield name, description.part(settings, f"{name}/")

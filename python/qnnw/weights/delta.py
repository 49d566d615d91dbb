"""DeltaSource: how far a source's weights have moved from where they started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw._common.checks import instance
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


class DeltaSource:
    """Weights t(n) - t(n_0), where t are another source's and n_0 its numbers at the start.

    Added to a network's own weights w0 they make w = w0 + t(n) - t(n_0), which at the start is w0
    to the last bit: t is the same bits for the same numbers, the difference is then -0, and x + -0
    is x, also where x is -0. n_0 are the start's numbers rounded to float32, so that parameters of
    either precision can stand there.

    Parameters
    ----------
    source
        Makes t; its scale is the length of a change that matters.

    Raises
    ------
    TypeError, ValueError
        ``source`` is none, or is measured: then no weights are the same twice.
    """

    shots: int | None = None

    def __init__(self, source: WeightSource) -> None:
        instance("source", source, WeightSource, "a WeightSource")
        self.source, self.num_weights = source, source.num_weights
        self._check()
        # The source's, their start rounded to float32.
        self.groups: Mapping[str, Group] = {
            name: replace(group, start=group.start.astype(np.float32).astype(np.float64))
            for name, group in source.groups.items()
        }
        self._origin: tuple[int, Array] | None = None

    def _check(self) -> None:
        if self.source.shots is not None:
            raise ValueError(
                f"`shots` is {self.source.shots}; what is measured is never back at its start: "
                "changes of weights that are kept need shots=None"
            )

    @property
    def version(self) -> int:
        """The source's."""
        return self.source.version

    @property
    def origin(self) -> Array:
        """t(n_0), made once."""
        self._check()
        found, version = self._origin, self.source.version
        if found is None or found[0] != version:
            start = {name: group.start for name, group in self.groups.items()}
            found = self._origin = (version, self.source.weights(start))
        return found[1]

    def weights(self, parameters: Parameters, draw: int = 0) -> Array:
        """The weights of :meth:`forward`."""
        return self._moved(self.source.weights(parameters, draw))

    def forward(self, parameters: Parameters, draw: int = 0) -> tuple[Array, Pullback]:
        """See :class:`qnnw.weights.source.WeightSource`."""
        made, pullback = self.source.forward(parameters, draw)
        return self._moved(made), pullback

    def _moved(self, made: Array) -> Array:
        # In this order: the difference of equals is -0 then.
        moved = np.subtract(self.origin, made)
        return np.negative(moved, out=moved)

    def jvp(self, parameters: Parameters, tangents: Parameters) -> Array:
        """The source's; AttributeError where it has none."""
        moved: Array = self.source.jvp(parameters, tangents)  # type: ignore[attr-defined]
        return moved

    def hvp(
        self, parameters: Parameters, cotangent: ArrayLike, tangents: Parameters
    ) -> dict[str, NDArray[np.float64]]:
        """The source's; AttributeError where it has none."""
        turned: dict[str, NDArray[np.float64]] = self.source.hvp(  # type: ignore[attr-defined]
            parameters, cotangent, tangents
        )
        return turned

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_origin": None}  # it is made again

    def describe(self) -> Description:
        """The source's description."""
        inner = self.source.describe()
        return Description({"kind": "delta", "source": inner.settings}, inner.arrays)

    @classmethod
    def sizes_of(cls, description: Description) -> tuple[int, dict[str, int]] | None:
        """See :func:`qnnw.weights.source.sizes_of`."""
        return sizes_of(description.part(description.settings["source"]))

    @classmethod
    def from_description(cls, description: Description) -> DeltaSource:
        """Rebuild what :meth:`describe` gave; raises KeyError, TypeError or ValueError."""
        return cls(from_description(description.part(description.settings["source"])))

    def __repr__(self) -> str:
        return f"changes of {self.source!r}"

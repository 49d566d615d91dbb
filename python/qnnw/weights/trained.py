"""TrainedSource: fewer trained numbers than a source has, whatever its depth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw._common.checks import instance, integer, one_of
from qnnw._common.seeds import Seed, derived_seed, seed_to_int
from qnnw._core import walsh_hadamard
from qnnw.weights.source import (
    Array,
    Description,
    Group,
    Parameters,
    Pullback,
    WeightSource,
    from_description,
    named,
    sizes_of,
)

Vector = NDArray[np.float64]

#: Ways of training fewer numbers.
HOW = ("subset", "projected", "tied")
#: Most entries of a P that is held as a matrix; a larger one is a product of fast steps.
DENSE = 1 << 14
# The derived seed of the choice; a rival's own draws have the one before.
CHOICE = (1 << 42) + 1


class TrainedSource:
    """A source's weights from fewer trained numbers than it has: z, shape (size,).

    Groups of one number and those of scales (gamma) train as they are. The numbers of the others,
    but for those that can change no weight, make one vector theta, which starts at theta0, where
    the source's own start; in units of their groups' steps where there is more than one group.

    ``how="subset"``
        theta_k = z_k for ``size`` places that the seed chooses, theta0_k for the others.
    ``how="projected"``
        theta = theta0 + P z, P^T P = 1, z = 0 at the start. Up to ``DENSE`` = 2^14 entries P is a
        matrix of normal numbers whose columns are made orthonormal. Above it is never made: P =
        A_2 S_2 A_1 S_1 E, where E puts z on ``size`` places, S are random signs, and A_1 and A_2
        are the Walsh-Hadamard transform, normalised, of the first and of the last 2^m numbers, 2^m
        the largest power of two that fits: every column has about half of its entries or more, and
        a product takes O(n log n) for n numbers.
    ``how="tied"``
        theta_k = z_g(k): the numbers are dealt to ``size`` groups of nearly one size, and each
        starts where its first number does.

    Gradients are the source's own, brought back by the transpose: dL/dz = (d theta / dz)^T
    dL/dtheta. Everything is drawn from the seed by the raw words of PCG64, which every version of
    NumPy gives alike; no matrix product goes through BLAS, so results do not depend on threads.

    Parameters
    ----------
    source
        Makes the weights.
    size
        How many numbers are trained, besides those that train as they are.
    how
        As above.
    seed
        Draws the places, P or the groups.
    start
        Vectors by group, where the numbers stand instead of where the source starts.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, or the source has nothing to choose from.

    Notes
    -----
    ``"projected"`` is the random subspace of Li et al. (2018), of a circuit's angles instead of a
    network's weights.
    """

    def __init__(
        self,
        source: WeightSource,
        size: int,
        how: str = "subset",
        seed: Seed = 0,
        *,
        start: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        instance("source", source, WeightSource, "a WeightSource")
        self.source, self.how = source, one_of("how", how, HOW)
        self.num_weights, self.seed = source.num_weights, int(seed_to_int(seed))
        groups = source.groups
        self._chosen = [n for n, g in groups.items() if len(g.start) > 1 and not g.even]
        if not self._chosen:
            raise ValueError("`source` has no group of more than one number; there is no choice")
        self._start = {name: np.array(groups[name].start) for name in self._chosen}
        self._start |= _given_start(start, self._start)
        live = {name: _live(groups[name]) for name in self._chosen}
        self._counts = {name: len(places) for name, places in live.items()}
        self._live = {name: _places(places) for name, places in live.items()}
        many = sum(self._counts.values())
        self.size = integer("size", size, 1)
        if self.size > many:
            raise ValueError(f"`size` is {size}; the source has {many} numbers that can change it")
        alone = len(self._chosen) == 1
        # The length of a number's step, in units of which theta is where groups are mixed.
        self._steps = {name: 1.0 if alone else groups[name].step for name in self._chosen}
        self._step = groups[self._chosen[0]].step if alone else 1.0
        #: The trained group's name: that of the one group that it is chosen from, else "numbers";
        #: "coordinates" where it is projected.
        self.name = _name_of(self._chosen, self.how)
        at_start = self._gathered(self._start, inverse=True)
        self._way = _WAYS[self.how](at_start, self.size, derived_seed(self.seed, CHOICE))

    @property
    def shots(self) -> int | None:
        """The source's."""
        return self.source.shots

    @property
    def version(self) -> int:
        """The source's."""
        return self.source.version

    @property
    def groups(self) -> Mapping[str, Group]:
        """The trained numbers, and the groups that train as they are."""
        trained = Group(self._way.start.copy(), step=self._step)
        found = {n: g for n, g in self.source.groups.items() if n not in self._chosen}
        return {self.name: trained, **found}

    def weights(self, parameters: Parameters, draw: int = 0) -> Array:
        """The weights of :meth:`forward`."""
        return self.source.weights(self._spread(parameters), draw)

    def forward(self, parameters: Parameters, draw: int = 0) -> tuple[Array, Pullback]:
        """See :class:`qnnw.weights.source.WeightSource`."""
        made, back = self.source.forward(self._spread(parameters), draw)
        return made, lambda cotangent: self._brought_back(back(cotangent))

    def jvp(self, parameters: Parameters, tangents: Parameters) -> Array:
        """The source's derivative along ``tangents``; AttributeError where it has none."""
        moved: Array = self.source.jvp(  # type: ignore[attr-defined]
            self._spread(parameters), self._spread(tangents, tangent=True)
        )
        return moved

    def hvp(
        self, parameters: Parameters, cotangent: ArrayLike, tangents: Parameters
    ) -> dict[str, Vector]:
        """The source's Hessian product; AttributeError where it has none."""
        turned = self.source.hvp(  # type: ignore[attr-defined]
            self._spread(parameters), cotangent, self._spread(tangents, tangent=True)
        )
        return self._brought_back(turned)

    def describe(self) -> Description:
        """The source's description, size and seed; where it started only if no seed tells."""
        inner = self.source.describe()
        settings = {
            "kind": "trained",
            "source": inner.settings,
            "groups": self._chosen,
            "size": self.size,
            "how": self.how,
            "seed": self.seed,
        }
        now = self.source.groups
        starts = {
            f"start/{name}": values.copy()
            for name, values in self._start.items()
            if not np.array_equal(values, now[name].start)
        }
        inside = {f"source/{name}": array for name, array in inner.arrays.items()}
        return Description(settings, {**inside, **starts})

    @classmethod
    def sizes_of(cls, description: Description) -> tuple[int, dict[str, int]] | None:
        """See :func:`qnnw.weights.source.sizes_of`."""
        settings = description.settings
        found = sizes_of(description.part(settings["source"], "source/"))
        if found is None:
            return None
        chosen, size = [str(name) for name in settings["groups"]], integer("size", settings["size"])
        if not 1 <= size <= sum(found[1][name] for name in chosen):
            raise ValueError(f"`size` is {size}; it must be at least 1 and fit the groups {chosen}")
        rest = {name: count for name, count in found[1].items() if name not in chosen}
        return found[0], {_name_of(chosen, settings["how"]): size, **rest}

    @classmethod
    def from_description(cls, description: Description) -> TrainedSource:
        """Rebuild what :meth:`describe` gave; raises KeyError, TypeError or ValueError."""
        settings = description.settings
        source = from_description(description.part(settings["source"], "source/"))
        start = named(description.arrays, "start/")
        found = cls(source, settings["size"], settings["how"], settings["seed"], start=start)
        if found._chosen != settings["groups"]:
            raise ValueError(f"`groups` are {settings['groups']}; the source has {found._chosen}")
        return found

    def __repr__(self) -> str:
        many = sum(self._counts.values())
        return f"{self.size} trained ({self.how}) of {many} numbers: {self.source!r}"

    def _spread(self, parameters: Parameters, tangent: bool = False) -> dict[str, Any]:
        """What the source takes: all of its numbers, or their change."""
        given = {name: v for name, v in parameters.items() if name != self.name}
        values = np.asarray(parameters[self.name], dtype=np.float64)
        if values.shape != (self.size,):
            raise ValueError(f"`{self.name}` has shape {values.shape}; it must be ({self.size},)")
        spread, first = self._way.spread(values, tangent), 0
        for name, start in self._start.items():
            part = spread[first : first + self._counts[name]]
            whole = np.zeros(len(start)) if tangent else start.copy()
            whole[self._live[name]] = part if self._steps[name] == 1 else self._steps[name] * part
            given[name], first = whole, first + self._counts[name]
        return given

    def _brought_back(self, gradients: Mapping[str, Vector]) -> dict[str, Vector]:
        found = {name: v for name, v in gradients.items() if name not in self._chosen}
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity travel on
            return {self.name: self._way.back(self._gathered(gradients)), **found}

    def _gathered(self, vectors: Mapping[str, Vector], inverse: bool = False) -> Vector:
        """The live numbers of all groups, times their steps or over them."""
        parts = []
        for name, live in self._live.items():
            step = self._steps[name]
            part = vectors[name][live]
            parts.append(part if step == 1 else part / step if inverse else part * step)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class _Subset:
    """From z to theta, and the transpose, as the other two."""

    def __init__(self, at_start: Vector, size: int, seed: int) -> None:
        self._at_start = at_start
        self._places = np.sort(_permutation(_words(seed, len(at_start)))[:size])
        self.start = at_start[self._places]

    def spread(self, values: Vector, tangent: bool) -> Vector:
        theta = np.zeros(len(self._at_start)) if tangent else self._at_start.copy()
        theta[self._places] = values
        return theta

    def back(self, gradient: Vector) -> Vector:
        return gradient[self._places]


class _Tied:
    def __init__(self, at_start: Vector, size: int, seed: int) -> None:
        self._group = np.empty(len(at_start), dtype=np.intp)
        dealt = _permutation(_words(seed, len(at_start)))
        self._group[dealt] = np.arange(len(at_start)) % size
        _, first = np.unique(self._group, return_index=True)
        self.start = at_start[first]

    def spread(self, values: Vector, tangent: bool) -> Vector:  # noqa: ARG002
        return values[self._group]

    def back(self, gradient: Vector) -> Vector:
        summed = np.bincount(self._group, gradient, minlength=len(self.start))
        return summed.astype(np.float64, copy=False)


class _Projected:
    def __init__(self, at_start: Vector, size: int, seed: int) -> None:
        self._at_start = at_start
        self.start = np.zeros(size)
        count = len(at_start)
        self._matrix: Vector | None = None
        if count * size <= DENSE:
            # Rows that are the columns of P.
            words = _words(seed, 2 * count * size) >> np.uint64(11)
            uniform = words.reshape(2, size, count) * 2.0**-53
            normal = np.sqrt(-2 * np.log1p(-uniform[0])) * np.cos(2 * math.pi * uniform[1])
            self._matrix = orthonormal(normal)
            return
        block = 1 << (count.bit_length() - 1)
        words = _words(seed, 3 * count).reshape(3, count)
        self._places = np.sort(_permutation(words[0])[:size])
        self._parts = [slice(0, block), slice(count - block, count)]
        self._factors = np.where(words[1:] & np.uint64(1), 1.0, -1.0)
        for factors, part in zip(self._factors, self._parts, strict=True):
            factors[part] /= math.sqrt(block)  # the transform's

    def spread(self, values: Vector, tangent: bool) -> Vector:
        if self._matrix is not None:
            moved: Vector = np.einsum("kn,k->n", self._matrix, values)
        else:
            moved = np.zeros(len(self._at_start))
            moved[self._places] = values
            for factors, part in zip(self._factors, self._parts, strict=True):
                moved *= factors
                moved[part] = walsh_hadamard(moved[part])
        return moved if tangent else self._at_start + moved

    def back(self, gradient: Vector) -> Vector:
        if self._matrix is not None:
            brought: Vector = np.einsum("kn,n->k", self._matrix, gradient)
            return brought
        moved = np.array(gradient)
        for factors, part in zip(self._factors[::-1], self._parts[::-1], strict=True):
            moved[part] = walsh_hadamard(moved[part])
            moved *= factors
        return moved[self._places]


_WAYS: dict[str, Any] = {"subset": _Subset, "projected": _Projected, "tied": _Tied}


def _words(seed: int, count: int) -> NDArray[np.uint64]:
    """Raw words of PCG64: the numbers of NumPy's generators change with its versions, these not."""
    return np.random.PCG64(seed).random_raw(count)


def _permutation(words: NDArray[np.uint64]) -> NDArray[np.intp]:
    return np.argsort(words, kind="stable")


def orthonormal(rows: Vector) -> Vector:
    """These rows made orthonormal in their place, by Gram and Schmidt: twice is enough."""
    for place, row in enumerate(rows):
        for _ in range(2):
            along = np.einsum("kn,n->k", rows[:place], row)
            row -= np.einsum("kn,k->n", rows[:place], along)
        row /= math.sqrt((row * row).sum())
    return rows


def _name_of(chosen: list[str], how: str) -> str:
    """Coordinates are no angles; several groups' numbers have no common name."""
    if how == "projected":
        return "coordinates"
    return chosen[0] if len(chosen) == 1 else "numbers"


def _live(group: Group) -> NDArray[np.intp]:
    return np.arange(len(group.start)) if group.live is None else group.live


def _places(live: NDArray[np.intp]) -> NDArray[np.intp] | slice:
    """A slice where one does: it is taken faster."""
    first = int(live[0]) if len(live) else 0
    stretch = np.arange(first, first + len(live))
    return slice(first, first + len(live)) if np.array_equal(live, stretch) else live


def _given_start(
    start: Mapping[str, ArrayLike] | None, own: Mapping[str, Vector]
) -> dict[str, Vector]:
    found = {}
    for name, values in (start or {}).items():
        if name not in own:
            raise ValueError(f"`start` has {name!r}; the groups are {', '.join(map(repr, own))}")
        found[name] = np.array(values, dtype=np.float64)
        if found[name].shape != own[name].shape or not np.isfinite(found[name]).all():
            raise ValueError(
                f"`start` has {name!r} of shape {found[name].shape}; finite numbers of shape "
                f"{own[name].shape} are needed"
            )
    return found

"""CircuitsSource: many small circuits for one network, evolved side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qnnw._common.checks import flag, integer, one_of, real
from qnnw._common.precision import is_single
from qnnw._common.seeds import Seed, derived_seed, seed_to_int
from qnnw.circuit.ansatz import Pairs as _Pairs
from qnnw.weights.circuit import usable_gamma
from qnnw.weights.derivatives import Along, Chain, push_weights, turn_gradient
from qnnw.weights.functional import generate_weights, generate_weights_with_vjp
from qnnw.weights.settings import BEST, packed_scale, per_weight, scale_from
from qnnw.weights.source import Array, Description, Group, Parameters, Pullback
from qnnw.weights.stacks import Stack, drawn_angles, stacked

Vector = NDArray[np.float64]
# Of a stack, a circuit each.
_Moves = list[tuple[Chain, Along]]


class CircuitsSource:
    """Weights theta_j = scale_j * t_j(angles, gamma) of circuit k, for many circuits k.

    Circuit k makes ``sizes[k]`` weights with t as in :class:`qnnw.WeightMap`, from N_k =
    max(1, ceil(log2 sizes[k])) qubits; circuits of one size have one map and are one batch in the
    core, side by side over the threads.

    The trained groups are ``"angles"``, radians, ``"gamma"`` and with ``offset`` also
    ``"offsets"``:

    - own angles (``shared=False``): ``"angles"`` are those of circuit 0, of circuit 1, …, each
      2 N_k (reps + 1) numbers;
    - ``shared=True``: circuit k's angles are angles_k = base_k + shared + E_k o_k. The base is
      drawn from the seed and stays, so that circuits differ; ``shared`` is one set for all circuits
      of equally many qubits, and starts at 0. E_k puts the ``offset`` numbers o_k, which are the
      circuit's own and start at 0 too, on that many places that the seed draws.

    Parameters
    ----------
    sizes
        Number of weights of every circuit, in the order of the weights.
    num_weights
        How many weights are taken; ``None``: all. The surplus is the last circuit's.
    reps, entanglement
        Of every circuit.
    signs, mapping
        The maps, see :class:`qnnw.WeightMap`.
    gamma
        Where every gamma starts, > 0.
    gammas
        ``"one"``: one for all circuits; ``"each"``: the group ``"gamma"`` has one for each.
    scale
        Shape (num_weights,), finite; ``None`` is 1.
    shared, offset
        As above; ``offset`` is 0 where angles are not shared.
    shots, seed, dtype
        As of :class:`qnnw.weights.circuit.CircuitSource`.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, shape or value.
    """

    version = 0

    def __init__(
        self,
        sizes: Sequence[int],
        num_weights: int | None = None,
        *,
        reps: int = 4,
        entanglement: str | _Pairs = "linear",
        signs: str = "parity",
        mapping: str = BEST["mapping"],
        gamma: float = BEST["gamma"],
        gammas: str = "one",
        scale: ArrayLike | None = None,
        shared: bool = False,
        offset: int = 0,
        shots: int | None = None,
        seed: Seed = 0,
        dtype: DTypeLike = "float64",
    ) -> None:
        self.sizes = tuple(integer("sizes", size, 1) for size in sizes)
        if not self.sizes:
            raise ValueError("`sizes` is empty; at least one circuit is needed")
        total = sum(self.sizes)
        least = total - self.sizes[-1] + 1
        self.num_weights = (
            total if num_weights is None else integer("num_weights", num_weights, least, total)
        )
        self.reps, self.shared = integer("reps", reps, 0), flag("shared", shared)
        self.offset = integer("offset", offset, 0)
        if self.offset and not self.shared:
            raise ValueError(f"`offset` is {offset}, but every circuit has its own angles already")
        self.signs, self.mapping = signs, mapping
        self.gammas = one_of("gammas", gammas, ("one", "each"))
        self.gamma = real("gamma", gamma, above=0)
        self.scale = per_weight(scale, self.num_weights)
        self.shots = None if shots is None else integer("shots", shots, 1, 2**40)
        self.seed = int(seed_to_int(seed))
        self.dtype = np.dtype(np.float32 if is_single(dtype) else np.float64)
        self._scale = None if self.scale is None else self.scale.astype(self.dtype)
        self.stacks = stacked(
            self.sizes, self.reps, entanglement, signs, mapping, self.shared, self.offset, self.seed
        )
        self.entanglement = self.stacks[0].ansatz.entanglement
        self.groups: Mapping[str, Group] = self._started()

    def _started(self) -> dict[str, Group]:
        start = np.zeros(1 + max(int(stack.angles.max()) for stack in self.stacks))
        live = np.zeros(len(start), dtype=bool)
        for stack in self.stacks:
            live[stack.angles[:, stack.ansatz.live_angles]] = True
            if not self.shared:
                start[stack.angles] = drawn_angles(stack.ansatz, self.seed, stack.numbers)
        found = {"angles": Group(start, live=np.flatnonzero(live))}
        if self.offset:
            found["offsets"] = Group(np.zeros(self.offset * len(self.sizes)))
        many = len(self.sizes) if self.gammas == "each" else 1
        return {**found, "gamma": Group(np.full(many, self.gamma), even=True)}

    def weights(self, parameters: Parameters, draw: int = 0) -> Array:
        """The weights, of ``dtype``, shape (num_weights,)."""
        made = [
            generate_weights(*self._chain(n, parameters, draw), dtype=self.dtype)
            for n in range(len(self.stacks))
        ]
        return self._scaled(self._joined(made))

    def forward(self, parameters: Parameters, draw: int = 0) -> tuple[Array, Pullback]:
        """See :class:`qnnw.weights.source.WeightSource`."""
        made = [
            generate_weights_with_vjp(*self._chain(n, parameters, draw), dtype=self.dtype)
            for n in range(len(self.stacks))
        ]
        signs = np.copysign(1.0, np.asarray(parameters["gamma"], dtype=np.float64))

        def pullback(cotangent: ArrayLike) -> dict[str, Vector]:
            with np.errstate(invalid="ignore", over="ignore"):
                by_weights = self._scaled(np.asarray(cotangent, dtype=self.dtype))
            if not np.isfinite(by_weights).all():
                # A step that overflowed is seen by who scales the loss, and left out.
                return {name: np.full(len(g.start), np.nan) for name, g in self.groups.items()}
            pairs = zip(made, self._cut(by_weights), strict=True)
            return self._gathered([back(rows) for (_, back), rows in pairs], signs)

        return self._scaled(self._joined([weights for weights, _ in made])), pullback

    def jvp(self, parameters: Parameters, tangents: Parameters) -> Array:
        """Derivative of the weights along ``tangents``, float64; two evolutions an angle.

        Raises
        ------
        ValueError
            The weights are measured: they have no derivative.
        """
        rows = [
            np.stack([push_weights(*chain, *along) for chain, along in circuits])
            for circuits in self._along(parameters, tangents)
        ]
        moved = self._joined(rows)
        return moved if self.scale is None else moved * self.scale

    def hvp(
        self, parameters: Parameters, cotangent: ArrayLike, tangents: Parameters
    ) -> dict[str, Vector]:
        """Derivative of ``pullback(cotangent)`` along ``tangents``; raises as :meth:`jvp`."""
        values = np.asarray(cotangent, dtype=np.float64)
        values = values if self.scale is None else values * self.scale
        turned = []
        pairs = zip(self._along(parameters, tangents), self._cut(values), strict=True)
        for circuits, rows in pairs:
            moves = zip(circuits, rows, strict=True)
            found = [turn_gradient(*chain, row, *along) for (chain, along), row in moves]
            turned.append((np.stack([a for a, _ in found]), np.array([g for _, g in found])))
        signs = np.copysign(1.0, np.asarray(parameters["gamma"], dtype=np.float64))
        return self._gathered(turned, signs)

    def angles(self, number: int, parameters: Parameters) -> Vector:
        """The angles of stack ``number``'s circuits, shape (B, P)."""
        stack = self.stacks[number]
        found: Vector = np.asarray(parameters["angles"], dtype=np.float64)[stack.angles]
        if stack.base is not None:
            found = found + stack.base
        return self._with_offsets(stack, found, parameters)

    def gamma_of(self, number: int, parameters: Parameters) -> Vector:
        """The scale of stack ``number``'s circuits, shape (B,)."""
        given = np.asarray(parameters["gamma"], dtype=np.float64)
        usable = np.array([usable_gamma(value) for value in given])
        return usable[self._of(self.stacks[number])]

    def _with_offsets(self, stack: Stack, angles: Vector, parameters: Parameters) -> Vector:
        if stack.offsets is None:
            return angles
        own = np.asarray(parameters["offsets"], dtype=np.float64).reshape(-1, self.offset)
        angles[np.arange(len(angles))[:, None], stack.offsets] += own[stack.numbers]
        return angles

    def _of(self, stack: Stack) -> NDArray[np.intp]:
        """Which gamma each circuit takes."""
        return stack.numbers if self.gammas == "each" else np.zeros_like(stack.numbers)

    def _chain(self, number: int, parameters: Parameters, draw: int) -> tuple[Any, ...]:
        stack = self.stacks[number]
        seed = None
        if self.shots is not None:
            seed = derived_seed(derived_seed(self.seed, draw), number)
        angles, gamma = self.angles(number, parameters), self.gamma_of(number, parameters)
        return stack.ansatz, angles, stack.weight_map, gamma, self.shots, seed

    def _along(self, parameters: Parameters, tangents: Parameters) -> list[_Moves]:
        if self.shots is not None:
            raise ValueError(f"`shots` is {self.shots}; measured weights have no such derivative")
        signs = np.copysign(1.0, np.asarray(parameters["gamma"], dtype=np.float64))
        by_gamma = signs * np.asarray(tangents["gamma"], dtype=np.float64)
        found: list[_Moves] = []
        for number, stack in enumerate(self.stacks):
            moved: Vector = np.asarray(tangents["angles"], dtype=np.float64)[stack.angles]
            moved = self._with_offsets(stack, moved, tangents)
            rows = zip(
                self.angles(number, parameters),
                self.gamma_of(number, parameters),
                moved,
                by_gamma[self._of(stack)],
                strict=True,
            )
            own = (stack.ansatz, stack.weight_map)
            found.append([((*own, a, float(gamma)), (da, float(by))) for a, gamma, da, by in rows])
        return found

    def _joined(self, made: Sequence[Array]) -> Array:
        """The stacks' weights, shapes (B, size), in one vector."""
        if len(made) == 1:
            return made[0].reshape(-1)[: self.num_weights]
        flat = np.empty(sum(self.sizes), dtype=made[0].dtype)
        for stack, rows in zip(self.stacks, made, strict=True):
            for start, row in zip(stack.weights, rows, strict=True):
                flat[start : start + len(row)] = row
        return flat[: self.num_weights]

    def _cut(self, by_weights: Array) -> list[Array]:
        """The way back through :meth:`_joined`; the surplus has no gradient."""
        flat = by_weights
        surplus = sum(self.sizes) - self.num_weights
        if surplus:
            flat = np.concatenate([by_weights, np.zeros(surplus, dtype=by_weights.dtype)])
        if len(self.stacks) == 1:
            return [flat.reshape(len(self.sizes), -1)]
        return [
            np.stack(
                [flat[start : start + stack.weight_map.num_weights] for start in stack.weights]
            )
            for stack in self.stacks
        ]

    def _gathered(self, found: Sequence[tuple[Any, Any]], signs: Vector) -> dict[str, Vector]:
        """The groups' gradients, from those by every stack's angles and gammas."""
        by = {name: np.zeros(len(group.start)) for name, group in self.groups.items()}
        for stack, (by_angles, by_gamma) in zip(self.stacks, found, strict=True):
            rows = np.asarray(by_angles, dtype=np.float64)
            if self.shared:
                by["angles"][stack.angles[0]] += rows.sum(axis=0)
            else:
                by["angles"][stack.angles] = rows
            if stack.offsets is not None:
                moved = by["offsets"].reshape(-1, self.offset)
                moved[stack.numbers] = np.take_along_axis(rows, stack.offsets, axis=1)
            gammas = np.asarray(by_gamma, dtype=np.float64)
            if self.gammas == "each":
                by["gamma"][stack.numbers] = gammas
            else:
                by["gamma"] += gammas.sum()
        by["gamma"] *= signs
        return by

    def _scaled(self, values: Array) -> Array:
        return values if self._scale is None else values * self._scale

    def told(self) -> list[tuple[int, int, int, int]]:
        """Of each run of circuits of one size: size, number, qubits, and numbers of their own."""
        found = []
        for size, run in groupby(self.sizes):
            ansatz = next(s.ansatz for s in self.stacks if s.weight_map.num_weights == size)
            own = self.offset if self.shared else ansatz.num_parameters
            many = len(list(run))
            found.append((size, many, ansatz.num_qubits, many * own))
        return found

    def describe(self) -> Description:
        """Seeds and settings; arrays only where no seed makes them."""
        packed, arrays = packed_scale(self.scale)
        named = self.entanglement
        settings = {
            "kind": "circuits",
            "sizes": [[size, len(list(same))] for size, same in groupby(self.sizes)],
            "num_weights": self.num_weights,
            "scale": packed,
            "entanglement": named if isinstance(named, str) else [list(pair) for pair in named],
            **{name: getattr(self, name) for name in _PLAIN},
            "dtype": self.dtype.name,
        }
        return Description(settings, arrays)

    @classmethod
    def sizes_of(cls, description: Description) -> tuple[int, dict[str, int]]:
        """See :func:`qnnw.weights.source.sizes_of`."""
        settings = description.settings
        qubits = [(max(1, (size - 1).bit_length()), n) for size, n in settings["sizes"]]
        each, many = 2 * (settings["reps"] + 1), sum(n for _, n in qubits)
        of_all = (
            sum({n for n, _ in qubits}) if settings["shared"] else sum(n * b for n, b in qubits)
        )
        found = {"angles": each * of_all}
        if settings["offset"]:
            found["offsets"] = settings["offset"] * many
        return settings["num_weights"], {
            **found,
            "gamma": many if settings["gammas"] == "each" else 1,
        }

    @classmethod
    def from_description(cls, description: Description) -> CircuitsSource:
        """Rebuild what :meth:`describe` gave; raises KeyError, TypeError or ValueError."""
        settings = description.settings
        many = integer("num_weights", settings["num_weights"], 1)
        if sum(integer("sizes", size, 1) * n for size, n in settings["sizes"]) > 2 * many:
            raise ValueError(f"`sizes` are {settings['sizes']}, for {many} weights")
        return cls(
            [size for size, n in settings["sizes"] for _ in range(n)],
            many,
            scale=scale_from(settings["scale"], description.arrays, many),
            **{name: settings[name] for name in (*_PLAIN, "entanglement", "dtype")},
        )

    def __repr__(self) -> str:
        qubits = sorted({stack.ansatz.num_qubits for stack in self.stacks})
        span = str(qubits[0]) if len(qubits) == 1 else f"{qubits[0]} to {qubits[-1]}"
        many = sum(len(group.start) for group in self.groups.values())
        return (
            f"{self.num_weights} weights from {many} numbers: {len(self.sizes)} circuits of {span} "
            f"qubits, reps={self.reps}, shared={self.shared}, mapping={self.mapping!r}"
        )


_PLAIN = (
    "reps", "signs", "mapping", "gamma", "gammas", "shared", "offset", "shots", "seed",
)  # fmt: skip

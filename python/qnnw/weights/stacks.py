"""Circuits of one size as one batch, and where their angles lie among a source's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qnnw._common.checks import integer
from qnnw._common.seeds import derived_seed
from qnnw.circuit.ansatz import EfficientSU2
from qnnw.circuit.ansatz import Pairs as _Pairs
from qnnw.weights.mapping import WeightMap

Vector = NDArray[np.float64]
Places = NDArray[np.intp]
# Derived seeds of the offsets' places start here; those of the circuits' angles at 0.
PLACES = 1 << 41


def chunk_sizes(num_weights: int, num_qubits: int) -> list[int]:
    """Sizes of the fewest equal chunks of at most 2^num_qubits weights; the last has a surplus.

    All are of one size, so that one call evolves them: together they have fewer than their number
    more than ``num_weights``, which nobody takes.
    """
    most = 1 << integer("num_qubits", num_qubits, 1, 32)
    count = -(-integer("num_weights", num_weights, 1) // most)
    return [-(-num_weights // count)] * count


@dataclass(frozen=True)
class Stack:
    """Circuits of one size: what one call evolves.

    Attributes
    ----------
    ansatz, weight_map
        Of all of them.
    numbers
        Which of the source's circuits they are, increasing.
    weights
        The place of each one's first weight.
    angles
        The places of their angles among the source's, shape (B, P); all rows are the same where
        the angles are shared.
    base
        What is added to the angles, shape (B, P); ``None``: nothing.
    offsets
        The angles that each one's offsets move, shape (B, offset); ``None``: none.
    """

    ansatz: EfficientSU2
    weight_map: WeightMap
    numbers: NDArray[np.intp]
    weights: NDArray[np.intp]
    angles: NDArray[np.intp]
    base: Vector | None
    offsets: NDArray[np.intp] | None


def stacked(
    sizes: Sequence[int], reps: int, entanglement: str | _Pairs, signs: str, mapping: str,
    shared: bool, offset: int, seed: int,
) -> tuple[Stack, ...]:  # fmt: skip
    """The circuits by size; arguments as of :class:`qnnw.weights.circuits.CircuitsSource`."""
    maps = {size: WeightMap(size, seed, signs, mapping) for size in sorted(set(sizes))}
    ansatzes: dict[int, EfficientSU2] = {}
    for weight_map in maps.values():
        qubits = weight_map.num_qubits
        ansatzes.setdefault(qubits, EfficientSU2(qubits, reps, entanglement))
    own = [maps[size].num_qubits for size in sizes]
    places: Sequence[int] = _starts([ansatzes[qubits].num_parameters for qubits in own])
    if shared:
        first = _starts([ansatz.num_parameters for ansatz in ansatzes.values()])
        of_qubits = dict(zip(ansatzes, first, strict=True))
        places = [of_qubits[qubits] for qubits in own]
    weights = np.array(_starts(sizes))
    found = []
    for size, weight_map in maps.items():
        ansatz = ansatzes[weight_map.num_qubits]
        numbers = np.flatnonzero(np.array(sizes) == size)
        angles = np.array(places)[numbers, None] + np.arange(ansatz.num_parameters)
        base = drawn_angles(ansatz, seed, numbers) if shared else None
        offsets = None
        live = len(ansatz.live_angles)
        if offset > live:
            raise ValueError(
                f"`offset` is {offset}; a circuit of {ansatz.num_qubits} qubits has {live} angles "
                "that can change its weights"
            )
        if offset:
            # The order of uniform numbers: the same in every version of NumPy.
            uniform = drawn_angles(ansatz, seed, PLACES + numbers)[:, :live]
            offsets = np.sort(np.argsort(uniform, axis=1, kind="stable")[:, :offset])
        found.append(Stack(ansatz, weight_map, numbers, weights[numbers], angles, base, offsets))
    return tuple(found)


def _starts(lengths: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(lengths[:-1]).tolist()] if len(lengths) > 1 else [0]


def drawn_angles(ansatz: EfficientSU2, seed: int, numbers: Places) -> Vector:
    """Angles of these circuits from the seed, shape (B, P)."""
    return np.stack([ansatz.random_angles(derived_seed(seed, int(k))) for k in numbers])

"""What sources say of themselves in a file: circuits, maps and scales as JSON and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qnnw._common.checks import integer
from qnnw.circuit import Ansatz, Circuit, EfficientSU2
from qnnw.weights.mapping import WeightMap

#: The map that trains best (docs/results.md): everybody's default.
BEST: dict[str, Any] = {"mapping": "centered", "scale": "fan_in", "gamma": 1.2}
#: The word for a gamma of every tensor's own.
PER_TENSOR = "per_tensor"
#: The paper's (Liu et al. 2024).
PAPER: dict[str, Any] = {"mapping": "paper", "scale": "none", "gamma": 0.3}
#: The learned maps: see :func:`qnnw.weights.learned_maps.named_map`.
LEARNED = ("affine", "mlp", "qpa", "qpa-relu", "mps")

Arrays = Mapping[str, NDArray[Any]]
# A scale with more different stretches than this is an array of its own.
MOST_STRETCHES = 4096


def per_weight(scale: ArrayLike | None, num_weights: int) -> NDArray[np.float64] | None:
    """A scale as a read-only vector, checked."""
    if scale is None:
        return None
    array = np.array(scale, dtype=np.float64)
    if array.shape != (num_weights,):
        raise ValueError(f"`scale` has shape {array.shape}; it must be ({num_weights},)")
    if not np.isfinite(array).all():
        raise ValueError("`scale` has NaN or infinity; every entry must be finite")
    array.flags.writeable = False
    return array


def ansatz_settings(ansatz: Ansatz) -> dict[str, Any]:
    """A circuit as JSON."""
    if isinstance(ansatz, Circuit):
        return ansatz.describe()
    entanglement = ansatz.entanglement
    named = entanglement if isinstance(entanglement, str) else [list(pair) for pair in entanglement]
    return {"num_qubits": ansatz.num_qubits, "reps": ansatz.reps, "entanglement": named}


def ansatz_from(settings: Mapping[str, Any]) -> Ansatz:
    """The circuit again."""
    if "gates" in settings:
        return Circuit.from_description(settings)
    return EfficientSU2(settings["num_qubits"], settings["reps"], settings["entanglement"])


def described_map(weight_map: WeightMap) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """A map as JSON; its arrays only where no seed makes them."""
    settings = {"num_weights": weight_map.num_weights, "mapping": weight_map.mapping}
    if weight_map.origin is not None:
        seed, signs = weight_map.origin
        return {**settings, "seed": seed, "signs": signs}, {}
    arrays = {
        "map.first": weight_map.first.astype(np.uint32),
        "map.second": weight_map.second.astype(np.uint32),
        "map.signs": weight_map.signs.copy(),
    }
    if weight_map.basis_signs is not None:
        arrays["map.basis_signs"] = weight_map.basis_signs.copy()
    return settings, arrays


def size_of_map(settings: Mapping[str, Any], arrays: Arrays) -> int:
    """How many weights it has, before it is drawn."""
    size = integer("num_weights", settings["num_weights"], 1)
    if "seed" not in settings and arrays["map.first"].shape != (size,):
        raise ValueError(f"`map` has arrays of shape {arrays['map.first'].shape}, not ({size},)")
    return size


def map_from(settings: Mapping[str, Any], arrays: Arrays) -> WeightMap:
    """The map again."""
    if "seed" in settings:
        return WeightMap(
            settings["num_weights"], settings["seed"], settings["signs"], settings["mapping"]
        )
    return WeightMap.from_arrays(
        arrays["map.first"].astype(np.int64),
        arrays["map.second"].astype(np.int64),
        arrays["map.signs"],
        settings["mapping"],
        arrays.get("map.basis_signs"),
    )


def packed_scale(
    scale: NDArray[np.float64] | None,
) -> tuple[list[list[float]] | str | None, dict[str, NDArray[Any]]]:
    """A scale as stretches [factor, length], one a target; else as an array."""
    if scale is None:
        return None, {}
    starts = np.concatenate([[0], np.flatnonzero(np.diff(scale)) + 1, [len(scale)]])
    if len(starts) > MOST_STRETCHES:
        return "array", {"scale": np.asarray(scale)}
    lengths = np.diff(starts).tolist()
    factors = scale[starts[:-1]].tolist()
    return [[factor, length] for factor, length in zip(factors, lengths, strict=True)], {}


def scale_from(packed: Any, arrays: Arrays, num_weights: int) -> NDArray[np.float64] | None:
    """The scale again; its length is checked before it is made."""
    if packed is None:
        return None
    if packed == "array":
        return np.asarray(arrays["scale"], dtype=np.float64)
    lengths = [int(length) for _, length in packed]
    if min(lengths) < 1 or sum(lengths) != num_weights:
        raise ValueError(f"`scale` is for {sum(lengths)} weights; there are {num_weights}")
    return np.repeat(np.array([float(factor) for factor, _ in packed]), lengths)

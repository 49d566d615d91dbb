"""What earlier releases saved, in today's form: their files are read for ever."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

#: Of 0.1: a circuit and its map, angles and a gamma without an axis.
FORMAT = 1


def upgraded(
    tensors: dict[str, Tensor], description: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A file of format 1 as one of format 2; raises KeyError, TypeError or ValueError."""
    numbers = {
        "angles": tensors.pop("angles"),
        "gamma": tensors.pop("gamma").reshape(1),
    }
    weight_map, made_by = dict(description["map"]), description["map_source"]
    if made_by is not None:
        weight_map |= {"seed": made_by["seed"], "signs": made_by["signs"]}
    arrays = {
        f"source.{name}": tensors.pop(name)
        for name in ("map.first", "map.second", "map.signs")
        if name in tensors
    }
    lengths = [int(np.prod(target["shape"])) for target in description["targets"]]
    scale = [[factor, n] for factor, n in zip(description["scale"], lengths, strict=True)]
    source = {
        "kind": "circuit",
        "circuit": description["circuit"],
        "map": weight_map,
        "gamma": 1.0,
        "scale": None if all(factor == 1.0 for factor, _ in scale) else scale,
        "shots": description["shots"],
        "seed": description["shots_seed"],
        "dtype": "float64",
    }
    kept = {"targets", "draws", "weights_sha256"}
    told = {name: value for name, value in description.items() if name in kept}
    return {**tensors, **numbers, **arrays}, {
        **told,
        "format": 2,
        "source": source,
        "frozen_sha256": None,
    }

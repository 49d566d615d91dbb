"""Samples with weights: repeated ones and weighted ones are the same training set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def merged(
    features: Array, targets: Array, weights: NDArray[np.float64] | None
) -> tuple[Array, Array, NDArray[np.float64] | None]:
    """Every different sample once, with the sum of its weights, in an order of their own.

    A weight of k is then k times the sample, bit for bit, and 0 is none; training does not see the
    difference. Samples that are all different and have no weights are left as they are.

    Parameters
    ----------
    features
        Shape (n, n_features).
    targets
        Shape (n,) or (n, k).
    weights
        Shape (n,), not negative and not all 0; ``None`` is 1.
    """
    if weights is not None:
        kept = weights > 0
        features, targets, weights = features[kept], targets[kept], weights[kept]
    axis = 0 if targets.ndim > 1 else None
    codes = np.unique(targets, return_inverse=True, axis=axis)[1].reshape(-1)
    rows = np.ascontiguousarray(features)
    keys = [row.tobytes() + code.tobytes() for row, code in zip(rows, codes, strict=True)]
    first: dict[bytes, int] = {}
    for number, key in enumerate(keys):
        first.setdefault(key, number)
    if weights is None and len(first) == len(keys):
        return features, targets, None
    order = sorted(first)
    places = {key: place for place, key in enumerate(order)}
    groups = np.array([places[key] for key in keys])
    sums = np.bincount(groups, weights=weights, minlength=len(order)).astype(np.float64)
    chosen = np.array([first[key] for key in order])
    return features[chosen], targets[chosen], sums

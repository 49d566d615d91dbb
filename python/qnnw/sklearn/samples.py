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
    # As objects: NumPy's own strings of bytes have no zeros at their end.
    _, first, groups = np.unique(np.array(keys, object), return_index=True, return_inverse=True)
    if weights is None and len(first) == len(keys):
        return features, targets, None
    sums = np.bincount(groups, weights=weights, minlength=len(first)).astype(np.float64)
    return features[first], targets[first], sums

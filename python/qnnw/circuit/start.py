"""Where training starts: rules for the angles of a circuit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.checks import one_of, real

__all__ = ["NEAR_IDENTITY", "checked_start", "start_angles"]

#: Standard deviation of ``"near_identity"``, in radians.
NEAR_IDENTITY = 0.01


def checked_start(initial: Any) -> str | float:
    """``"uniform"``, ``"near_identity"``, or a standard deviation > 0."""
    if isinstance(initial, str):
        return one_of("initial", initial, ["uniform", "near_identity"])
    return real("initial", initial, above=0)


def start_angles(count: int, initial: str | float, seed: int) -> NDArray[np.float64]:
    """``count`` angles by the rule, from raw words of PCG64, which no version of NumPy changes."""
    words = np.random.PCG64(seed).random_raw(2 * count).reshape(2, count)
    uniform = (words >> np.uint64(11)) * 2.0**-53
    if initial == "uniform":
        turns: NDArray[np.float64] = 2 * math.pi * uniform[0]
        return turns
    sigma = NEAR_IDENTITY if initial == "near_identity" else float(initial)
    radius: NDArray[np.float64] = np.sqrt(-2 * np.log1p(-uniform[0]))
    drawn: NDArray[np.float64] = sigma * radius * np.cos(2 * math.pi * uniform[1])
    return drawn

"""The two precisions of the core."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike


def is_single(dtype: DTypeLike) -> bool:
    """Whether ``dtype`` is single precision; double otherwise."""
    if dtype is np.float64:
        return False
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError):
        raise TypeError(f"`dtype` is {dtype!r}; it must be float32 or float64") from None
    if found == np.float32:
        return True
    if found == np.float64 and dtype is not None:
        return False
    raise TypeError(f"`dtype` is {dtype!r}; it must be float32 or float64")

"""Finite shots: counts drawn from probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

import qnnw._core as _core
from qnnw._common.checks import integer
from qnnw._common.seeds import Seed, seed_to_int


def sample_counts(probabilities: ArrayLike, shots: int, seed: Seed) -> NDArray[np.int64]:
    """Draw measurement outcomes: an exact multinomial sample.

    Parameters
    ----------
    probabilities
        Real numbers >= 0, shape (K,) or (B, K), for any K >= 1; each row is normalised by its
        sum, which is 1 within 1e-6; within 1e-4 where they are an array of float32, as
        ``probabilities(dtype=float32)`` gives, whose every rotation rounds.
    shots
        Number of outcomes per row, from 1 to 2**40.
    seed
        An integer from 0 to 2**64 - 1, or a ``numpy.random.Generator``. The same integer gives the
        same counts for any number of threads, on every platform and in every release. Rows of a
        batch are independent, and row b depends on nothing but its probabilities, the seed and b.

    Returns
    -------
    ndarray of int64, shape (K,) or (B, K)
        Each row sums to ``shots`` exactly.

    Raises
    ------
    TypeError
        An argument is of the wrong kind.
    ValueError
        A shape is wrong, an entry is negative, NaN or infinite, a row does not sum to 1, or
        ``shots`` is out of range.
    """
    return _core.sample_counts(probabilities, integer("shots", shots), seed_to_int(seed))

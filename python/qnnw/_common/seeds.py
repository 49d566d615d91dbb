"""Seeds: integers, or a generator that gives one."""

from __future__ import annotations

import numpy as np

Seed = int | np.random.Generator


def seed_to_int(seed: Seed) -> int:
    """Return the seed itself, or a seed drawn from a generator.

    Parameters
    ----------
    seed
        An integer from 0 to 2**64 - 1 (checked where it is used), or a ``numpy.random.Generator``,
        which is advanced by one draw.
    """
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(1 << 63))
    return seed


def derived_seed(seed: int, index: int) -> int:
    """Seed number ``index`` of the independent seeds that belong to ``seed``."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(index,))
    return int(sequence.generate_state(1, np.uint64)[0])

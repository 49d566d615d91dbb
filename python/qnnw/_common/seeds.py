"""Seeds: integers, or a generator that gives one."""

from __future__ import annotations

import numpy as np

from qnnw._common.checks import integer

Seed = int | np.random.Generator

LARGEST = 2**64 - 1


def seed_to_int(seed: Seed, name: str = "seed") -> int:
    """Return the seed itself as Python's integer, or a seed drawn from a generator.

    Parameters
    ----------
    seed
        An integer from 0 to 2**64 - 1, or a ``numpy.random.Generator``, which is advanced by one
        draw.
    name
        The argument's name.

    Raises
    ------
    TypeError, ValueError
        It is neither, or out of range.
    """
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(1 << 63))
    return integer(name, seed, 0, LARGEST)


def derived_seed(seed: int, index: int) -> int:
    """Seed number ``index`` of the independent seeds that belong to ``seed``."""
    sequence = np.random.SeedSequence(entropy=integer("seed", seed, 0, LARGEST), spawn_key=(index,))
    return int(sequence.generate_state(1, np.uint64)[0])

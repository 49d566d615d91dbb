"""Learning rates over a run."""

from __future__ import annotations

import math

__all__ = ["one_cycle"]


def one_cycle(share: float, warmup: float) -> float:
    """The learning rate at ``share`` of the run, relative to its peak.

    A cosine from 1/25 up to 1 at ``warmup``, then one down to 0 (Smith and Topin 2018).

    Parameters
    ----------
    share
        How much of the run is over, from 0 to 1.
    warmup
        Share of the run at which the peak is reached, from 0 to below 1.
    """
    if share < warmup:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * share / warmup)) / 2
    return (1 + math.cos(math.pi * (share - warmup) / (1 - warmup))) / 2

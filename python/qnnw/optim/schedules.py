"""Learning rates over a run."""

from __future__ import annotations


def one_cycle(share: float, warmup: float) -> float:
    """The learning rate at ``share`` of the run, relative to its peak.

    From 1/25 in a straight line up to 1 at ``warmup``, then down to 0 as the square of what is left
    of the run: one cycle in the manner of Smith and Topin (2018), whose way down is steeper at
    first, so that a run is useful long before its end.

    Parameters
    ----------
    share
        How much of the run is over, from 0 to 1.
    warmup
        Share of the run at which the peak is reached, from 0 to below 1.
    """
    if share < warmup:
        return 0.04 + 0.96 * share / warmup
    return ((1 - share) / (1 - warmup)) ** 2

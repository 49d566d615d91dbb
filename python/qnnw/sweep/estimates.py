"""How long a sweep will take, from some work of each kind of its trials, timed now."""

from __future__ import annotations

from collections.abc import Iterable

from qnnw.sweep.ledger import SweepFolder, Trial
from qnnw.training.config import TrainConfig
from qnnw.training.runs import make_trainer

__all__ = ["estimated_seconds", "seconds_of", "work_left"]

# What two runs may differ in and still take the same time.
ANY_PACE = ("seed", "lr")


def estimated_seconds(folder: SweepFolder, capacity: int, threads: int = 1) -> float:
    """Seconds for the trials that are not finished, ``capacity`` of them side by side.

    One trial of each kind, the seeds aside, is set up, and its work timed on its ``threads``;
    what others have already done of theirs is taken off.
    """
    return seconds_of(work_left(folder), capacity, threads)


def work_left(folder: SweepFolder) -> list[tuple[Trial, float]]:
    """The trials that wait or run, and how much of each is left: from 0 to 1."""
    states = folder.states()
    return [
        (trial, 1.0 - folder.share_done(trial))
        for trial in folder.trials
        if states[trial.name].status == "waiting"
    ]


def seconds_of(
    work: Iterable[tuple[Trial, float]],
    capacity: int,
    threads: int = 1,
    alike: tuple[str, ...] = (),
) -> float:
    """Seconds for so much of these trials.

    Parameters
    ----------
    work
        As :func:`work_left` gives it, of one sweep or of several.
    capacity, threads
        As for :func:`estimated_seconds`.
    alike
        Settings, besides seed and learning rate, of which the time does not depend: trials that
        differ in nothing else are of one kind, of which one is timed.
    """
    pace: dict[str, float] = {}
    seconds, longest = 0.0, 0.0
    for trial, share in work:
        ignored = (*ANY_PACE, *alike)
        key = repr({name: value for name, value in trial.config.items() if name not in ignored})
        if key not in pace:
            pace[key] = _whole_run(trial, threads)
        needed = pace[key] * share
        seconds += needed
        longest = max(longest, needed)
    return max(longest, seconds / capacity)


def _whole_run(trial: Trial, threads: int) -> float:
    trainer = make_trainer(TrainConfig.from_dict({**trial.config, "threads": threads}))
    try:
        return trainer.seconds_left()
    finally:
        trainer.close()

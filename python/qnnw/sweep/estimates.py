"""How long a sweep will take, from some work of each kind of its trials, timed now."""

from __future__ import annotations

from qnnw.sweep.ledger import SweepFolder, Trial
from qnnw.training.config import TrainConfig
from qnnw.training.runs import make_trainer

__all__ = ["estimated_seconds"]


def estimated_seconds(folder: SweepFolder, capacity: int, threads: int = 1) -> float:
    """Seconds for the trials that are not finished, ``capacity`` of them side by side.

    One trial of each kind, the seeds aside, is set up, and its work timed on its ``threads``;
    what others have already done of theirs is taken off.
    """
    states = folder.states()
    pace: dict[str, float] = {}
    seconds, longest = 0.0, 0.0
    for trial in folder.trials:
        if states[trial.name].status != "waiting":
            continue
        key = repr({name: value for name, value in trial.axes.items() if name != "seed"})
        if key not in pace:
            pace[key] = _whole_run(trial, threads)
        needed = pace[key] * (1.0 - folder.share_done(trial))
        seconds += needed
        longest = max(longest, needed)
    return max(longest, seconds / capacity)


def _whole_run(trial: Trial, threads: int) -> float:
    trainer = make_trainer(TrainConfig.from_dict({**trial.config, "threads": threads}))
    try:
        return trainer.seconds_left()
    finally:
        trainer.close()

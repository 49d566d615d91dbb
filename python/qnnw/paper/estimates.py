"""How long trials will take, from some work of each kind of them, timed now."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

from qnnw.sweep.ledger import SweepFolder, Trial
from qnnw.training.config import TrainConfig
from qnnw.training.runs import make_trainer

# What two runs may differ in and still take the same time.
ANY_PACE = ("seed", "lr")


def work_left(folder: SweepFolder) -> list[tuple[Trial, float]]:
    """The trials that wait or run, and how much of each is left: from 0 to 1."""
    states = folder.states()
    waiting = [trial for trial in folder.trials if states[trial.name].status == "waiting"]
    return [(trial, 1.0 - folder.share_done(trial)) for trial in waiting]


def seconds_of(
    work: Iterable[tuple[Trial, float]],
    capacity: int,
    threads: int = 1,
    alike: tuple[str, ...] = (),
) -> float:
    """Seconds for so much of these trials, ``capacity`` of them side by side on their ``threads``.

    ``alike`` are settings, besides seed and learning rate, of which the time does not depend:
    trials that differ in nothing else are of one kind, of which one is timed.
    """
    pace: dict[str, float] = {}
    needed = []
    for trial, share in work:
        ignored = (*ANY_PACE, *alike)
        key = repr({name: value for name, value in trial.config.items() if name not in ignored})
        if key not in pace:
            pace[key] = _whole_run(trial, threads)
        needed.append(pace[key] * share)
    return max([sum(needed) / capacity, *needed])


def _whole_run(trial: Trial, threads: int) -> float:
    config = TrainConfig.from_dict({**trial.config, "threads": threads})
    with closing(make_trainer(config)) as trainer:
        return trainer.seconds_left()

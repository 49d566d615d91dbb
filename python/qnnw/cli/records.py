"""``qnnw paper records``: the search of learning rates, and the record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qnnw.paper.rates import rates_of
from qnnw.paper.records import SEARCH, Selection, about_records, record_trials, search_trials
from qnnw.sweep.ledger import SweepFolder, Trial

Work = list[tuple[Trial, float]]
States = dict[str, Any]

#: Settings of a record that its time does not depend on: both data sets have as many images of one
#: size and one network, and a search holds few of them out.
ALIKE = ("dataset", "validation_samples")


def selected(datasets: str | None, counts: str | None, contenders: str | None) -> Selection:
    """The part of the record that three lists with commas name; ``None``: all.

    Raises
    ------
    ValueError
        A list has something that there is not.
    """
    given = {"datasets": datasets, "counts": counts, "contenders": contenders}
    lists: dict[str, Any] = {
        name: [piece.strip() for piece in text.split(",") if piece.strip()]
        for name, text in given.items()
        if text is not None
    }
    if "counts" in lists:
        told = ",".join(lists["counts"])
        need = "it must be whole numbers, like 52,130"
        try:
            lists["counts"] = [int(piece) for piece in lists["counts"]]
        except ValueError:
            raise ValueError(f"`counts` is {told!r}; {need}") from None
    return Selection(**lists)


def run_records(
    path: Path,
    selection: Selection,
    budget: str,
    seeds: int | None,
    search: bool | None,
    run: Callable[[SweepFolder], States],
    announce: Callable[[SweepFolder, Work], None] | None = None,
    **place: Any,
) -> States:
    """Search learning rates and run the record, or go on with them.

    Parameters
    ----------
    path
        The record's folder; the search's is in it.
    selection, budget, seeds, place
        As for :func:`qnnw.paper.records.record_trials`.
    search
        ``True``: the search alone; ``False``: the record alone, by the search that is there, and
        with the contenders' own rates where it has none; ``None``: both.
    run
        Runs what is left of a sweep; gives what has become of its trials.
    announce
        Told of the first sweep and of all the work that is left, before any is begun.
    """
    from qnnw.paper.estimates import work_left

    # Checked before anything is run; the search changes nothing but the rates.
    record = record_trials(selection, budget, seeds, **place)
    states: States = {}
    if search is not False:
        trials = search_trials(selection, budget, **place)
        about = about_records(budget, "records-search")
        folder = SweepFolder.create(path / SEARCH, trials, about, extend=True)
        if announce is not None:
            announce(folder, work_left(folder) + ([] if search else _left_at(path, record)))
        states |= run(folder)
    if search is not True:
        rates = rates_of(path, selection)
        trials = record_trials(selection, budget, seeds, rates, **place)
        folder = SweepFolder.create(path, trials, about_records(budget), extend=True)
        if announce is not None and search is False:
            announce(folder, work_left(folder))
        states |= run(folder)
    return states


def _left_at(path: Path, trials: list[Trial]) -> Work:
    """What is left of a sweep that may be there, and of trials that it may lack."""
    from qnnw.paper.estimates import work_left

    if not (path / "sweep.json").is_file():
        return [(trial, 1.0) for trial in trials]
    folder = SweepFolder(path)
    there = {trial.name for trial in folder.trials}
    return work_left(folder) + [(trial, 1.0) for trial in trials if trial.name not in there]

"""What the search of the record found: the learning rate that is best on held-out images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qnnw.paper.records import SEARCH, Cell, Selection, cell_of
from qnnw.sweep.ledger import SweepFolder, Trial
from qnnw.training.record import RecordError


@dataclass(frozen=True)
class Choice:
    """What a search found.

    Attributes
    ----------
    rate
        The learning rate of the best accuracy on held-out images; of equals the smallest.
    accuracy
        That accuracy, from 0 to 1.
    tried
        All rates with a finished run, in order.
    epochs
        Of each run.
    """

    rate: float
    accuracy: float
    tried: tuple[float, ...]
    epochs: int

    @property
    def at_an_end(self) -> bool:
        """Whether a rate that was not tried, larger or smaller than all, may be better."""
        return self.rate in (self.tried[0], self.tried[-1])


def choices_at(folder: SweepFolder) -> dict[Cell, Choice | None]:
    """What a search found, cell by cell; ``None`` where runs of it are left, or all failed.

    Raises
    ------
    qnnw.training.record.RecordError
        It was not measured on held-out images: a test set chooses nothing.
    """
    states = folder.states()
    ended: dict[Cell, list[tuple[float, Trial]]] = {}
    open_cells = set()
    for trial in folder.trials:
        if trial.config.get("validation_samples") is None:
            raise RecordError(
                f"{trial.name!r} in {str(folder.path)!r} was measured on the test set; a search "
                "needs `validation_samples`"
            )
        cell, state = cell_of(trial.axes), states[trial.name]
        found = ended.setdefault(cell, [])
        if state.result is not None:
            found.append((float(state.result["test_accuracy"]), trial))
        elif state.status == "waiting":
            open_cells.add(cell)
    return {
        cell: None if cell in open_cells or not found else _best(found)
        for cell, found in ended.items()
    }


def _best(found: list[tuple[float, Trial]]) -> Choice:
    accuracy, best = max(found, key=lambda one: (one[0], -one[1].axes["lr"]))
    tried = tuple(sorted(trial.axes["lr"] for _, trial in found))
    return Choice(best.axes["lr"], accuracy, tried, best.rounds)


def rates_of(path: Path, selection: Selection) -> dict[Cell, float]:
    """The learning rates that the search in a record's folder chose.

    Cells that it has not searched are left out.

    Raises
    ------
    qnnw.training.record.RecordError
        The search of a cell is not finished, or all of its runs failed; the message names it.
    """
    if not (path / SEARCH / "sweep.json").is_file():
        return {}
    choices = choices_at(SweepFolder(path / SEARCH))
    rates = {}
    for cell in selection.cells():
        if cell not in choices:
            continue
        choice = choices[cell]
        if choice is None:
            dataset, name, count = cell
            place = dataset if count is None else f"{dataset} at {count}"
            raise RecordError(
                f"the search of {name!r} on {place} has no choice yet: runs of it in "
                f"{str(path / SEARCH)!r} are left or all have failed; finish it with --search"
            )
        rates[cell] = choice.rate
    return rates

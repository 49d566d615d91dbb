"""Tables of a sweep: a line a trial, and means and deviations over the seeds. No torch here."""

from __future__ import annotations

import csv
import io
import statistics
from dataclasses import dataclass
from typing import Any

from qnnw.sweep.ledger import SweepFolder, Trial, TrialState
from qnnw.training.legacy import num_trained
from qnnw.training.tasks import SPLITS, Task, task_of

__all__ = ["Group", "grouped", "heads_of", "measured", "task_among", "write_tables"]


@dataclass(frozen=True)
class Group:
    """The trials of one place in the grid, over its seeds.

    Attributes
    ----------
    place
        The values of what the grid varies but the seed.
    results
        Those of the finished trials, in the order of the grid.
    trials
        How many there are, finished or not.
    """

    place: dict[str, Any]
    results: tuple[dict[str, Any], ...]
    trials: int

    def values(self, measure: str) -> list[float]:
        """A measure of every finished trial."""
        return [float(result[measure]) for result in self.results]

    def has(self, measure: str) -> bool:
        """Whether there is a finished trial, and all of them have the measure."""
        return bool(self.results) and all(measure in result for result in self.results)

    def mean(self, measure: str) -> float:
        """Mean over the finished trials, of which there must be one."""
        return statistics.mean(self.values(measure))

    def deviation(self, measure: str) -> float | None:
        """Standard deviation over the finished trials; ``None`` for fewer than two."""
        values = self.values(measure)
        return statistics.stdev(values) if len(values) > 1 else None


def grouped(folder: SweepFolder, states: dict[str, TrialState]) -> list[Group]:
    """The sweep's trials by their place in the grid, in its order."""
    places: dict[str, tuple[dict[str, Any], list[Trial]]] = {}
    for trial in folder.trials:
        place = {name: value for name, value in trial.axes.items() if name != "seed"}
        places.setdefault(repr(place), (place, []))[1].append(trial)
    groups = []
    for place, trials in places.values():
        found = (states[trial.name].result for trial in trials)
        results = tuple(result for result in found if result is not None)
        groups.append(Group(place, results, len(trials)))
    return groups


def write_tables(folder: SweepFolder, states: dict[str, TrialState]) -> str:
    """Write ``results.csv``, ``table.csv`` and ``table.md``; gives the last one's text."""
    groups = grouped(folder, states)
    task = task_among(groups)
    folder.write("results.csv", _csv(_trial_lines(folder, states, task)))
    folder.write("table.csv", _csv([_group_line(group, task) for group in groups]))
    text = _markdown(groups, task)
    folder.write("table.md", text.encode())
    return text


def task_among(groups: list[Group]) -> Task:
    """The task of the first finished trial: a sweep is shown by the measures of one."""
    return task_of(next((result for group in groups for result in group.results), {}))


def _trial_lines(
    folder: SweepFolder, states: dict[str, TrialState], task: Task
) -> list[dict[str, Any]]:
    lines = []
    for trial in folder.trials:
        state = states[trial.name]
        result = state.result or {}
        trained = num_trained(result) if result else None
        measures = {name: result.get(name) for name in (*task.keys(), "loss", "gamma")}
        line = {"trial": trial.name, **trial.axes, "status": state.status, "num_trained": trained}
        lines.append({**line, **measures, "error": state.error})
    return lines


def _group_line(group: Group, task: Task) -> dict[str, Any]:
    line = {**group.place, "trials": group.trials, "finished": len(group.results)}
    line["num_trained"] = num_trained(group.results[0]) if group.results else None
    for measure in (*task.keys(), "loss"):
        line[f"{measure}_mean"] = group.mean(measure) if group.has(measure) else None
        line[f"{measure}_sd"] = group.deviation(measure) if group.has(measure) else None
    return line


def _csv(lines: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().encode()


def _markdown(groups: list[Group], task: Task) -> str:
    axes = list(groups[0].place) if groups else []
    heads = [*axes, "trained", "runs", *heads_of(task)]
    rows = [heads, ["---"] * len(heads)]
    for group in groups:
        runs = str(len(group.results))
        if len(group.results) < group.trials:
            runs += f" of {group.trials}"
        trained = str(num_trained(group.results[0])) if group.results else ""
        place = ["none" if value is None else str(value) for value in group.place.values()]
        rows.append([*place, trained, runs, *measured(group, task)])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def heads_of(task: Task) -> list[str]:
    """The columns that :func:`measured` fills."""
    heads = [
        f"{split} {measure.unit.strip() or measure.label}"
        for measure in task.measures
        for split in SPLITS
    ]
    return [*heads, "loss"]


def measured(group: Group, task: Task) -> list[str]:
    """Every measure on both splits, and the loss: mean ± deviation, in words."""
    looks = [(measure.times, measure.digits) for measure in task.measures for _ in SPLITS]
    cells = []
    for key, (times, digits) in zip((*task.keys(), "loss"), [*looks, (1, 3)], strict=True):
        if not group.has(key):
            cells.append("")
            continue
        text = f"{times * group.mean(key):.{digits}f}"
        deviation = group.deviation(key)
        cells.append(text if deviation is None else f"{text} ± {times * deviation:.{digits}f}")
    return cells

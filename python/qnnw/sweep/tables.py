"""Tables of a sweep: a line a trial, and means and deviations over the seeds. No torch here."""

from __future__ import annotations

import csv
import io
import statistics
from dataclasses import dataclass
from typing import Any

from qnnw.sweep.ledger import SweepFolder, Trial, TrialState

__all__ = ["Group", "grouped", "measured", "write_tables"]

MEASURES = ("train_accuracy", "test_accuracy", "loss")


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
    lines, groups = _trial_lines(folder, states), grouped(folder, states)
    folder.write("results.csv", _csv(lines))
    folder.write("table.csv", _csv([_group_line(group) for group in groups]))
    text = _markdown(groups)
    folder.write("table.md", text.encode())
    return text


def _trial_lines(folder: SweepFolder, states: dict[str, TrialState]) -> list[dict[str, Any]]:
    lines = []
    for trial in folder.trials:
        state = states[trial.name]
        result = state.result or {}
        measures = {name: result.get(name) for name in ("num_angles", *MEASURES, "gamma")}
        line = {"trial": trial.name, **trial.axes, "status": state.status, **measures}
        lines.append({**line, "error": state.error})
    return lines


def _group_line(group: Group) -> dict[str, Any]:
    line = {**group.place, "trials": group.trials, "finished": len(group.results)}
    line["num_angles"] = group.results[0]["num_angles"] if group.results else None
    for measure in MEASURES:
        line[f"{measure}_mean"] = group.mean(measure) if group.results else None
        line[f"{measure}_sd"] = group.deviation(measure) if group.results else None
    return line


def _csv(lines: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().encode()


def _markdown(groups: list[Group]) -> str:
    axes = list(groups[0].place) if groups else []
    heads = [*axes, "angles", "runs", "train %", "test %", "loss"]
    rows = [heads, ["---"] * len(heads)]
    for group in groups:
        runs = str(len(group.results))
        if len(group.results) < group.trials:
            runs += f" of {group.trials}"
        angles = str(group.results[0]["num_angles"]) if group.results else ""
        measures = measured(group)
        place = ["none" if value is None else str(value) for value in group.place.values()]
        rows.append([*place, angles, runs, *measures])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def measured(group: Group) -> list[str]:
    """Training and test accuracy in percent, and the loss: mean ± deviation, in words."""
    if not group.results:
        return [""] * len(MEASURES)
    cells = []
    for measure, times, digits in zip(MEASURES, (100, 100, 1), (2, 2, 3), strict=True):
        text = f"{times * group.mean(measure):.{digits}f}"
        deviation = group.deviation(measure)
        cells.append(text if deviation is None else f"{text} ± {times * deviation:.{digits}f}")
    return cells

"""Tables of a sweep: a line a trial, and means and deviations over the seeds. No torch here."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qnnw._common.words import markdown
from qnnw.sweep.ledger import SweepFolder, Trial, TrialState
from qnnw.training.legacy import num_trained
from qnnw.training.record import decisive
from qnnw.training.tasks import SPLITS, Task, task_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What a search makes small: the loss on held-out samples, in histories and results.
HELD_OUT = "test_loss"
# How often the best of a search is tested, and what is another's there.
SEEDS = 5
_ANEW = ("format", "dataset", "seed", "validation_samples")


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
        return bool(self.results) and all(r.get(measure) is not None for r in self.results)

    def mean(self, measure: str) -> float:
        """Mean over the finished trials, of which there must be one."""
        return statistics.mean(self.values(measure))

    def shown(self, measure: str, times: float, digits: int) -> str:
        """Mean ± deviation, multiplied by ``times``, in words."""
        text, deviation = f"{times * self.mean(measure):.{digits}f}", self.deviation(measure)
        return text if deviation is None else f"{text} ± {times * deviation:.{digits}f}"

    def deviation(self, measure: str) -> float | None:
        """Standard deviation over the finished trials; ``None`` for fewer than two."""
        values = self.values(measure)
        return statistics.stdev(values) if len(values) > 1 else None


#: How sweeps are shown that are more than a grid, by the ``"figure"`` that their ``about`` names:
#: who makes such sweeps enters them here. A drawing of the sweep and its groups with a finished
#: trial, or ``None`` while there is nothing to draw; a table beside the sweep's, of which the text
#: is given.
DRAWERS: dict[str, Callable[[SweepFolder, list[Group]], Figure | None]] = {}
TABLES: dict[str, Callable[[SweepFolder], str]] = {}


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
    """Write ``results.csv``, ``table.csv`` and ``table.md``; gives the last one's text.

    A search's tables have what came through, the best first; ``best.toml`` is a grid of the best
    trial's settings with seeds that the search has not seen, measured on the test set.
    """
    groups, more = grouped(folder, states), []
    if folder.is_search:
        more = [HELD_OUT]
        groups = [group for group in groups if group.has(HELD_OUT)]
        groups.sort(key=lambda group: group.mean(HELD_OUT))
        best = best_of(folder, states)
        if best is not None:
            folder.write("best.toml", _grid_of(best).encode())
    task = task_among(groups)
    folder.write("results.csv", _csv(_trial_lines(folder, states, [*task.keys(), "loss", *more])))
    folder.write("table.csv", _csv([_group_line(g, [*task.keys(), "loss", *more]) for g in groups]))
    text = _markdown(folder, groups, task, more)
    folder.write("table.md", text.encode())
    return text


def best_of(folder: SweepFolder, states: dict[str, TrialState]) -> Trial | None:
    """The trial of the least loss on held-out samples; of equals the first."""
    losses = ((states[trial.name].result or {}).get(HELD_OUT) for trial in folder.trials)
    found = [(loss, place) for place, loss in enumerate(losses) if loss is not None]
    return folder.trials[min(found)[1]] if found else None


def _grid_of(trial: Trial) -> str:
    """The trial's settings as a grid's file."""
    kept = decisive({n: v for n, v in trial.config.items() if n not in _ANEW})
    seed = int(trial.config["seed"])
    lines = [f"dataset = {_toml(trial.config['dataset'])}", "", "[grid]"]
    lines += [f"{name} = [{_toml(value)}]" for name, value in kept.items()]
    return "\n".join([*lines, f'seeds = "{seed + 1}..{seed + SEEDS}"', ""])


def _toml(value: Any) -> str:
    return json.dumps("none" if value is None else value, ensure_ascii=False)


def task_among(groups: list[Group]) -> Task:
    """The task of the first finished trial: a sweep is shown by the measures of one."""
    return task_of(next((result for group in groups for result in group.results), {}))


def _trial_lines(
    folder: SweepFolder, states: dict[str, TrialState], keys: list[str]
) -> list[dict[str, Any]]:
    lines = []
    for trial in folder.trials:
        state = states[trial.name]
        result = state.result or {}
        trained = num_trained(result) if result else None
        measures = {name: result.get(name) for name in (*keys, "gamma")}
        line = {"trial": trial.name, **trial.axes, "status": state.status, "num_trained": trained}
        lines.append({**line, **measures, "error": state.error})
    return lines


def _group_line(group: Group, keys: list[str]) -> dict[str, Any]:
    line = {**group.place, "trials": group.trials, "finished": len(group.results)}
    line["num_trained"] = num_trained(group.results[0]) if group.results else None
    for measure in keys:
        line[f"{measure}_mean"] = group.mean(measure) if group.has(measure) else None
        line[f"{measure}_sd"] = group.deviation(measure) if group.has(measure) else None
    return line


def _csv(lines: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().encode()


def _markdown(folder: SweepFolder, groups: list[Group], task: Task, more: list[str]) -> str:
    axes = list(groups[0].place) if groups else []
    heads = [*axes, "trained", "runs", *heads_of(task), *("held-out loss" for _ in more)]
    rows = []
    for group in groups:
        runs = str(len(group.results))
        if len(group.results) < group.trials:
            runs += f" of {group.trials}"
        trained = str(num_trained(group.results[0])) if group.results else ""
        place = [_said(value, round_off=folder.is_search) for value in group.place.values()]
        means = [f"{group.mean(measure):.4f}" for measure in more]
        rows.append([*place, trained, runs, *measured(group, task), *means])
    return markdown(heads, rows)


def _said(value: Any, round_off: bool) -> str:
    # What was drawn has all its digits in the other tables.
    number = round_off and isinstance(value, float)
    return "none" if value is None else f"{value:.4g}" if number else str(value)


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
    pairs = zip((*task.keys(), "loss"), [*looks, (1, 3)], strict=True)
    return [group.shown(key, *look) if group.has(key) else "" for key, look in pairs]

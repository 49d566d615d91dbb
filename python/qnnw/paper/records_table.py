"""The tables of the record and of its search. No torch here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from qnnw._common.words import markdown
from qnnw.paper.rates import Choice, choices_at
from qnnw.paper.records import (
    CONTENDERS,
    COUNTS,
    DATASETS,
    PUBLISHED,
    SEARCH,
    Cell,
    cell_of,
)
from qnnw.sweep.ledger import SweepFolder
from qnnw.sweep.tables import Group, grouped
from qnnw.training.legacy import num_trained

MEASURE = "test_accuracy"
NOTHING = "\N{EN DASH}"


def write_records_table(folder: SweepFolder) -> str:
    """Write ``records.md``: a table a data set, what it says of the circuit, and the rates."""
    groups = {cell_of(group.place): group for group in grouped(folder, folder.states())}
    search = folder.path / SEARCH
    choices = choices_at(SweepFolder(search)) if (search / "sweep.json").is_file() else {}
    datasets = [name for name in DATASETS if any(cell[0] == name for cell in groups)]
    epochs = " or ".join(map(str, sorted({trial.rounds for trial in folder.trials})))
    parts = [
        "Test accuracy, %: mean ± standard deviation over seeds, in brackets how many numbers "
        f"train, gamma included. {epochs} epochs (budget {folder.about['budget']}), in a column "
        "the same for all; the best of a column is bold, the network's own weights aside.\n"
    ]
    parts += [_section(folder, dataset, groups, choices) for dataset in datasets]
    text = "\n".join(parts)
    folder.write("records.md", text.encode())
    return text


def write_search_table(folder: SweepFolder) -> str:
    """Write ``records-search.md``: the chosen learning rates, and the accuracies that chose."""
    choices = choices_at(folder)
    heads = ["data", "weights from", "count", "rate", "held-out %", "tried", "epochs"]
    rows = []
    for (dataset, name, count), choice in choices.items():
        cell = [DATASETS[dataset], CONTENDERS[name].title, "" if count is None else str(count)]
        if choice is None:
            rows.append([*cell, *[NOTHING] * 4])
            continue
        tried = ", ".join(f"{rate:g}" for rate in choice.tried)
        accuracy = f"{100 * choice.accuracy:.2f}"
        rows.append([*cell, _rate(choice), accuracy, tried, str(choice.epochs)])
    text = markdown(heads, rows)
    folder.write("records-search.md", text.encode())
    return text


def verdict(circuit: Group | None, rivals: Mapping[str, Group | None]) -> str:
    """Whether the circuit beats every rival by more than one standard deviation, in words.

    That of the difference of their means over seeds: the root of the sum of both squares.

    Parameters
    ----------
    circuit
        Its runs at a count.
    rivals
        Those of each, by name; ``None`` where there are none.
    """
    own = _measured(circuit)
    if own is None:
        return "open: the circuit has not two finished runs"
    ahead: list[tuple[float, str]] = []
    unbeaten: list[tuple[float, str]] = []
    missing = []
    for name, group in rivals.items():
        found = _measured(group)
        if found is None:
            missing.append(name)
            continue
        margin, spread = 100 * (own[0] - found[0]), 100 * math.hypot(own[1], found[1])
        side = "below" if margin >= 0 else "above"
        said = f"{name} is {abs(margin):.2f} ± {spread:.2f} {side}"
        (ahead if margin > spread else unbeaten).append((margin, said))
    if unbeaten:
        return "no: " + "; ".join(said for _, said in sorted(unbeaten))
    if missing:
        return f"open: not two finished runs of {', '.join(missing)}; the circuit leads the others"
    return f"yes: the next, {min(ahead)[1]}" if ahead else "open: there are no rivals"


def _measured(group: Group | None) -> tuple[float, float] | None:
    """Mean and standard deviation."""
    if group is None or not group.has(MEASURE):
        return None
    deviation = group.deviation(MEASURE)
    return None if deviation is None else (group.mean(MEASURE), deviation)


def _section(
    folder: SweepFolder,
    dataset: str,
    groups: Mapping[Cell, Group],
    choices: Mapping[Cell, Choice | None],
) -> str:
    own = {cell: group for cell, group in groups.items() if cell[0] == dataset}
    names = [name for name in CONTENDERS if any(cell[1] == name for cell in own)]
    found = {cell[2] for cell in own}
    counts: list[int | None] = [*sorted(count for count in found if count is not None)]
    columns = [*counts, *([None] if None in found else [])]
    heads = ["weights from", *("all" if count is None else str(count) for count in columns)]
    best: dict[int | None, str | None] = {count: _best(own, count) for count in counts}

    def table(fill: Callable[[Cell], str]) -> str:
        cells = {name: [fill((dataset, name, count)) for count in columns] for name in names}
        return markdown(heads, [[CONTENDERS[name].title, *row] for name, row in cells.items()])

    rivals = {c.title: name for name, c in CONTENDERS.items() if c.kind == "rival"}
    verdicts = []
    for count in counts:
        against = {title: own.get((dataset, name, count)) for title, name in rivals.items()}
        verdicts.append([str(count), verdict(own.get((dataset, "circuit", count)), against)])
    published = [
        f"{one.source}: {', '.join(f'{value:g} with {number}' for number, value in one.points)}"
        for one in PUBLISHED
        if one.dataset == dataset
    ]
    parts = [
        f"## {DATASETS[dataset]}\n",
        table(lambda cell: _cell(own.get(cell), cell[1] == best.get(cell[2]))),
        _absent(own, names, counts),
        "Does the circuit beat every rival by more than one standard deviation of the "
        "difference (in points)?\n",
        markdown(["count", ""], verdicts),
        f"Published, test %: {'; '.join(published)}.\n" if published else "",
        "Learning rates, each chosen by accuracy on held-out images: `<` or `>` is the "
        "smallest or largest that was tried, `*` the contender's default, without a search.\n",
        table(lambda cell: _used(folder, cell, own, choices)),
    ]
    return "\n".join(part for part in parts if part)


def _cell(group: Group | None, best: bool) -> str:
    if group is None:
        return ""
    if not group.has(MEASURE):
        return NOTHING
    text = group.shown(MEASURE, 100, 2)
    inside = str(num_trained(group.results[0]))
    if len(group.results) < group.trials:
        inside += f"; {len(group.results)} of {group.trials} seeds"
    return f"{f'**{text}**' if best else text} ({inside})"


def _best(groups: Mapping[Cell, Group], count: int | None) -> str | None:
    means = {
        cell[1]: group.mean(MEASURE)
        for cell, group in groups.items()
        if cell[2] == count and group.has(MEASURE)
    }
    return max(means, key=lambda name: means[name]) if means else None


def _absent(
    groups: Mapping[Cell, Group], names: Sequence[str], counts: Sequence[int | None]
) -> str:
    """What the whole record has and this one not, or not yet."""
    runs = sum(group.trials for group in groups.values())
    left = runs - sum(len(group.results) for group in groups.values())
    parts = [f"{left} of {runs} runs are not finished ({NOTHING}: none of a cell)"] if left else []
    others = [contender.title for name, contender in CONTENDERS.items() if name not in names]
    others += [f"count {count}" for count in COUNTS if count not in counts]
    if others:
        parts.append(f"not in this sweep: {', '.join(others)}")
    return f"{'; '.join(parts)}.\n" if parts else ""


def _used(
    folder: SweepFolder,
    cell: Cell,
    groups: Mapping[Cell, Group],
    choices: Mapping[Cell, Choice | None],
) -> str:
    """The rate that a cell's runs have, and whether that is its search's."""
    if cell not in groups:
        return ""
    rate = next(trial.config["lr"] for trial in folder.trials if cell_of(trial.axes) == cell)
    choice = choices.get(cell)
    if choice is not None and choice.rate == rate:
        return _rate(choice)
    return "*" if rate is None else f"{rate:g} *"


def _rate(choice: Choice) -> str:
    if not choice.at_an_end:
        return f"{choice.rate:g}"
    return f"{'<' if choice.rate == choice.tried[0] else '>'} {choice.rate:g}"

"""The picture of the record: test error against trained numbers, both on log axes."""

from __future__ import annotations

from typing import Any

from qnnw._common.drawing import panels, style
from qnnw._common.extras import needs
from qnnw.paper.records import CONTENDERS, DATASETS, PUBLISHED
from qnnw.sweep.ledger import SweepFolder
from qnnw.sweep.tables import Group
from qnnw.training.legacy import num_trained

with needs("train", "qnnw.paper.records_plots"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

MEASURE = "test_accuracy"
# Open marks, another for each source.
MARKS = ("*", "D", "s", "o", "^", "v")
# Ticks of an axis of errors, in percent.
ERRORS = (0.5, 1, 2, 3, 5, 10, 20, 30, 50, 80)
# Below this a band would leave the axis.
LEAST_ERROR = 0.01


def draw_records(folder: SweepFolder, groups: list[Group]) -> Figure | None:
    """Draw the record; ``None`` while there is nothing to draw.

    Parameters
    ----------
    folder
        The sweep.
    groups
        Those with a finished trial.
    """
    datasets = [
        name for name in DATASETS if any(group.place["dataset"] == name for group in groups)
    ]
    if not datasets:
        return None
    figure, axes = panels(len(datasets), 1.2 + 4.4 * len(datasets), 5.6)
    for axis, dataset in zip(axes, datasets, strict=True):
        _draw_dataset(axis, [group for group in groups if group.place["dataset"] == dataset])
        _draw_published(axis, dataset)
        _label(axis, dataset)
    handles: dict[str, Any] = {}
    for axis in axes:
        found, labels = axis.get_legend_handles_labels()
        handles |= dict(zip(labels, found, strict=True))
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center",
        ncols=2, fontsize="x-small",
    )  # fmt: skip
    figure.suptitle(_title(folder, groups), fontsize="medium")
    return figure


def _title(folder: SweepFolder, groups: list[Group]) -> str:
    seeds = max(len(group.results) for group in groups)
    many = "1 seed" if seeds == 1 else f"mean and sd of {seeds} seeds"
    finished = sum(len(group.results) for group in groups)
    missing = len(folder.trials) - finished
    left = f", {missing} of {len(folder.trials)} runs missing" if missing else ""
    return f"Test error against trained numbers ({many}{left}; open: published)"


def _draw_dataset(axis: Axes, groups: list[Group]) -> None:
    for number, (name, contender) in enumerate(CONTENDERS.items()):
        own = [group for group in groups if group.place["contender"] == name]
        if not own:
            continue
        look = style(number)
        if contender.kind == "direct":
            label = f"{contender.title}, {num_trained(own[0].results[0])}"
            axis.axhline(
                _error(own[0].mean(MEASURE)), label=label, color="black", linewidth=0.8,
                linestyle=":",
            )  # fmt: skip
            continue
        own.sort(key=lambda group: num_trained(group.results[0]))
        places = [num_trained(group.results[0]) for group in own]
        means = [group.mean(MEASURE) for group in own]
        spreads = [group.deviation(MEASURE) or 0.0 for group in own]
        width = 2.0 if contender.kind == "circuit" else 1.0
        axis.plot(places, list(map(_error, means)), label=contender.title, linewidth=width, **look)
        pairs = list(zip(means, spreads, strict=True))
        axis.fill_between(
            places,
            [_error(mean + spread) for mean, spread in pairs],
            [_error(mean - spread) for mean, spread in pairs],
            color=look["color"], alpha=0.18, linewidth=0,
        )  # fmt: skip


def _error(accuracy: float) -> float:
    return max(LEAST_ERROR, 100 * (1 - accuracy))


def _draw_published(axis: Axes, dataset: str) -> None:
    sources = list(dict.fromkeys(one.source for one in PUBLISHED))
    for one in PUBLISHED:
        if one.dataset != dataset:
            continue
        marker = MARKS[sources.index(one.source) % len(MARKS)]
        axis.plot(
            [count for count, _ in one.points],
            [100 - value for _, value in one.points],
            label=one.source, color="black", linestyle="none", marker=marker, markersize=7,
            markerfacecolor="none",
        )  # fmt: skip


def _label(axis: Axes, dataset: str) -> None:
    axis.set_title(DATASETS[dataset], fontsize="medium")
    axis.set_xscale("log")
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    axis.set_yticks([error for error in ERRORS if low <= error <= high])
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xticks([50, 100, 200, 500, 1000, 2000])
    axis.minorticks_off()
    axis.set_xlabel("Trained numbers")
    axis.set_ylabel("Test error (%)")
    axis.grid(linewidth=0.3)

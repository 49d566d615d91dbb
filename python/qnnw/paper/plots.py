"""The paper's figures, drawn as the paper draws them: its own points open, ours filled."""

from __future__ import annotations

from typing import Any

import numpy as np

from qnnw._common.drawing import canvas, style
from qnnw._common.extras import needs
from qnnw.sweep.ledger import SweepFolder
from qnnw.sweep.plots import errorbar
from qnnw.sweep.tables import Group
from qnnw.training.optimizers import OPTIMIZERS, EigenAdam
from qnnw.training.plots import draw_history
from qnnw.training.record import RecordError, RunFolder
from qnnw.training.tasks import CLASSIFICATION

with needs("train", "qnnw.paper.plots"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OPEN: dict[str, Any] = {
    "markerfacecolor": "none",
    "color": "black",
    "linestyle": "none",
    "markersize": 8,
}


def draw_figure(folder: SweepFolder, groups: list[Group]) -> Figure | None:
    """Draw a figure's sweep; ``None`` while there is nothing to draw.

    Training is drawn as far as it is while no run of it is finished.

    Parameters
    ----------
    folder
        The sweep; its ``about`` is that of :func:`qnnw.paper.figures.about`.
    groups
        Those with a finished trial.
    """
    about = folder.about
    if about["figure"] == "controls":
        return _draw_controls(groups, about) if groups else None
    training = about["along"] is None
    histories = _histories(folder, bool(groups)) if training else []
    if not groups and not histories:
        return None
    figure, axis = canvas()
    if training:
        _draw_training(axis, histories, about)
    elif about["along"] == "reps":
        _draw_layers(axis, groups, about)
    else:
        _draw_shots(axis, groups, about)
    axis.set_title(_title(about, groups, len(histories)), fontsize="medium")
    figure.supxlabel(_footnote(about), fontsize="x-small")
    return figure


def _title(about: dict[str, Any], groups: list[Group], begun: int) -> str:
    seeds = max((len(group.results) for group in groups), default=begun)
    many = "1 seed" if seeds == 1 else f"mean ± sd of {seeds} seeds"
    if not groups:
        many += ", unfinished"
    number = about["figure"].removeprefix("fig")
    return f"Figure {number}: {about['title']} ({about['optimizer']}, {many})"


def _footnote(about: dict[str, Any]) -> str:
    left_out = about["left_out"]
    budget = f"budget {about['budget']}: {left_out}" if left_out else "the paper's budget"
    if issubclass(OPTIMIZERS[about["optimizer"]], EigenAdam):
        budget = f"exact gradients, {left_out or 'all epochs'}"
    return f"{budget}\nopen: the paper ({about['source']})"


def _draw_training(
    axis: Axes, histories: list[list[dict[str, Any]]], about: dict[str, Any]
) -> None:
    length = min(len(history) for history in histories)
    names = ("loss", "train_accuracy", "test_accuracy")
    lines, deviations = [], {}
    values = {
        name: np.array([[line[name] for line in history[:length]] for history in histories])
        for name in names
    }
    for number in range(length):
        means = {name: float(values[name][:, number].mean()) for name in names}
        lines.append({**histories[0][number], **means})
    if len(histories) > 1:
        deviations = {name: values[name].std(axis=0, ddof=1) for name in names}
    accuracy = draw_history(axis, lines, deviations)
    for curve, place, marker in (("loss", axis, "s"), ("test", accuracy, "^")):
        points = about["paper"].get(curve, [])
        # The paper's last period, where ours has fewer, is drawn at the right edge.
        for number, value in points:
            place.plot(min(number, max(length, 2)), value, marker=marker, **_OPEN)
    numbers = sorted({number for points in about["paper"].values() for number, _ in points})
    fits = numbers[-1] <= length
    named = " and ".join(map(str, numbers))
    _label_open(axis, accuracy, "Paper" if fits else f"Paper, period {named}")


def _label_open(axis: Axes, accuracy: Axes, label: str) -> None:
    legend = axis.get_legend()
    handles = list(legend.legend_handles) if legend is not None else []
    (handle,) = accuracy.plot([], [], marker="^", label=label, **_OPEN)
    axis.legend(handles=[*handles, handle], loc="center right")


def _draw_layers(axis: Axes, groups: list[Group], about: dict[str, Any]) -> None:
    places = [float(group.place["reps"]) for group in groups]
    _draw_accuracies(axis, groups, places)
    _draw_paper(axis, about, {})
    axis.set_xlabel("QNN layers (reps)")
    axis.set_xticks(places, [f"{place:g}" for place in places])
    ratio = axis.twinx()
    shares = [100 * group.results[0]["parameter_ratio"] for group in groups]
    ratio.plot(places, shares, color="0.5", linestyle=":", marker="x", markersize=5)
    ratio.set_ylabel("Required parameters (%, crosses)")
    ratio.set_ylim(bottom=0)
    axis.legend(loc="lower right", fontsize="small")


def _draw_shots(axis: Axes, groups: list[Group], about: dict[str, Any]) -> None:
    keys = [group.place["shots"] for group in groups]
    numbers = [key for key in keys if key is not None]
    size = 2 ** groups[0].results[0]["num_qubits"]
    step = 3 * size
    exact = float(max(numbers, default=size) + step)
    places = [exact if key is None else float(key) for key in keys]
    _draw_accuracies(axis, groups, places)
    _draw_paper(axis, about, {None: exact})
    names = [
        "exact" if key is None else f"{key / size:g} x {size}" if key != size else f"{size}"
        for key in keys
    ]
    axis.set_xticks(places, names)
    axis.set_xlabel("Measurement shots")
    axis.legend(loc="lower right", fontsize="small")


def _draw_accuracies(axis: Axes, groups: list[Group], places: list[float]) -> None:
    look = style(0) | {"linestyle": "--", "marker": "o"}
    errorbar(axis, groups, places, "train", CLASSIFICATION.main, label="Train", **look)
    look = style(1) | {"linestyle": "-.", "marker": "^"}
    errorbar(axis, groups, places, "test", CLASSIFICATION.main, label="Test", **look)
    axis.set_ylabel(CLASSIFICATION.main.axis)
    axis.grid(axis="y", linewidth=0.3)


def _draw_paper(axis: Axes, about: dict[str, Any], special: dict[None, float]) -> None:
    points = about["paper"].get("test", [])
    places = [special[None] if place is None else float(place) for place, _ in points]
    axis.plot(places, [value for _, value in points], marker="^", label="Paper, test", **_OPEN)


def _draw_controls(groups: list[Group], about: dict[str, Any]) -> Figure:
    """Bars of test accuracy, a control each; hatched by the number of layers."""
    figure, axis = canvas(7.2, 4.2)
    controls = list(dict.fromkeys(group.place["control"] for group in groups))
    layers = sorted({group.place["reps"] for group in groups})
    width = 0.8 / len(layers)
    for number, reps in enumerate(layers):
        members = [group for group in groups if group.place["reps"] == reps]
        places = [
            len(controls) - 1 - controls.index(group.place["control"]) + (0.5 - number) * width
            for group in members
        ]
        means = [100 * group.mean("test_accuracy") for group in members]
        deviations = [100 * (group.deviation("test_accuracy") or 0.0) for group in members]
        axis.barh(
            places, means, width, xerr=deviations, capsize=3, edgecolor="black", linewidth=0.6,
            color=("0.85", "0.55", "0.7")[number % 3], hatch=("", "//", "..")[number % 3],
            label=f"{reps} reps",
        )  # fmt: skip
        for place, mean, deviation in zip(places, means, deviations, strict=True):
            axis.text(mean + deviation + 1.5, place, f"{mean:.1f}", va="center", size=7)
    names = [about["names"][control] for control in reversed(controls)]
    axis.set_yticks(range(len(controls)), names, fontsize="small")
    axis.set_xlabel("Test accuracy (%)")
    axis.set_xlim(0, 108)
    axis.set_xticks(range(0, 101, 20))
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(layers), fontsize="small")
    seeds = max(len(group.results) for group in groups)
    left_out = f"; {about['left_out']}" if about["left_out"] else ""
    figure.supxlabel(
        f"MNIST, {about['optimizer']}, mean ± sd of {seeds} seeds{left_out}", fontsize="x-small"
    )
    return figure


def _histories(folder: SweepFolder, finished: bool) -> list[list[dict[str, Any]]]:
    """Those of the finished runs; where none is, of those that have a round behind them."""
    if finished:
        states = folder.states()
        trials = [trial for trial in folder.trials if states[trial.name].result is not None]
    else:
        trials = [trial for trial in folder.trials if folder.finished_rounds(trial)]
    histories = [RunFolder(folder.trial_path(trial)).read_history() for trial in trials]
    if not all(histories):
        raise RecordError(f"{str(folder.path)!r} has no whole history to draw")
    return histories

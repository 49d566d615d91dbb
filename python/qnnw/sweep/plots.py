"""From a sweep's ledger to pictures. No torch here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from qnnw._common.drawing import canvas, panels, style, write_pictures
from qnnw._common.extras import needs
from qnnw.sweep.ledger import SweepFolder
from qnnw.sweep.tables import DRAWERS, HELD_OUT, Group, grouped, task_among
from qnnw.training.legacy import num_trained
from qnnw.training.tasks import Measure

with needs("train", "qnnw.sweep.plots"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What a horizontal axis is best made of, in this order.
PREFERRED = ("reps", "shots")


def plot_sweep(path: str | os.PathLike[str]) -> list[Path]:
    """Draw a sweep's main measure, mean and standard deviation over its seeds, as PNG and SVG.

    The horizontal axis is the number of trained numbers where the grid varies ``reps``, else the
    number of shots, else what it varies first; what else it varies tells the curves apart.

    Parameters
    ----------
    path
        The sweep's folder.

    Returns
    -------
    list of Path
        ``sweep.png`` and ``sweep.svg``, or a registered figure under its own name; none while there
        is nothing to draw.

    Raises
    ------
    qnnw.training.record.RecordError
        The folder is no sweep.
    """
    folder = SweepFolder(path)
    groups = [group for group in grouped(folder, folder.states()) if group.results]
    name = folder.about.get("figure", "sweep")
    if name in DRAWERS:
        figure = DRAWERS[name](folder, groups)
    else:
        draw, name = _slices if folder.is_search else _curves, "sweep"
        figure = draw(folder, groups) if groups else None
    if figure is None:
        return []
    return write_pictures(figure, folder.path / name)


def _curves(folder: SweepFolder, groups: list[Group]) -> Figure:
    """The main measure on both splits along one setting, a curve for each value of the others."""
    figure, axis = canvas()
    varied = [name for name in folder.varied() if name != "seed"]
    along = next((name for name in PREFERRED if name in varied), varied[0] if varied else None)
    measure = task_among(groups).main
    shown = [group for group in groups if group.has(f"test_{measure.key}")]
    curves: dict[str, list[Group]] = {}
    for group in shown:
        others = [name for name in varied if name != along]
        label = ", ".join(f"{name} {_said(group.place[name], name)}" for name in others)
        curves.setdefault(label, []).append(group)
    places = _places(shown, along)
    for number, (label, members) in enumerate(curves.items()):
        spots = [places[_key(group, along)] for group in members]
        look = style(number)
        test, train = (f"{label}: test", f"{label}: train") if label else ("Test", "Train")
        errorbar(axis, members, spots, "test", measure, label=test, **look)
        look |= {"markerfacecolor": "none", "alpha": 0.6, "linewidth": 0.8}
        errorbar(axis, members, spots, "train", measure, label=train, **look)
    _label_places(axis, places, along)
    axis.set_ylabel(measure.axis)
    axis.grid(axis="y", linewidth=0.3)
    axis.legend(fontsize="small")
    finished, trials = sum(len(g.results) for g in groups), len(folder.trials)
    missing = "" if finished == trials else f", {trials - finished} of {trials} runs missing"
    axis.set_title(f"{folder.about.get('dataset', 'sweep')}{missing}", fontsize="medium")
    return figure


def _slices(folder: SweepFolder, groups: list[Group]) -> Figure:
    """The held-out loss of a search against each setting that it varied."""
    found = [group for group in groups if group.has(HELD_OUT)]
    losses = [group.mean(HELD_OUT) for group in found]
    space = {name: ends for name, ends in folder.about["space"].items() if name != "seed"}
    figure, axes = panels(len(space), max(6.4, 2.4 * len(space)), 3.2)
    for axis, (name, ends) in zip(axes, space.items(), strict=True):
        keys = [group.place[name] for group in found]
        words = [_said(key, name) for key in keys]
        axis.plot(words if isinstance(ends, list) else keys, losses, **style(0) | {"linestyle": ""})
        if isinstance(ends, dict) and ends.get("log"):
            axis.set_xscale("log")
        axis.set_xlabel(name, parse_math=False)
    axes[0].set_ylabel("Held-out loss")
    return figure


def errorbar(
    axis: Axes, groups: list[Group], places: Any, split: str, measure: Measure, **look: Any
) -> None:
    """Mean and standard deviation of a measure on one of the splits, as it is shown."""
    key = f"{split}_{measure.key}"
    means = [measure.times * group.mean(key) for group in groups]
    deviations = [measure.times * (group.deviation(key) or 0.0) for group in groups]
    axis.errorbar(places, means, deviations, capsize=3, **look)


def _key(group: Group, along: str | None) -> Any:
    if along is None:
        return None
    if along == "reps":
        return num_trained(group.results[0])
    return group.place[along]


def _places(groups: list[Group], along: str | None) -> dict[Any, float]:
    """Where each value goes: numbers where they are numbers, else side by side."""
    keys = list(dict.fromkeys(_key(group, along) for group in groups))
    numbers = [key for key in keys if isinstance(key, int | float) and not isinstance(key, bool)]
    if along == "shots" and numbers and len(numbers) < len(keys):
        # The exact case stands beside the largest number of shots, as in the paper's figure 3.
        return {key: float(key) if key is not None else 2.0 * max(numbers) for key in keys}
    if len(numbers) == len(keys):
        return {key: float(key) for key in keys}
    return {key: float(number) for number, key in enumerate(keys)}


def _label_places(axis: Axes, places: dict[Any, float], along: str | None) -> None:
    names = {"reps": "Trained numbers", "shots": "Measurement shots", None: ""}
    axis.set_xlabel(names.get(along, str(along)))
    spots = list(places.values())
    if min(spots) > 0 and max(spots) > 8 * min(spots):
        axis.set_xscale("log", base=2)
    said = [_said(key, along) for key in places]
    axis.set_xticks(spots, said, fontsize="small", parse_math=False)
    axis.minorticks_off()
    if len(spots) == 1:
        axis.set_xlim(spots[0] - 1, spots[0] + 1)


def _said(value: Any, along: str | None = None) -> str:
    if value is None:
        return "exact" if along == "shots" else "" if along is None else "none"
    return f"{value:g}" if isinstance(value, float) and np.isfinite(value) else str(value)

"""From a run's record to pictures. No torch here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.drawing import canvas, style, write_pictures
from qnnw._common.extras import needs
from qnnw._common.tensors import read_whole
from qnnw.training.record import RecordError, RunFolder
from qnnw.training.tasks import task_of

with needs("train", "qnnw.training.plots"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
    from safetensors.numpy import load as load_tensors


def plot_run(path: str | os.PathLike[str]) -> list[Path]:
    """Draw a run's history and its weights, each as PNG and SVG; gives the files.

    Raises
    ------
    qnnw.training.record.RecordError
        The folder is no run, is damaged, or has no finished period or epoch.
    """
    pictures = write_pictures(history_figure(path), RunFolder(path).picture_path)
    return [*pictures, *plot_weights(path)]


def plot_history(path: str | os.PathLike[str]) -> Path:
    """Draw loss and measures per period or epoch, as in the paper's figure 2, to ``history.png``.

    Parameters
    ----------
    path
        The run's folder.

    Returns
    -------
    Path
        The picture.

    Raises
    ------
    qnnw.training.record.RecordError
        The folder is no run, or has no finished period or epoch.
    """
    return write_pictures(history_figure(path), RunFolder(path).picture_path, ("png",))[0]


def plot_weights(path: str | os.PathLike[str]) -> list[Path]:
    """Draw how often each value occurs among a run's weights, as in the paper's figure 1b.

    Parameters
    ----------
    path
        The run's folder; the weights are those of its ``model.safetensors``.

    Returns
    -------
    list of Path
        ``weights.png`` and ``weights.svg``.

    Raises
    ------
    qnnw.training.record.RecordError
        The folder is no run, or its model is another run's.
    qnnw.nn.tensorfile.ModelFileError
        The model is missing or damaged.
    """
    folder = RunFolder(path)
    content, about = read_whole(folder.model_path)
    folder.check_belongs(folder.model_path, about)
    tensors = load_tensors(content).values()
    weights = np.concatenate([tensor.reshape(-1).astype(np.float64) for tensor in tensors])
    title = _title(folder.read_config())
    figure, axis = canvas()
    axis.hist(weights, bins=101, color="0.75", edgecolor="black", linewidth=0.4)
    axis.axvline(0.0, color="black", linestyle=":", linewidth=0.8)
    axis.set_xlabel("Value of the weight")
    axis.set_ylabel("Weights")
    axis.set_title(f"{title}: {len(weights)} weights", fontsize="medium")
    return write_pictures(figure, folder.path / "weights")


def history_figure(path: str | os.PathLike[str]) -> Figure:
    """The picture of :func:`plot_history`, not written; raises as it does."""
    folder = RunFolder(path)
    history = folder.read_history()
    if not history:
        raise RecordError(f"{str(folder.path)!r} has no finished period or epoch to draw")
    figure, axis = canvas()
    draw_history(axis, history, {})
    axis.set_title(_title(folder.read_config()), fontsize="medium")
    return figure


def draw_history(
    axis: Axes, history: list[dict[str, Any]], deviations: dict[str, NDArray[np.float64]]
) -> Axes:
    """Draw loss and main measure, with a band where there are deviations; gives the second axis."""
    round_name = "epoch" if "epoch" in history[0] else "period"
    rounds = np.array([line[round_name] for line in history])
    task, second = task_of(history[0]), axis.twinx()
    key, times = task.main.key, task.main.times
    curves = (
        ("loss", "Loss", axis, 1.0, {"color": "black", "linestyle": "-", "marker": "s"}),
        (f"train_{key}", "Train", second, times, style(0) | {"linestyle": "--"}),
        (f"test_{key}", "Test", second, times, style(1) | {"linestyle": "-."}),
    )
    handles = []
    for name, label, place, times, look in curves:
        values = times * np.array([line[name] for line in history])
        handles += place.plot(rounds, values, label=label, **(look | {"markersize": 3}))
        if name in deviations:
            low, high = values - times * deviations[name], values + times * deviations[name]
            place.fill_between(rounds, low, high, color=look["color"], alpha=0.15, linewidth=0)
    axis.set_xlabel(f"Training {round_name}")
    axis.set_ylabel(task.loss_label)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    second.set_ylabel(task.main.axis)
    axis.legend(handles=handles, loc="center right")
    return second


def _title(record: dict[str, Any]) -> str:
    config = record["config"]
    # The last release kept nothing of the data but their name.
    name = record.get("dataset", {}).get("name", config["dataset"])
    shots = config["shots"]
    measured = "exact probabilities" if shots is None else f"{shots} shots"
    optimizer = config.get("optimizer", "cobyla")
    return f"{name}: {config['reps']} reps, {optimizer}, {measured}, seed {config['seed']}"

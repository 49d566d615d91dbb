"""From a run's record to a picture. No torch here."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from qnnw._extras import needs
from qnnw.record import RecordError, RunFolder

with needs("train", "qnnw.plots"):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

__all__ = ["plot_history"]


def plot_history(path: str | os.PathLike[str]) -> Path:
    """Draw loss and accuracies per period or epoch, as in the paper's figure 2, to ``history.png``.

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
    qnnw.record.RecordError
        The folder is no run, or has no finished period or epoch.
    """
    folder = RunFolder(path)
    history = folder.read_history()
    if not history:
        raise RecordError(f"{str(folder.path)!r} has no finished period or epoch to draw")
    figure = _history_figure(history, _title(folder.read_config()["config"]))
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    folder.write_bytes(folder.picture_path, content.getvalue())
    return folder.picture_path


def _history_figure(history: list[dict[str, Any]], title: str) -> Figure:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    round_name = "epoch" if "epoch" in history[0] else "period"
    rounds = [line[round_name] for line in history]
    # Line styles and markers, not colours alone, tell the curves apart.
    (loss,) = axis.plot(
        rounds, [line["loss"] for line in history], "k-s", markersize=3, label="Loss"
    )
    axis.set_xlabel(f"Training {round_name}")
    axis.set_ylabel("Loss (CE + fraction failed)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    accuracy = axis.twinx()
    (train,) = accuracy.plot(
        rounds,
        [100 * line["train_accuracy"] for line in history],
        color="tab:blue",
        linestyle="--",
        marker="o",
        markersize=3,
        label="Train",
    )
    (test,) = accuracy.plot(
        rounds,
        [100 * line["test_accuracy"] for line in history],
        color="tab:orange",
        linestyle="-.",
        marker="^",
        markersize=3,
        label="Test",
    )
    accuracy.set_ylabel("Accuracy (%)")
    axis.legend(handles=[loss, train, test], loc="center right")
    axis.set_title(title, fontsize="medium")
    return figure


def _title(config: dict[str, Any]) -> str:
    shots = config["shots"]
    measured = "exact probabilities" if shots is None else f"{shots} shots"
    optimizer = config.get("optimizer", "cobyla")
    return (
        f"{config['dataset']}: {config['reps']} reps, {optimizer}, {measured}, "
        f"seed {config['seed']}"
    )

"""``qnnw eval | export | plot | info``: what a run has left, and where it runs."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from qnnw._common.runtime import build_info
from qnnw.cli.options import with_settings
from qnnw.cli.shared import DataDir, Json, Run, errors
from qnnw.sweep.ledger import SweepFolder
from qnnw.sweep.tables import TABLES, write_tables
from qnnw.training.config import EXECUTION
from qnnw.training.record import RecordError
from qnnw.training.tasks import TASKS, Measure


class _Split(str, Enum):
    train = "train"
    test = "test"


@with_settings(only=EXECUTION)
def eval_command(
    run: Run,
    *,
    split: Annotated[_Split, typer.Option(help="Which samples.")] = _Split.test,
    repeats: Annotated[
        int, typer.Option(help="Measurements, of which mean and standard deviation are told.")
    ] = 1,
    data_dir: DataDir = None,
    as_json: Json = False,
    **measured: Any,
) -> None:
    """Evaluate a run's model.safetensors.

    With --backend, --noise or --shots: weights that are measured anew, of its best angles.
    """
    with errors():
        from qnnw.training.runs import evaluate_run

        folder = None if data_dir is None else str(data_dir.resolve())
        evaluation = evaluate_run(run, split.value, data_dir=folder, repeats=repeats, **measured)
    if as_json:
        print(json.dumps(evaluation))
        return
    measures = ", ".join(
        f"{measure.label.lower() if measure.unit else measure.label} "
        f"{measure.shown(evaluation[measure.key])}{_spread(measure, evaluation)}"
        for measure in TASKS[evaluation["task"]].measures
    )
    print(
        f"{evaluation['dataset']} {evaluation['split']}: {measures} "
        f"of {evaluation['samples']}, loss {evaluation['loss']:.4f}"
    )


def _spread(measure: Measure, evaluation: dict[str, Any]) -> str:
    """The standard deviation over several measurements."""
    if evaluation.get("repeats", 1) == 1:
        return ""
    return f" ± {measure.times * evaluation[f'{measure.key}_std']:.{measure.digits}f}"


def export_command(
    run: Run,
    to: Annotated[str, typer.Option(help="safetensors, onnx, pt2 or recipe.")],
    out: Annotated[Path | None, typer.Option(help="The file; else in the run's folder.")] = None,
) -> None:
    """Write a run's network for use elsewhere; a recipe is the compressed network."""
    with errors():
        from qnnw.training.export import export_run

        path = export_run(run, to, out)
    print(f"{path}: {path.stat().st_size:,d} bytes")


def plot_command(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN|SWEEP", help="The folder of a run or of a sweep.")
    ],
) -> None:
    """Draw a run's history and weights, or a sweep's accuracies, as PNG and SVG."""
    with errors():
        if (folder / "sweep.json").is_file():
            from qnnw.sweep.plots import plot_sweep

            sweep = SweepFolder(folder)
            states = sweep.states()
            write_tables(sweep, states)
            pictures = plot_sweep(folder)
            table = TABLES.get(sweep.about.get("figure", ""))
            finished = any(state.result is not None for state in states.values())
            if not pictures and not (table is not None and finished):
                raise RecordError(f"{str(folder)!r} has no finished run to draw")
            pictures.append(folder / "table.md")
            if table is not None and finished:
                table(sweep)
                pictures.append(folder / f"{sweep.about['figure']}.md")
        else:
            from qnnw.training.plots import plot_run

            pictures = plot_run(folder)
    for picture in pictures:
        print(picture)


def info_command(as_json: Json = False) -> None:
    """Tell versions, build, instruction set, threads and devices."""
    with errors():
        import torch

        from qnnw.training.progress import plain_console
        from qnnw.training.runs import versions

        info: dict[str, Any] = {
            **build_info(),
            "versions": versions(),
            "cuda": torch.cuda.is_available(),
        }
    if as_json:
        print(json.dumps(info))
        return
    table = Table(show_header=False, box=None)
    for name, value in {**info, **info.pop("versions")}.items():
        if not isinstance(value, dict):
            table.add_row(name, str(value))
    plain_console().print(table)

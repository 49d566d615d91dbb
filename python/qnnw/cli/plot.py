"""``qnnw plot``: pictures of a run or a sweep. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnnw.cli.shared import errors

__all__ = ["plot_command"]


def plot_command(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN|SWEEP", help="The folder of a run or of a sweep.")
    ],
) -> None:
    """Draw a run's history and weights, or a sweep's accuracies, as PNG and SVG."""
    with errors():
        if (folder / "sweep.json").is_file():
            from qnnw.sweep.ledger import SweepFolder
            from qnnw.sweep.plots import plot_sweep
            from qnnw.sweep.tables import TABLES, write_tables
            from qnnw.training.record import RecordError

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

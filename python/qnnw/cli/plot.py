"""``qnnw plot``: pictures of a run or a sweep. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qnnw._extras import needs
from qnnw.cli._common import errors

with needs("train", "The qnnw command"):
    import typer

__all__ = ["plot_command"]


def plot_command(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN|SWEEP", help="The folder of a run or of a sweep.")
    ],
) -> None:
    """Draw a run's history and weights, or a sweep's accuracies, as PNG and SVG."""
    with errors():
        if (folder / "sweep.json").is_file():
            from qnnw.ledger import SweepFolder
            from qnnw.record import RecordError
            from qnnw.sweep_plots import plot_sweep
            from qnnw.tables import write_tables

            sweep = SweepFolder(folder)
            write_tables(sweep, sweep.states())
            pictures = plot_sweep(folder)
            if not pictures:
                raise RecordError(f"{str(folder)!r} has no finished run to draw")
            pictures.append(folder / "table.md")
        else:
            from qnnw.plots import plot_run

            pictures = plot_run(folder)
    for picture in pictures:
        print(picture)

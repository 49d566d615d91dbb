"""``qnnw paper``: the paper's figures and the controls, each in one command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from qnnw._common.extras import needs
from qnnw.cli.shared import DataDir, Device, Json, Quiet, errors
from qnnw.cli.sweep import Address, EngineName, Retries, ThreadsEach, Workers, go_on, shares
from qnnw.paper.figures import BUDGETS, FIGURES

with needs("train", "The qnnw command"):
    import typer

if TYPE_CHECKING:
    from qnnw.sweep.ledger import SweepFolder

__all__ = ["paper_command"]

# Below this nobody needs to be told.
LONG_SECONDS = 60.0
# What is no figure.
CONTROLS = "controls"


def paper_command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="|".join((*FIGURES, CONTROLS)), help="The figure, or the controls beside it."
        ),
    ],
    budget: Annotated[
        str,
        typer.Option(
            metavar="|".join(BUDGETS), help="full: the paper's; quick: ten minutes on two cores."
        ),
    ] = BUDGETS[-1],
    seeds: Annotated[
        int | None, typer.Option(help="How many, from 0 on; more than before are added.")
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help="Default: cobyla, the paper's; eigen-adam for the controls."),
    ] = None,
    periods: Annotated[
        int | None, typer.Option(help="A figure's training periods instead of the budget's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder; default: one in paper/, named by these.")
    ] = None,
    workers: Workers = None,
    threads: ThreadsEach = None,
    engine: EngineName = "local",
    address: Address = None,
    retries: Retries = 3,
    data_dir: DataDir = None,
    device: Device = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run what a figure of the paper shows, and draw it with the paper's points beside ours.

    Called again, it goes on where it was cut off, or with more seeds, and draws anew.
    """
    optimizer = optimizer or ("eigen-adam" if what == CONTROLS else "cobyla")
    few = "" if periods is None else f"-{periods}periods"
    path = out or Path("paper") / f"{what}-{budget}-{optimizer}{few}"
    again = f"to go on: qnnw sweep --out {path}"
    with errors(lambda: again):
        place = {"data_dir": None if data_dir is None else str(data_dir.resolve())}
        given = {key: value for key, value in {**place, "device": device}.items() if value}
        folder = _folder(what, budget, seeds, optimizer, periods, path, given)
        if not quiet:
            _announce(folder, *shares(folder, workers, threads))
        states = go_on(folder, workers, threads, engine, address, retries, False, quiet, as_json)
    if any(state["status"] == "failed" for state in states.values()):
        raise typer.Exit(1)


def _folder(
    what: str,
    budget: str,
    seeds: int | None,
    optimizer: str,
    periods: int | None,
    path: Path,
    place: dict[str, str],
) -> SweepFolder:
    from qnnw.sweep.ledger import SweepFolder

    if what == CONTROLS:
        if periods is not None:
            raise ValueError(f"`periods` is {periods}; it is for the figures, not for the controls")
        from qnnw.paper.controls import about_controls, control_trials

        trials = control_trials(budget, seeds, optimizer, **place)
        return SweepFolder.create(path, trials, about_controls(budget, optimizer), extend=True)
    from qnnw.paper.figures import about, figure_trials

    trials = figure_trials(what, budget, seeds, optimizer, periods, **place)
    said = about(what, budget, optimizer, periods)
    return SweepFolder.create(path, trials, said, extend=True)


def _announce(folder: SweepFolder, workers: int, threads: int) -> None:
    """Say beforehand how long it will take, where that is long."""
    from qnnw._common.words import duration
    from qnnw.sweep.estimates import estimated_seconds

    seconds = estimated_seconds(folder, max(1, workers), max(1, threads))
    if seconds > LONG_SECONDS:
        print(f"estimated time on this machine: {duration(seconds)}", file=sys.stderr)

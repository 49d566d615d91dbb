"""``qnnw paper``: the paper's figures, the controls and the record, each in one command."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from qnnw._common.words import duration
from qnnw.cli.options import with_settings
from qnnw.cli.records import ALIKE, run_records, selected
from qnnw.cli.shared import DataDir, Device, Work, errors
from qnnw.cli.sweep import go_on, shares
from qnnw.paper.controls import about_controls, control_trials
from qnnw.paper.figures import BUDGETS, FIGURES, about, figure_trials
from qnnw.sweep.ledger import SweepFolder, Trial

# Below this nobody needs to be told.
LONG_SECONDS = 60.0
# What is no figure.
CONTROLS = "controls"
RECORDS = "records"


@with_settings(only=("backend", "gradient", "fraction", "mitigate", "noise", "trajectories"))
def paper_command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="|".join((*FIGURES, CONTROLS, RECORDS)),
            help="The figure, the controls beside it, or accuracy against trained numbers.",
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
    datasets: Annotated[
        str | None, typer.Option(help="Of the record, with commas: mnist,fashion-mnist.")
    ] = None,
    counts: Annotated[
        str | None, typer.Option(help="Of the record: 52,130,364,702,1500 trained numbers.")
    ] = None,
    contenders: Annotated[
        str | None, typer.Option(help="Of the record, as circuit,subspace; default: all.")
    ] = None,
    search: Annotated[
        bool | None,
        typer.Option(
            help="The record's search of learning rates alone; or the record by the search that "
            "is there; default: one after the other."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder; default: one in paper/, named by these.")
    ] = None,
    *,
    work: Work,
    data_dir: DataDir = None,
    device: Device = None,
    **measured: Any,
) -> None:
    """Run what a figure of the paper shows, and draw it with the paper's points beside ours.

    Called again, it goes on where it was cut off, or with more seeds, and draws anew.
    """
    chosen = {"datasets": datasets, "counts": counts, "contenders": contenders}
    method = optimizer or ("eigen-adam" if what == CONTROLS else "cobyla")
    few = "" if periods is None else f"-{periods}periods"
    by = "" if what == RECORDS else f"-{method}{few}"
    by += "".join(f"-{value}" for value in measured.values())
    path = out or Path("paper") / f"{what}-{budget}{by}"
    again = "the same command" if what == RECORDS else f"qnnw sweep --out {path}"
    with errors(lambda: f"to go on: {again}"):
        place = {"data_dir": None if data_dir is None else str(data_dir.resolve())}
        given = {key: value for key, value in {**place, "device": device}.items() if value}

        def run(folder: SweepFolder) -> dict[str, Any]:
            return go_on(folder, work)

        if what == RECORDS:
            _refuse(what, {"optimizer": optimizer, "periods": periods, **measured})
            announce = None if work.quiet else partial(_announce, work)
            selection = selected(**chosen)
            states = run_records(path, selection, budget, seeds, search, run, announce, **given)
        else:
            _refuse(what, {**chosen, "search": search})
            folder = _folder(what, budget, seeds, method, periods, path, {**given, **measured})
            if not work.quiet:
                from qnnw.paper.estimates import work_left

                _announce(work, folder, work_left(folder))
            states = run(folder)
    if any(state["status"] == "failed" for state in states.values()):
        raise typer.Exit(1)


def _folder(
    what: str,
    budget: str,
    seeds: int | None,
    optimizer: str,
    periods: int | None,
    path: Path,
    place: dict[str, Any],
) -> SweepFolder:
    if what == CONTROLS:
        measured = {name: place.get(name) for name in ("backend", "noise", "mitigate")}
        for name, value in {"periods": periods, **measured}.items():
            if value is not None:
                raise ValueError(f"`{name}` is {value}; it is for the figures, not for {what!r}")
        trials = control_trials(budget, seeds, optimizer, **place)
        return SweepFolder.create(path, trials, about_controls(budget, optimizer), extend=True)
    trials = figure_trials(what, budget, seeds, optimizer, periods, **place)
    words = [str(place[name]) for name in ("backend", "noise", "mitigate") if name in place]
    said = about(what, budget, optimizer, periods, ", ".join(words))
    return SweepFolder.create(path, trials, said, extend=True)


def _refuse(what: str, given: dict[str, Any]) -> None:
    """What this has no use for is named, not passed over."""
    for name, value in given.items():
        if value is not None:
            others = "the record" if what != RECORDS else "the figures"
            raise ValueError(f"`{name}` is {value!r}; it is for {others}, not for {what!r}")


def _announce(work: Work, folder: SweepFolder, left: list[tuple[Trial, float]]) -> None:
    """Say beforehand how long it will take, where that is long."""
    from qnnw.paper.estimates import seconds_of

    side_by_side, each = shares(folder, work)
    seconds = seconds_of(left, max(1, side_by_side), max(1, each), ALIKE)
    if seconds > LONG_SECONDS:
        print(f"estimated time on this machine: {duration(seconds)}", file=sys.stderr)

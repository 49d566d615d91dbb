"""``qnnw sweep``: a grid of runs."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qnnw._common.checks import one_of
from qnnw.cli.options import Data, Paper, dataset_of, protocol, with_settings
from qnnw.cli.shared import Work, errors
from qnnw.sweep.grid import parse_grid, read_grid, trials_of
from qnnw.sweep.ledger import SweepFolder
from qnnw.sweep.tables import TABLES, best_of

if TYPE_CHECKING:
    from qnnw.sweep.engines import Engine

Name = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="The data set, as --data; none to go on with --out."),
]
RetryFailed = Annotated[bool, typer.Option(help="Try failed runs again.")]


@with_settings("threads")
def sweep_command(
    name: Name = None,
    *,
    data: Data = None,
    grid: Annotated[
        str | None,
        typer.Option(
            help='Like "reps=1,4,7 shots=none,8192 seeds=0..9": settings of `qnnw train`; or a '
            "TOML file with a table \\[grid]. Left out: go on with the sweep in --out."
        ),
    ] = None,
    paper: Paper = False,
    out: Annotated[Path, typer.Option(help="The sweep's folder.")] = Path("sweep"),
    extend: Annotated[
        bool, typer.Option("--extend", help="Add the grid's runs to the sweep that is there.")
    ] = False,
    work: Work,
    retry_failed: RetryFailed = False,
    **settings: Any,
) -> None:
    """Run a grid of settings, side by side; called again on the same folder, go on with it.

    Another grid is refused, but with --extend adds its runs. Settings that do not vary are options,
    as those of `qnnw train`.
    """
    with errors(lambda: f"to go on: qnnw sweep --out {out}"):
        dataset = dataset_of(name, data)
        if grid is None:
            if extend or paper or dataset is not None or settings:
                raise ValueError(
                    "`grid` is missing: with it a new sweep, without a dataset and its options "
                    "--out goes on"
                )
            folder = SweepFolder(out)
        else:
            named, axes = read_grid(grid) if grid.endswith(".toml") else (None, parse_grid(grid))
            dataset = the_dataset(dataset, named)
            trials = trials_of(dataset, axes, settings, partial(protocol, paper=paper))
            about = {"dataset": dataset, "grid": axes}
            folder = SweepFolder.create(out, trials, about, extend=extend)
        states = go_on(folder, work, retry_failed)
    if any(state["status"] == "failed" for state in states.values()):
        raise typer.Exit(1)


def go_on(folder: SweepFolder, work: Work, retry_failed: bool = False) -> dict[str, Any]:
    """Run what is left of a sweep, and print its table."""
    from qnnw.cli.sweep_progress import sweep_listener
    from qnnw.sweep.coordinator import run_sweep

    states = run_sweep(
        folder,
        make_engine(folder, work),
        retries=work.retries,
        retry_failed=retry_failed,
        listener=sweep_listener(work.quiet),
    )
    table = TABLES.get(folder.about.get("figure", ""))
    more = "" if table is None else table(folder)
    summary = {name: {"status": s.status, "error": s.error} for name, s in states.items()}
    best = best_of(folder, states) if folder.is_search else None
    if work.as_json:
        found = {} if best is None else {"best": {"trial": best.name, **best.axes}}
        print(json.dumps({"sweep": str(folder.path), "trials": summary, **found}))
        return summary
    print((folder.path / "table.md").read_text(encoding="utf-8") + more, end="")
    for name, state in summary.items():
        if state["status"] == "failed":
            print(f"failed: {name}: {state['error']}")
    if best is not None:
        given_up = sum(state.status == "pruned" for state in states.values())
        print(
            f"{given_up} of {len(states)} runs given up; the best is {best.name}, to be tested by"
        )
        print(f"  qnnw sweep --grid {folder.path / 'best.toml'} --out {folder.path}-best")
    print(f"tables and pictures: {folder.path}")
    return summary


def make_engine(folder: SweepFolder, work: Work) -> Engine:
    """The engine by its name, sized to the machine."""
    if one_of("engine", work.engine, ("local", "ray")) == "ray":
        from qnnw.sweep.ray_engine import RayEngine

        return RayEngine(folder.path, work.address, work.workers, work.threads or 1)
    if work.address is not None:
        raise ValueError("`address` needs --engine ray")
    from qnnw.sweep.engines import LocalEngine

    return LocalEngine(*shares(folder, work), folder.path / "workers.log")


def shares(folder: SweepFolder, work: Work) -> tuple[int, int]:
    """Runs side by side on this machine, and the threads of each."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    workers = min(cores, max(1, folder.planned)) if work.workers is None else work.workers
    threads = max(1, cores // max(workers, 1)) if work.threads is None else work.threads
    return workers, threads


def the_dataset(given: str | None, named: str | None) -> str:
    """The data set, by the command or by its TOML file."""
    if given is not None and named not in (None, given):
        raise ValueError(f"`dataset` is {given!r}, but the TOML file is for {named!r}")
    found = given or named
    if found is None:
        raise ValueError("`dataset` is missing: name it as the first argument or in the TOML file")
    return found

"""``qnnw search``: settings that Optuna draws, one run after another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qnnw.cli.options import Data, Paper, dataset_of, protocol, with_settings
from qnnw.cli.shared import Work, errors
from qnnw.cli.sweep import Name, RetryFailed, go_on, the_dataset
from qnnw.sweep.grid import read_space, resolved
from qnnw.sweep.ledger import SweepFolder
from qnnw.training.config import TrainConfig

TRIALS = 50


@with_settings("threads")
def search_command(
    name: Name = None,
    *,
    data: Data = None,
    space: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file with a table \\[space] of settings of `qnnw train`, each with its "
            "values or its range. Left out: go on with the search in --out."
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(help=f"How many in all; default: {TRIALS}. More than before go on."),
    ] = None,
    prune: Annotated[
        bool, typer.Option(help="Give a run up whose best held-out loss is above the median.")
    ] = True,
    paper: Paper = False,
    out: Annotated[Path, typer.Option(help="The search's folder.")] = Path("search"),
    work: Work,
    retry_failed: RetryFailed = False,
    **settings: Any,
) -> None:
    """Search settings for the least loss on held-out samples; called again, go on with it.

    Settings that do not vary are options, as those of `qnnw train`. The search never sees the test
    set: `qnnw sweep --grid SEARCH/best.toml` tests its best on five seeds that it has not seen.
    """
    with errors(lambda: f"to go on: qnnw search --out {out}"):
        from qnnw.sweep.search import begin_search

        dataset = dataset_of(name, data)
        if space is not None:
            named, fixed, axes = read_space(space)
            dataset = resolved("dataset", the_dataset(dataset, named))
            for twice in [one for one in settings if one in fixed or one in axes]:
                raise ValueError(f"`{twice}` is {settings[twice]!r}, and {str(space)!r} has it too")
            given = {one: resolved(one, value) for one, value in {**fixed, **settings}.items()}
            base = protocol(dataset, given.pop("optimizer", None), paper=paper, **given)
            folder = begin_search(out, base, axes, trials or TRIALS, prune=prune)
        else:
            if paper or dataset is not None or settings:
                raise ValueError(
                    "`space` is missing: with it a new search, without a dataset and its options "
                    "--out goes on"
                )
            folder = SweepFolder(out)
            if not folder.is_search:
                raise ValueError(f"`out` {str(out)!r} has a grid, and no search: use qnnw sweep")
            if trials is not None:
                there = folder.about
                base = TrainConfig.from_dict(there["base"])
                folder = begin_search(out, base, there["space"], trials, prune=there["prune"])
        go_on(folder, work, retry_failed)

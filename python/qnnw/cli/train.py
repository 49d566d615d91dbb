"""``qnnw train | resume``: one run, from its beginning or from where it was cut off."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from qnnw.cli.options import Data, Paper, dataset_of, protocol, with_settings
from qnnw.cli.shared import DataDir, Device, Json, Quiet, Run, Threads, errors, prepare_process
from qnnw.paper.presets import PRESETS
from qnnw.training.config import TrainConfig
from qnnw.training.legacy import num_trained
from qnnw.training.optimizers import EigenAdam
from qnnw.training.record import PARTS
from qnnw.training.tasks import task_of

if TYPE_CHECKING:
    from qnnw.training.trainer import Reporter


@with_settings()
def train_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="The data set, with its own network; as --data."),
    ] = None,
    *,
    data: Data = None,
    paper: Paper = False,
    out: Annotated[Path, typer.Option(help="Parent of the run folders.")] = Path("runs"),
    as_json: Json = False,
    quiet: Quiet = False,
    **settings: Any,
) -> None:
    """Train a network on data: by what measured best, unless an option says else.

    The data set's own network, or --network my_file.py:make_network.
    """

    def work(listener: Reporter) -> dict[str, Any]:
        dataset = dataset_of(name, data)
        if dataset is None:
            raise ValueError("`data` is missing: name a data set, or give --data")
        config = protocol(dataset, paper=paper, **settings)
        from qnnw.training.runs import start

        prepare_process(config.threads)
        result = start(config, out, listener)
        if not quiet:
            _say_papers(config)
        return result

    _show_result(_listened(work, quiet), as_json)


def _say_papers(config: TrainConfig) -> None:
    """Where the paper trained this network otherwise: what its protocol would take."""
    paper = PRESETS.get(config.dataset)
    if paper is None or config.network or not isinstance(config.optimizer, EigenAdam):
        return
    budget = paper.optimizer.settings
    evaluations = budget["periods"] * (budget["angle_evals"] + budget["gamma_evals"])
    line = f"(the paper's own protocol is --paper: {evaluations} evaluations of all samples)"
    print(line, file=sys.stderr)


def resume_command(
    run: Run,
    threads: Threads = None,
    device: Device = None,
    data_dir: DataDir = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Go on where a run was cut off; on a finished run, only report."""

    def work(listener: Reporter) -> dict[str, Any]:
        from qnnw.training.runs import resume

        prepare_process(threads)
        return resume(
            run,
            listener,
            threads=threads,
            device=device,
            data_dir=None if data_dir is None else str(data_dir.resolve()),
        )

    _show_result(_listened(work, quiet), as_json)


def _listened(work: Callable[[Reporter], dict[str, Any]], quiet: bool) -> dict[str, Any]:
    """Do it, with progress; interrupted, say how to go on."""
    listener: Reporter | None = None

    def remedy() -> str | None:
        if listener is None or listener.run_dir is None:
            return None
        return f"to go on from its last finished round: qnnw resume {listener.run_dir}"

    with errors(remedy):
        from qnnw.training.progress import reporter

        listener = reporter(quiet)
        return work(listener)


def _work(result: dict[str, Any]) -> str:
    if "steps" not in result:
        return f"{result['evaluations']} evaluations in {result['seconds']:.1f} s"
    parts = ", ".join(f"{part} {1e3 * result[f'{part}_seconds_per_step']:.1f}" for part in PARTS)
    return f"{result['steps']} steps in {result['seconds']:.1f} s (ms a step: {parts})"


def _show_result(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    from qnnw.training.progress import plain_console

    table = Table(title=f"{result['dataset']}, seed {result['seed']}", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    share = f"{100 * result['parameter_ratio']:.2f} %"
    rows = {}
    for measure in task_of(result).measures:
        name = measure.label.lower() if measure.unit else measure.label
        for split, word in (("test", "test"), ("train", "training")):
            rows[f"{word} {name}"] = measure.shown(result[f"{split}_{measure.key}"])
    rows |= {
        "loss": f"{result['loss']:.4f}",
        "trained / weights": f"{num_trained(result)} / {result['num_weights']} = {share}",
        **({"gamma": f"{result['gamma']:.4f}"} if "gamma" in result else {}),
        "work": _work(result),
        "run folder": result["run_dir"],
    }
    for name, value in rows.items():
        table.add_row(name, value)
    plain_console().print(table)

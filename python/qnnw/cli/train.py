"""``qnnw train | resume``: one run, from its beginning or from where it was cut off."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from qnnw._common.extras import needs
from qnnw.cli.shared import (
    DataDir,
    Dataset,
    Device,
    Json,
    Quiet,
    Run,
    Threads,
    errors,
    prepare_process,
)

with needs("train", "The qnnw command"):
    import typer
    from rich.console import Console
    from rich.table import Table

if TYPE_CHECKING:
    from qnnw.training.trainer import Reporter

__all__ = ["resume_command", "train_command"]


def train_command(
    dataset: Annotated[Dataset, typer.Argument(help="Dataset, with the paper's network for it.")],
    reps: Annotated[int | None, typer.Option(help="Repetitions of the circuit.")] = None,
    entanglement: Annotated[
        str | None,
        typer.Option(help="linear, reverse_linear, circular, full, pairwise or sca."),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="adam: exact gradients; cobyla: the paper's periods; cobyla-fast: the same in "
            "O(n^2) per evaluation, for many angles; spsa: the same for shots. "
            "Default: cobyla for iris, adam for the others."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Adam: passes over the data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Adam: samples of a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Adam: peak learning rate.")] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Adam: share of the run until that peak.")
    ] = None,
    preconditioning: Annotated[
        str | None, typer.Option(help="Adam: full (in the gradients' eigenbasis) or diagonal.")
    ] = None,
    periods: Annotated[int | None, typer.Option(help="COBYLA, SPSA: training periods.")] = None,
    angle_evals: Annotated[
        int | None, typer.Option(help="COBYLA, SPSA: evaluations a period.")
    ] = None,
    gamma_evals: Annotated[
        int | None, typer.Option(help="Nelder-Mead evaluations a period.")
    ] = None,
    rhobeg: Annotated[
        float | None, typer.Option(help="COBYLA, SPSA: first step in the first period, radians.")
    ] = None,
    rhobeg_decay: Annotated[
        float | None, typer.Option(help="That step in the last period, relative to the first.")
    ] = None,
    rotate: Annotated[
        bool | None, typer.Option(help="Turn COBYLA's coordinates at random in each period.")
    ] = None,
    shots: Annotated[
        int | None, typer.Option(help="Measurements an evaluation; exact if not set.")
    ] = None,
    signs: Annotated[str | None, typer.Option(help="parity or random.")] = None,
    mapping: Annotated[str | None, typer.Option(help="paper or centered.")] = None,
    scale: Annotated[str | None, typer.Option(help="none or fan_in.")] = None,
    gamma: Annotated[float | None, typer.Option(help="Initial scale.")] = None,
    activation: Annotated[str | None, typer.Option(help="relu, tanh or identity.")] = None,
    loss: Annotated[str | None, typer.Option(help="cross-entropy or binary.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.")] = None,
    train_samples: Annotated[
        int | None, typer.Option(help="Train on a stratified subset of this size.")
    ] = None,
    validation_samples: Annotated[
        int | None,
        typer.Option(help="Measure on samples held out of the training set, not on the test set."),
    ] = None,
    data_dir: DataDir = None,
    device: Device = None,
    threads: Threads = None,
    out: Annotated[Path, typer.Option(help="Parent of the run folders.")] = Path("runs"),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train; iris as in the paper, the others by exact gradients, unless --optimizer says else."""
    changed = {
        "reps": reps,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "warmup": warmup,
        "preconditioning": preconditioning,
        "entanglement": entanglement,
        "periods": periods,
        "angle_evals": angle_evals,
        "gamma_evals": gamma_evals,
        "rhobeg": rhobeg,
        "rhobeg_decay": rhobeg_decay,
        "rotate": rotate,
        "shots": shots,
        "signs": signs,
        "mapping": mapping,
        "scale": scale,
        "gamma": gamma,
        "activation": activation,
        "loss": loss,
        "seed": seed,
        "train_samples": train_samples,
        "validation_samples": validation_samples,
        "data_dir": None if data_dir is None else str(data_dir.resolve()),
        "device": device,
        "threads": threads,
    }
    given: dict[str, Any] = {name: value for name, value in changed.items() if value is not None}

    def work(listener: Reporter) -> dict[str, Any]:
        from qnnw.training.presets import preset
        from qnnw.training.runs import start

        config = dataclasses.replace(preset(dataset.value, optimizer), **given)
        prepare_process(threads)
        return start(config, out, listener)

    _show_result(_listened(work, quiet), as_json)


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
    parts = ", ".join(
        f"{part} {1e3 * result[f'{part}_seconds_per_step']:.1f}"
        for part in ("circuit", "network", "rest")
    )
    return f"{result['steps']} steps in {result['seconds']:.1f} s (ms a step: {parts})"


def _show_result(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    table = Table(title=f"{result['dataset']}, seed {result['seed']}", show_header=False)
    percent = "{:.2f} %".format
    rows = {
        "test accuracy": percent(100 * result["test_accuracy"]),
        "training accuracy": percent(100 * result["train_accuracy"]),
        "loss": f"{result['loss']:.4f}",
        "angles / weights": f"{result['num_angles']} / {result['num_weights']} = "
        + percent(100 * result["parameter_ratio"]),
        "gamma": f"{result['gamma']:.4f}",
        "work": _work(result),
        "run folder": result["run_dir"],
    }
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)

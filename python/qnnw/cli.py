"""The command line: ``qnnw train | resume | eval | export | info``."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import qnnw
from qnnw._allocator import keep_freed_memory
from qnnw._extras import MissingExtraError, needs
from qnnw.config import TrainConfig
from qnnw.datasets import DatasetError
from qnnw.export import export_run
from qnnw.optimize import NonFiniteLossError
from qnnw.presets import preset
from qnnw.progress import reporter
from qnnw.record import RecordError
from qnnw.runs import evaluate_run, resume, train, versions
from qnnw.tensorfile import ModelFileError
from qnnw.training import Reporter

with needs("train", "The qnnw command"):
    import torch
    import typer
    from rich.console import Console
    from rich.table import Table

__all__ = ["app"]

app = typer.Typer(
    name="qnnw",
    help="Train classical neural networks through a quantum circuit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

INTERRUPTED = 130
FAILED = 1
MISUSED = 2


class _Dataset(str, Enum):
    iris = "iris"
    digits = "digits"
    mnist = "mnist"
    fashion_mnist = "fashion-mnist"


class _Split(str, Enum):
    train = "train"
    test = "test"


_Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, the last line.")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
_Run = Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")]
_Threads = Annotated[int | None, typer.Option(help="Threads; results do not depend on them.")]
_DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Where MNIST/raw and FashionMNIST/raw lie or are downloaded to; else $QNNW_DATA, "
        "else ~/.cache/qnnw."
    ),
]
_Device = Annotated[str | None, typer.Option(help="Where the network runs: cpu or cuda.")]


@app.command("train")
def train_command(
    dataset: Annotated[_Dataset, typer.Argument(help="Dataset, with the paper's network for it.")],
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
    data_dir: _DataDir = None,
    device: _Device = None,
    threads: _Threads = None,
    out: Annotated[Path, typer.Option(help="Parent of the run folders.")] = Path("runs"),
    as_json: _Json = False,
    quiet: _Quiet = False,
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
    listener = reporter(quiet)
    with _errors(listener):
        config: TrainConfig = dataclasses.replace(preset(dataset.value, optimizer), **given)
        _prepare_process(threads)
        result = train(config, out, listener)
    _show_result(result, as_json)


@app.command("resume")
def resume_command(
    run: _Run,
    threads: _Threads = None,
    device: _Device = None,
    data_dir: _DataDir = None,
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> None:
    """Go on where a run was cut off; on a finished run, only report."""
    listener = reporter(quiet)
    with _errors(listener):
        _prepare_process(threads)
        result = resume(
            run,
            listener,
            threads=threads,
            device=device,
            data_dir=None if data_dir is None else str(data_dir.resolve()),
        )
    _show_result(result, as_json)


@app.command("eval")
def eval_command(
    run: _Run,
    split: Annotated[_Split, typer.Option(help="Which samples.")] = _Split.test,
    data_dir: _DataDir = None,
    as_json: _Json = False,
) -> None:
    """Evaluate a run's model.safetensors."""
    with _errors(Reporter()):
        folder = None if data_dir is None else str(data_dir.resolve())
        evaluation = evaluate_run(run, split.value, data_dir=folder)
    if as_json:
        print(json.dumps(evaluation))
        return
    print(
        f"{evaluation['dataset']} {evaluation['split']}: "
        f"accuracy {100 * evaluation['accuracy']:.2f} % of {evaluation['samples']}, "
        f"loss {evaluation['loss']:.4f}"
    )


@app.command("export")
def export_command(
    run: _Run,
    to: Annotated[str, typer.Option(help="safetensors, onnx, pt2 or recipe.")],
    out: Annotated[Path | None, typer.Option(help="The file; else in the run's folder.")] = None,
) -> None:
    """Write a run's network for use elsewhere; a recipe is the compressed network."""
    with _errors(Reporter()):
        path = export_run(run, to, out)
    print(f"{path}: {path.stat().st_size:,d} bytes")


@app.command("info")
def info_command(as_json: _Json = False) -> None:
    """Tell versions, build, instruction set, threads and devices."""
    info: dict[str, Any] = {
        **qnnw.build_info(),
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
    Console().print(table)


def _prepare_process(threads: int | None) -> None:
    keep_freed_memory()
    if threads is not None:
        qnnw.set_num_threads(threads)


@contextmanager
def _errors(listener: Reporter) -> Iterator[None]:
    """Turn what a user can mend into one line and an exit status; nothing else is caught."""
    try:
        yield
    except KeyboardInterrupt:
        run = listener.run_dir
        remedy = (
            "" if run is None else f"; to go on from its last finished round: qnnw resume {run}"
        )
        print(f"interrupted{remedy}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    except (ValueError, TypeError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(MISUSED) from error
    except (
        RecordError,
        ModelFileError,
        DatasetError,
        NonFiniteLossError,
        MissingExtraError,
        MemoryError,
        OSError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(FAILED) from error


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

"""Runs on disk: train in a new folder, go on in one that was cut off, evaluate what is there."""

from __future__ import annotations

import dataclasses
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from qnnw._common.extras import needs
from qnnw._common.runtime import build_info, get_num_threads
from qnnw.data.registry import load
from qnnw.training.config import NETWORKS, TrainConfig, one_of
from qnnw.training.epochs import EpochTrainer
from qnnw.training.evaluation import Evaluator
from qnnw.training.periods import PeriodTrainer
from qnnw.training.plots import plot_history
from qnnw.training.record import RecordError, RunFolder
from qnnw.training.trainer import Reporter, Trainer

with needs("train", "qnnw.training.runs"):
    import torch

    from qnnw.nn import tensorfile

__all__ = [
    "config_of",
    "evaluate_run",
    "load_model",
    "make_trainer",
    "resume",
    "train",
    "train_at",
    "versions",
]


def train(
    config: TrainConfig,
    out: str | Path = "runs",
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train from the beginning, in a new run folder.

    Parameters
    ----------
    config
        The settings; :func:`qnnw.training.presets.preset` has some, :data:`qnnw.paper.presets.PRESETS` the paper's.
    out
        Parent of the run folders.
    reporter
        Hears how it goes.

    Returns
    -------
    dict
        The content of ``result.json``.

    Raises
    ------
    ValueError, qnnw.data.datasets.DatasetError
        The settings or the data cannot be used; nothing is written.
    qnnw.optim.derivative_free.NonFiniteLossError
        The loss became NaN or infinite; finished rounds are kept.
    """
    trainer = make_trainer(config)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = f"{config.dataset}-reps{config.reps}-seed{config.seed}-{stamp}"
    folder = RunFolder.create(out, name, _described(trainer))
    return _run(trainer, folder, reporter or Reporter())


def train_at(
    path: str | Path, config: TrainConfig, reporter: Reporter | None = None
) -> dict[str, Any]:
    """Train in this very folder: from the beginning if it is new, else from where it stands.

    Parameters
    ----------
    path
        The run's folder.
    config
        The settings; where the folder has a run already, they must be that run's, but for
        ``threads``, ``device`` and ``data_dir``.
    reporter
        Hears how it goes.

    Returns
    -------
    dict
        The content of ``result.json``.

    Raises
    ------
    ValueError, qnnw.data.datasets.DatasetError, qnnw.optim.derivative_free.NonFiniteLossError
        As for :func:`train`.
    qnnw.training.record.RecordError
        The folder has another run, is damaged, or is in use.
    """
    path = Path(path)
    if (path / "config.json").is_file():
        place = {"threads": config.threads, "device": config.device, "data_dir": config.data_dir}
        if config_of(RunFolder(path), **place) != config:
            raise RecordError(f"{str(path)!r} has a run with other settings")
        return resume(path, reporter, **place)  # type: ignore[arg-type]
    trainer = make_trainer(config)
    return _run(trainer, RunFolder.at(path, _described(trainer)), reporter or Reporter())


def _described(trainer: Trainer) -> dict[str, Any]:
    """What ``config.json`` holds."""
    return {
        "config": dataclasses.asdict(trainer.config),
        "data": trainer.data.checksums,
        "versions": versions(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def resume(
    path: str | Path,
    reporter: Reporter | None = None,
    *,
    threads: int | None = None,
    device: str | None = None,
    data_dir: str | None = None,
) -> dict[str, Any]:
    """Go on where a run was cut off; on a finished run, return its result.

    A run that was killed and resumed gives, bit for bit, what an uninterrupted run gives with the
    same versions on the same machine.

    Parameters
    ----------
    path
        The run's folder.
    reporter
        Hears how it goes.
    threads, device, data_dir
        Instead of the run's own.

    Raises
    ------
    qnnw.training.record.RecordError
        The folder is no run, is damaged, or is in use; or the data are not the run's.
    """
    folder = RunFolder(path)
    result = folder.read_result()
    if result is not None:
        return result
    trainer = make_trainer(config_of(folder, threads=threads, device=device, data_dir=data_dir))
    if trainer.data.checksums != folder.read_config()["data"]:
        raise RecordError(
            f"the data differ from those that {str(folder.path)!r} was started with (checksums in "
            "its config.json)"
        )
    return _run(trainer, folder, reporter or Reporter())


def evaluate_run(
    path: str | Path, split: str = "test", *, data_dir: str | None = None
) -> dict[str, Any]:
    """Evaluate a run's saved model, ``model.safetensors``, on one of its splits.

    Parameters
    ----------
    path
        The run's folder, finished or not.
    split
        ``"test"`` or ``"train"``.
    data_dir
        Instead of the run's own.

    Raises
    ------
    ValueError
        ``split`` is neither.
    qnnw.training.record.RecordError
        The folder is no run, or has no whole model yet.
    """
    one_of("split", split, ("train", "test"))
    folder = RunFolder(path)
    config = config_of(folder, data_dir=data_dir)
    data = load(
        config.dataset,
        seed=config.seed,
        data_dir=config.data_dir,
        train_samples=config.train_samples,
        validation_samples=config.validation_samples,
    )
    network = load_model(folder, config)
    inputs, labels = (
        (data.test_inputs, data.test_labels)
        if split == "test"
        else (data.train_inputs, data.train_labels)
    )
    evaluator = Evaluator(network, inputs, labels, loss=config.loss, threads=get_num_threads())
    weights = torch.nn.utils.parameters_to_vector(network.parameters())
    evaluation = evaluator(weights.detach().numpy().astype(np.float64))
    evaluator.close()
    return {
        "run_dir": str(folder.path),
        "dataset": config.dataset,
        "split": split,
        "samples": len(labels),
        "accuracy": evaluation.accuracy,
        "loss": evaluation.loss,
        "cross_entropy": evaluation.cross_entropy,
    }


def versions() -> dict[str, str]:
    """Versions of everything that can change a number."""
    return {
        "qnnw": build_info()["version"],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__,
        "platform": f"{sys.platform}-{platform.machine()}",
    }


def make_trainer(config: TrainConfig) -> Trainer:
    """The trainer that fits the optimiser."""
    return EpochTrainer(config) if config.optimizer == "adam" else PeriodTrainer(config)


def _run(trainer: Trainer, folder: RunFolder, reporter: Reporter) -> dict[str, Any]:
    with folder.locked():
        try:
            trainer.restore(folder)
            reporter.started(trainer, folder.path)
            reporter.estimated(trainer.seconds_left())
            while len(trainer.history) < trainer.rounds:
                line = trainer.run_round(reporter)
                trainer.history.append(line)
                trainer.save(folder)
                reporter.round_finished(line)
            # A kill between the last round and here leaves what this writes to the next resume.
            trainer.save(folder)
            result = trainer.result(folder)
            plot_history(folder.path)
            folder.write_result(result)
        finally:
            reporter.stopped()
            trainer.close()
    return result


def config_of(folder: RunFolder, **changed: Any) -> TrainConfig:
    """The run's settings, some of them changed where that is not ``None``.

    Raises
    ------
    qnnw.training.record.RecordError
        The folder's ``config.json`` is damaged.
    """
    stored = folder.read_config()
    try:
        config = TrainConfig(**stored["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{str(folder.config_path)!r} is damaged: {error}") from error
    given = {name: value for name, value in changed.items() if value is not None}
    return dataclasses.replace(config, **given)


def load_model(folder: RunFolder, config: TrainConfig) -> torch.nn.Module:
    """The run's plain network with its saved weights.

    Raises
    ------
    qnnw.training.record.RecordError
        There is none yet, or it is damaged.
    """
    network = NETWORKS[config.dataset](config.activation)
    try:
        tensors, _ = tensorfile.read(folder.model_path)
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise RecordError(f"{str(folder.model_path)!r} cannot be loaded: {error}") from error
    return network

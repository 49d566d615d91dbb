"""Runs on disk: train in a new folder, go on in one that was cut off, evaluate what is there."""

from __future__ import annotations

import dataclasses
import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from qnnw._common.extras import draw_if_possible, needs
from qnnw._common.runtime import build_info
from qnnw._common.streams import in_notebook
from qnnw.circuit.devices import Journal
from qnnw.data import registry
from qnnw.training.config import TrainConfig
from qnnw.training.epochs import EpochTrainer
from qnnw.training.given import (
    NOTHING,
    Given,
    Network,
    data_of,
    fingerprint,
    network_of,
)
from qnnw.training.measuring import evaluate_run as evaluate_run
from qnnw.training.periods import PeriodTrainer
from qnnw.training.presets import preset
from qnnw.training.record import RecordError, RunFolder
from qnnw.training.result import Result
from qnnw.training.sources import journals_in
from qnnw.training.stored import config_of, given_again
from qnnw.training.trainer import Reporter, Trainer

with needs("train", "qnnw.training.runs"):
    import torch


TRAINERS: dict[str, Callable[..., Trainer]] = {"epoch": EpochTrainer, "period": PeriodTrainer}


def train(
    network: Network | str | None = None,
    data: Any = None,
    config: TrainConfig | None = None,
    *,
    out: str | Path = "runs",
    reporter: Reporter | None = None,
    **settings: Any,
) -> Result:
    """Train a network on data, in a new run folder: all that ``qnnw train`` does.

    Parameters
    ----------
    network
        A torch module, which is copied; a function that makes one, called with nothing,
        ``(dataset)`` or ``(input_shape, num_outputs)``; a specification (a registered name,
        ``my_file.py:make_network``); or ``None``: the data set's own network, or the default for
        its shape. See :func:`qnnw.data.registry.network`.
    data
        A specification (a registered name, a file, a folder, ``my_file.py:make_data``; see
        :func:`qnnw.data.registry.load`); a :class:`qnnw.data.datasets.Dataset`;
        ``(inputs, targets)`` or ``(x_train, y_train, x_test, y_test)`` as arrays or tensors.
        ``None``: that of ``config``.
    config
        The settings; ``None``: those of :func:`qnnw.training.presets.preset` for these data.
    out
        Parent of the run folders.
    reporter
        Hears how it goes; ``None``: in a notebook, one line that changes, elsewhere nobody.
    settings
        Fields of :class:`qnnw.training.config.TrainConfig`, instead of the config's.

    Returns
    -------
    Result
        The content of ``result.json``, a dictionary that can ``plot()`` its history. A run whose
        network or data are objects is resumed and exported with the same objects again.

    Raises
    ------
    TypeError, ValueError, qnnw.data.datasets.DatasetError
        The settings, the network or the data cannot be used; nothing is written.
    qnnw.optim.derivative_free.NonFiniteLossError
        The loss became NaN or infinite; finished rounds are kept.
    """
    given = Given(
        None if isinstance(data, str | Path) else data,
        None if isinstance(network, str) else network,
    )
    named = {
        "dataset": data if given.data is None else given.data_name,
        "network": network if given.network is None else given.network_name,
    }
    changed = {**settings, **{key: str(spec) for key, spec in named.items() if spec is not None}}
    if config is None:
        if "dataset" not in changed:
            raise ValueError("`data` is None; data, or a `config` that names them, are needed")
        config = preset(**changed)
    else:
        config = config.changed(**changed)
    return start(config, out, reporter, given)


def start(
    config: TrainConfig,
    out: str | Path = "runs",
    reporter: Reporter | None = None,
    given: Given = NOTHING,
) -> Result:
    """Train from the beginning, in a new run folder, by settings alone: see :func:`train`.

    ``given`` are data and network that no settings can make.
    """
    trainer = make_trainer(config, given)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = f"{trainer.data.name}-reps{config.reps}-seed{config.seed}-{stamp}"
    folder = RunFolder.create(out, name, _described(trainer))
    return _run(trainer, folder, reporter)


def train_at(
    path: str | Path,
    config: TrainConfig,
    reporter: Reporter | None = None,
    given: Given = NOTHING,
) -> Result:
    """Train in this very folder: from the beginning if it is new, else from where it stands.

    Parameters
    ----------
    path
        The run's folder.
    config
        The settings; where the folder has a run already, they must be that run's, but for
        ``threads``, ``device`` and ``data_dir``.
    reporter, given
        As for :func:`start`.

    Raises
    ------
    qnnw.training.record.RecordError
        The folder has another run, is damaged, or is in use; and as :func:`train`.
    """
    path, config = Path(path), _resolved(config)
    if (path / "config.json").is_file():
        place = {"threads": config.threads, "device": config.device, "data_dir": config.data_dir}
        if config_of(RunFolder(path), **place) != config:
            raise RecordError(f"{str(path)!r} has a run with other settings")
        objects = {"network": given.network, "data": given.data}
        return resume(path, reporter, **place, **objects)  # type: ignore[arg-type]
    trainer = make_trainer(config, given)
    return _run(trainer, RunFolder.at(path, _described(trainer)), reporter)


def resume(
    path: str | Path,
    reporter: Reporter | None = None,
    *,
    threads: int | None = None,
    device: str | None = None,
    data_dir: str | None = None,
    network: Network | None = None,
    data: Any = None,
) -> Result:
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
    network, data
        The objects that the run was started with, where no record can make them again.

    Raises
    ------
    qnnw.training.record.RecordError
        The folder is no run, is damaged, or is in use; data or network are missing, or are not the
        run's.
    """
    folder = RunFolder(path)
    result = folder.read_result()
    if result is not None:
        return Result(result)
    config = config_of(folder, threads=threads, device=device, data_dir=data_dir)
    trainer = make_trainer(config, given_again(folder, config, network, data))
    stored, found = folder.read_config(), _described(trainer)
    if found["data"] != stored["data"]:
        raise RecordError(
            f"the data differ from those that {str(folder.path)!r} was started with (checksums in "
            "its config.json)"
        )
    # The last release kept none.
    if found["network"] != stored.get("network", found["network"]):
        raise RecordError(
            f"the network differs from the one that {str(folder.path)!r} was started with, in its "
            "layers or in the values that are not trained (fingerprint in its config.json)"
        )
    return _run(trainer, folder, reporter)


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


def make_trainer(config: TrainConfig, given: Given = NOTHING) -> Trainer:
    """The trainer that fits the optimiser, with its data and its network."""
    config = _resolved(config)
    data = data_of(config, given)
    network = network_of(config, data, given)
    return TRAINERS[config.optimizer.round_name](config, data, network)


def _resolved(config: TrainConfig) -> TrainConfig:
    """Paths made absolute: a run may be resumed from another folder."""
    network = None if config.network is None else registry.resolved(config.network)
    dataset = registry.resolved(config.dataset)
    return dataclasses.replace(config, dataset=dataset, network=network)


def _described(trainer: Trainer) -> dict[str, Any]:
    """What ``config.json`` holds."""
    return {
        "config": trainer.config.to_dict(),
        "data": trainer.data.checksums,
        "dataset": trainer.data.describe(),
        "network": fingerprint(trainer.network),
        "versions": versions(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _run(trainer: Trainer, folder: RunFolder, given: Reporter | None) -> Result:
    reporter = given or Reporter()
    if given is None and in_notebook():
        reporter = import_module("qnnw.training.progress").OneLine()
    with folder.locked():
        try:
            journals = journals_in(trainer.source, folder.path)
            trainer.restore(folder)
            reporter.started(trainer, folder.path)
            if not journals:  # a device's time is not for estimates
                reporter.estimated(trainer.seconds_left())
            while len(trainer.history) < trainer.rounds:
                line = trainer.run_round(reporter)
                trainer.history.append(line)
                _save(trainer, folder, journals)
                reporter.round_finished(line)
            # A kill between the last round and here leaves what this writes to the next resume.
            _save(trainer, folder, journals)
            result = {**trainer.result(folder), **_device(trainer.config, journals)}
            draw_if_possible("qnnw.training.plots:plot_history", folder.path)
            folder.write_result(result)
        finally:
            reporter.stopped()
            trainer.close()
    return Result(result)


def _save(trainer: Trainer, folder: RunFolder, journals: Sequence[Journal]) -> None:
    with ExitStack() as stack:
        for journal in journals:
            stack.enter_context(journal.settling())
        trainer.save(folder)


def _device(config: TrainConfig, journals: Sequence[Journal]) -> dict[str, Any]:
    """What a result says of what measured: ``jobs.jsonl`` says it of every job."""
    said = {name: getattr(config, name) for name in ("backend", "noise", "mitigate")}
    found = {name: value for name, value in said.items() if value is not None}
    lines = [line for journal in journals[:1] for line in journal.lines()]
    if not lines:
        return found
    runs = [line.get("readout", line) for line in lines if "device" not in line]
    device = next(line["device"] for line in reversed(lines) if "device" in line)
    return {
        **found,
        "gradient": config.gradient,
        "calibrated": device["calibrated"],
        "depth": device["depth"],
        "two_qubit_gates": device["two_qubit_gates"],
        "jobs": sum(len(run["jobs"]) for run in runs),
        "circuits": sum(run["circuits"] for run in runs),
        "measurements": sum(run["circuits"] * run["shots"] for run in runs),
        "device_seconds": sum(run["seconds"] for run in runs),
    }

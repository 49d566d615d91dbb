"""A run's network evaluated: as it is saved, or with weights that are measured anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.checks import integer, one_of
from qnnw._common.extras import needs
from qnnw._common.runtime import get_num_threads
from qnnw.training.config import EXECUTION, TrainConfig
from qnnw.training.evaluation import Evaluator
from qnnw.training.given import Network, data_of, loss_of
from qnnw.training.legacy import upgraded_checkpoint
from qnnw.training.record import RecordError, RunFolder
from qnnw.training.sources import source_of
from qnnw.training.stored import config_of, given_again, load_model

with needs("train", "qnnw.training.measuring"):
    from torch import nn


def evaluate_run(
    path: str | Path,
    split: str = "test",
    *,
    data_dir: str | None = None,
    network: Network | None = None,
    data: Any = None,
    repeats: int = 1,
    **measured: Any,
) -> dict[str, Any]:
    """Evaluate a run on one of its splits: its saved model, or its weights measured anew.

    Parameters
    ----------
    path
        The run's folder, finished or not.
    split
        ``"test"`` or ``"train"``.
    data_dir
        Instead of the run's own.
    network, data
        As for :func:`qnnw.training.runs.resume`.
    repeats
        Measurements; the result has the mean of every measure, and its standard deviation over
        them as ``NAME_std``.
    measured
        ``backend``, ``shots``, ``mitigate``, ``noise``, ``trajectories``: settings of a run, by
        which the circuit of its best angles is measured. Without any, ``model.safetensors`` is
        evaluated.

    Returns
    -------
    dict
        Run, data set, split, samples, loss and measures; of measured weights also how they were.

    Raises
    ------
    TypeError, ValueError
        An argument is out of range, or the run has no circuit.
    qnnw.training.record.RecordError
        The folder is no run, or has no whole model yet.
    """
    one_of("split", split, ("train", "test"))
    for name in measured:
        one_of("measured", name, EXECUTION)
    wanted = {name: value for name, value in measured.items() if value is not None}
    integer("repeats", repeats, 1)
    if repeats > 1 and not wanted:
        raise ValueError(f"`repeats` is {repeats}; a saved model is the same every time")
    folder = RunFolder(path)
    config = config_of(folder, data_dir=data_dir)
    given = given_again(folder, config, network, data)
    dataset = data_of(config, given)
    plain = load_model(folder, config, given, dataset)
    labels = getattr(dataset, f"{split}_labels")
    names: tuple[str, ...] | None = None
    said: dict[str, Any] = {}
    if wanted:
        drawn, names, said = _measured(folder, config, plain, wanted, repeats)
    evaluator = Evaluator(
        plain,
        getattr(dataset, f"{split}_inputs"),
        labels,
        loss=loss_of(config, dataset),
        threads=get_num_threads(),
        names=names,
        num_outputs=dataset.num_outputs,
        target_scale=dataset.target_scale,
    )
    found = [evaluator(w) for w in (drawn if wanted else [evaluator.own_weights()])]
    evaluator.close()
    values = {"loss": [one.loss for one in found]}
    values |= {name: [one.measures[name] for one in found] for name in found[0].measures}
    spread = {f"{name}_std": float(np.std(all_of)) for name, all_of in values.items()}
    return {
        "run_dir": str(folder.path),
        "dataset": config.dataset,
        "task": dataset.task,
        "split": split,
        "samples": len(labels),
        **{name: float(np.mean(all_of)) for name, all_of in values.items()},
        **({"repeats": repeats, **spread, **said} if wanted else {}),
    }


def _measured(
    folder: RunFolder, config: TrainConfig, plain: nn.Module, wanted: dict[str, Any], repeats: int
) -> tuple[Iterator[NDArray[Any]], tuple[str, ...], dict[str, Any]]:
    """Weights of the best point, one measurement after another, and how they are measured."""
    own = {"backend": None, "noise": None, "mitigate": None, "gradient": "parameter_shift"}
    more = {"fraction": 0.5, "trajectories": 32, "shots": config.shots}
    config = config.changed(**{**own, **more, **wanted})
    source, names = source_of(config, plain)
    checkpoint = folder.read_checkpoint()
    if checkpoint is None:
        raise RecordError(f"{str(folder.path)!r} has no finished period or epoch yet")
    sizes = {name: len(group.start) for name, group in source.groups.items()}
    try:
        arrays, _ = upgraded_checkpoint(checkpoint[0], checkpoint[1], sizes)
        best = {name: arrays[f"best.{name}"].astype(np.float64) for name in sizes}
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{str(folder.checkpoint_path)!r} is damaged: {error}") from error
    said = {name: getattr(config, name) for name in EXECUTION if name != "trajectories"}
    return (source.weights(best, draw) for draw in range(repeats)), names, said

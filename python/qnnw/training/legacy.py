"""Settings and checkpoints of release 0.1, in today's form: its runs and sweeps go on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw.training.config import FORMAT, LATER, TrainConfig
from qnnw.training.optimizers import OPTIMIZERS
from qnnw.training.settings import settings_of

# What release 0.1 took where a record lacks a setting.
_THEN: dict[str, Any] = {
    "network": None, "label": None, "task": "auto", "entanglement": "linear", "signs": "parity",
    "mapping": "paper", "scale": "none", "gamma": 0.3, "activation": "relu",
    "loss": "cross-entropy", "shots": None, "seed": 0, "train_samples": None,
    "validation_samples": None, "data_dir": None, "device": "cpu", "threads": None,
    "periods": 21, "angle_evals": 100, "gamma_evals": 10, "rhobeg": 2.0, "rhobeg_decay": 0.1,
    "rotate": True, "gamma_step": 3.0, "epochs": 20, "batch_size": 128, "lr": None, "warmup": 0.05,
}  # fmt: skip


def upgraded(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a record, as :meth:`TrainConfig.to_dict` writes them today.

    Raises
    ------
    KeyError
        They are of no release.
    """
    if "format" in settings:
        return settings
    old = {**LATER, **_THEN, **settings}
    source = old.pop("weights_from", "circuit")
    optimizer = old.get("optimizer", "cobyla")
    # "adam" was EigenAdam unless it was told otherwise, or had to hold all weights of a network.
    whole = old.pop("preconditioning", "full") == "full" and source != "direct"
    if optimizer == "adam" and whole:
        optimizer = "eigen-adam"
    # It had only losses for classes, of which this is the task's own.
    if old["loss"] == "cross-entropy":
        old["loss"] = None
    own = settings_of(OPTIMIZERS[optimizer])
    names = [*settings_of(TrainConfig), *own]
    values = {**old, "source": source, "optimizer": optimizer, "format": FORMAT}
    return {name: values[name] for name in ("format", "optimizer", *names)}


def upgraded_checkpoint(
    arrays: dict[str, NDArray[Any]], state: dict[str, Any], groups: dict[str, int]
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """A checkpoint's arrays and numbers with every group by its name; today's as they are.

    Parameters
    ----------
    arrays, state
        As the record gives them.
    groups
        The source's groups and their sizes.
    """
    if "angles" not in arrays or any(name.startswith("best.") for name in arrays):
        return arrays, state
    many = next((name for name, size in groups.items() if name != "gamma"), None)
    renamed: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        group, dot, key = name.partition(".")
        if name in ("angles", "angles_now"):
            if many is not None:
                renamed[f"{'best' if name == 'angles' else 'now'}.{many}"] = array
        elif name == "gamma_now":
            renamed["now.gamma"] = array.reshape(1)
        elif dot and group == "angles" and many is not None:
            renamed[f"moment.{many}.{key}"] = array
        elif dot and group == "gamma":
            renamed[f"moment.gamma.{key}"] = array if key == "step" else array.reshape(1)
        elif name not in ("first", "second", "signs"):
            renamed[name] = array
    renamed["best.gamma"] = np.array([float(state["gamma"])])
    kept = {
        name: array
        for name, array in renamed.items()
        if name.split(".")[0] not in ("best", "now", "moment") or name.split(".")[1] in groups
    }
    moments = {"moments": [name for name in kept if name.startswith("moment.")]}
    if len(moments["moments"]) < len(state.get("moments", ())) and set(groups) != {"gamma"}:
        gone = [name for name in state["moments"] if name not in arrays]
        if gone:
            raise KeyError(gone[0])
    return kept, {**state, **moments}


def num_trained(result: dict[str, Any]) -> int:
    """How many numbers a run trained; release 0.1 counted them without gamma."""
    if "num_trained" in result:
        return int(result["num_trained"])
    gamma = result.get("weights_from", "circuit") not in ("subspace", "direct")
    return int(result["num_angles"]) + gamma

"""The settings that a run takes when none are given, for every data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qnnw.circuit.blocks import DEFAULT
from qnnw.data import registry
from qnnw.training.config import WHOLE, TrainConfig, all_settings
from qnnw.training.optimizers import OPTIMIZERS, EigenAdam, OptimizerConfig, optimizer_of
from qnnw.training.settings import settings_of
from qnnw.weights.settings import LEARNED, PER_TENSOR

# Map, scale and learning rate were chosen by validation accuracy on MNIST (docs/results.md); they
# are TrainConfig's own defaults.
_BEST = {
    "iris": TrainConfig("iris", EigenAdam(epochs=200, batch_size=25, lr=0.05), reps=1),
    "digits": TrainConfig("digits", EigenAdam(epochs=100, batch_size=32, lr=0.03), reps=10),
    "mnist": TrainConfig("mnist"),
    "fashion-mnist": TrainConfig("fashion-mnist"),
}
# A user's data: as many steps as the digits have, whatever their number.
_OTHERS = TrainConfig(optimizer=EigenAdam(epochs=100, batch_size=32, lr=0.03), reps=10)

#: Angles that MNIST's and FashionMNIST's networks train where nothing is said of them; with a gamma
#: for each of the 8 tensors they are 702 numbers.
COUNT = 694
# They are no help to the smallest counts, which have no numbers to spare.
_GAMMAS = {"gammas": PER_TENSOR, "gamma_lr": 0.04}
# What measured best for the network of 6690 weights (docs/results.md), from the least count on for
# which it did. A circuit is deeper than its count: the rest of its angles stay.
_BY_COUNT: dict[int, dict[str, Any]] = {
    0: {"reps": 26, "gamma_lr": 0.02},
    100: {"reps": 52, **_GAMMAS},
    600: {"reps": 28, "lr": 0.015, "epochs": 30, "shift": 1, **_GAMMAS},
    1000: {"reps": 28, "epochs": 30, "shift": 1, **_GAMMAS},
}

_paper: dict[str, TrainConfig] = {}


def register_paper(presets: Mapping[str, TrainConfig]) -> None:
    """Make a paper's settings known by data set; whoever may import the paper hands them down."""
    _paper.update(presets)


def paper_preset(dataset: str) -> TrainConfig:
    """The paper's protocol for a data set.

    Raises
    ------
    ValueError
        It has none; the message names those that it has.
    """
    if dataset not in _paper:
        listed = ", ".join(map(repr, _paper)) or "none: import qnnw.paper"
        raise ValueError(f"`dataset` is {dataset!r}; the paper's settings are for {listed}")
    return _paper[dataset]


def preset(
    dataset: str, optimizer: str | OptimizerConfig | None = None, **settings: Any
) -> TrainConfig:
    """Settings of a run: those that measured best, but for those that are given.

    Parameters
    ----------
    dataset
        A registered name, or what :func:`qnnw.data.registry.load` takes.
    optimizer
        Another one than EigenAdam; Adam keeps the epochs, the others have budgets of their own. Or
        such an object, with all of its settings.
        ``None``: the one that has the settings that are given.
    settings
        By name. MNIST and FashionMNIST by gradients train 702 numbers, or as many angles as
        ``trained`` says and a gamma for each tensor, of a circuit of the depth that measured best
        for that count, by the map and for the epochs that did; where ``reps`` is given and
        ``trained`` is not, all of that circuit's.

    Raises
    ------
    TypeError, ValueError
        There is no such data set, optimiser or setting, or one is out of range.
    """
    best = _BEST.get(dataset) or _OTHERS.changed(dataset=dataset)
    optimizer = optimizer or optimizer_of(settings)
    if isinstance(optimizer, OptimizerConfig):
        best = best.changed(optimizer=optimizer)
    elif optimizer is not None:
        best = best.by(optimizer)
    measured = _by_count(best, settings)
    if isinstance(optimizer, OptimizerConfig):  # it has settings of its own
        measured = {n: value for n, value in measured.items() if n not in optimizer.settings}
    return best.changed(**{**measured, **settings})


def _by_count(best: TrainConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """What measured best for the count of trained numbers, where that was measured."""
    source, network = given.get("source", best.source), given.get("network")
    measured = best.dataset in ("mnist", "fashion-mnist") and network is None
    measured = measured and given.get("circuit", DEFAULT) == DEFAULT
    if not measured or not isinstance(best.optimizer, EigenAdam) or source in (*WHOLE, *LEARNED):
        return {}
    count = given.get("trained")
    if count is None and ("reps" in given or "trained" in given):
        return {}
    count = count or (COUNT if source == "circuit" else COUNT + 8)
    found = dict(next(s for least, s in reversed(_BY_COUNT.items()) if count >= least))
    if best.dataset != "mnist":  # garments, which fill their images, are not learned better so
        found.pop("shift", None)
    if source != "circuit":  # a rival has the same budget, and nothing else of the circuit's
        return {"trained": count, **{n: found[n] for n in ("epochs", "shift") if n in found}}
    # 13 qubits make 6690 weights; the angles of the last RZ layer change nothing.
    deep = max(found["reps"], -(-(count + 13) // 26) - 1)
    return {"trained": count, "mapping": "hadamard", **found, "reps": deep}


def settings_table() -> str:
    """All settings in Markdown: name, default, what it may be, and what it does."""
    rows = ["| setting | default | may be | |", "| --- | --- | --- | --- |"]
    for name, declared in all_settings().items():
        users = [kind.name for kind in OPTIMIZERS.values() if name in settings_of(kind)]
        whose = f"{', '.join(users)}: " if users else ""
        default = "none" if declared.default is None else str(declared.default)
        wanted = f"{', '.join(registry.names())}, …" if name == "dataset" else declared.wanted
        rows.append(f"| `{name}` | {default} | {wanted} | {whose}{declared.help} |")
    return "\n".join(rows) + "\n"

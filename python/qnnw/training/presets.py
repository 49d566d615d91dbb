"""The settings that a run takes when none are given, for every data set."""

from __future__ import annotations

from collections.abc import Mapping

from qnnw.data import registry
from qnnw.training.config import TrainConfig, one_of
from qnnw.training.optimizers import OPTIMIZERS, EigenAdam
from qnnw.training.settings import Setting, settings_of

__all__ = ["paper_preset", "preset", "register_paper", "settings_table"]

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


def preset(dataset: str, optimizer: str | None = None) -> TrainConfig:
    """Settings of a run: those that measured best.

    Parameters
    ----------
    dataset
        A registered name, or what :func:`qnnw.data.registry.load` takes.
    optimizer
        Another one than EigenAdam; Adam keeps the epochs, the others have budgets of their own.

    Raises
    ------
    ValueError
        There is no such data set or optimiser.
    """
    best = _BEST.get(dataset) or _OTHERS.changed(dataset=dataset)
    if optimizer is None:
        return best
    kind = OPTIMIZERS[one_of("optimizer", optimizer, OPTIMIZERS)]
    if issubclass(kind, EigenAdam):
        return best.changed(optimizer=kind(**best.optimizer.settings))
    return best.changed(optimizer=kind())


def settings_table() -> str:
    """All settings in Markdown: name, default, what it may be, and what it does."""
    rows = ["| setting | default | may be | |", "| --- | --- | --- | --- |"]
    rows += [_row(declared) for declared in settings_of(TrainConfig).values()]
    told: set[str] = set()
    for kind in OPTIMIZERS.values():
        for name, declared in settings_of(kind).items():
            if name not in told:
                told.add(name)
                users = [n for n, other in OPTIMIZERS.items() if name in settings_of(other)]
                rows.append(_row(declared, f"{', '.join(users)}: "))
    return "\n".join(rows) + "\n"


def _row(declared: Setting, whose: str = "") -> str:
    default = "none" if declared.default is None else str(declared.default)
    known = registry.names() if declared.name == "dataset" else None
    wanted = ", ".join(known) + ", …" if known else declared.wanted
    return f"| `{declared.name}` | {default} | {wanted} | {whose}{declared.help} |"

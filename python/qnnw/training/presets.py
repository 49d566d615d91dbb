"""The settings that a run takes when none are given, for every dataset and optimiser."""

from __future__ import annotations

from dataclasses import replace

from qnnw.paper import presets as paper
from qnnw.training.config import OPTIMIZERS, TrainConfig, one_of

__all__ = ["DEFAULT_OPTIMIZERS", "preset"]

#: The optimiser of a run that names none.
DEFAULT_OPTIMIZERS = {"iris": "cobyla", "digits": "adam", "mnist": "adam", "fashion-mnist": "adam"}

_COBYLA = {
    **paper.PRESETS,
    "digits": TrainConfig(dataset="digits", reps=10, periods=20, angle_evals=500, gamma_evals=20),
    "fashion-mnist": replace(paper.PRESETS["mnist"], dataset="fashion-mnist"),
}

# Map, scale and learning rate were chosen by validation accuracy on MNIST (docs/results.md).
_IMAGES = TrainConfig(
    dataset="mnist",
    reps=26,
    optimizer="adam",
    mapping="centered",
    scale="fan_in",
    gamma=1.2,
    epochs=20,
    batch_size=128,
)
_ADAM = {
    "iris": replace(_IMAGES, dataset="iris", reps=1, epochs=200, batch_size=25, lr=0.05),
    "digits": replace(_IMAGES, dataset="digits", reps=10, epochs=100, batch_size=32, lr=0.03),
    "mnist": _IMAGES,
    "fashion-mnist": replace(_IMAGES, dataset="fashion-mnist"),
}


def _own(dataset: str) -> TrainConfig:
    """For data of a user's own: as for the digits."""
    return replace(_ADAM["digits"], dataset=dataset)


def preset(dataset: str, optimizer: str | None = None) -> TrainConfig:
    """Settings of a run.

    Parameters
    ----------
    dataset
        ``"iris"``, ``"digits"``, ``"mnist"`` or ``"fashion-mnist"``.
    optimizer
        ``"cobyla"`` is the paper's protocol, and for Iris and MNIST the paper's own settings;
        ``"cobyla-fast"`` and ``"spsa"`` the same with those; ``"adam"`` trains by exact gradients
        with the map that measured best. ``None``: :data:`DEFAULT_OPTIMIZERS`.

    Raises
    ------
    ValueError
        There is no such dataset or optimiser.
    """
    if dataset not in DEFAULT_OPTIMIZERS:
        own = _own(dataset)
        return own if optimizer is None else replace(own, optimizer=optimizer)
    optimizer = optimizer or DEFAULT_OPTIMIZERS[dataset]
    one_of("optimizer", optimizer, OPTIMIZERS)
    if optimizer == "adam":
        return _ADAM[dataset]
    return replace(_COBYLA[dataset], optimizer=optimizer)

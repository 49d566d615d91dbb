"""The paper's settings (Liu et al. 2024, sections III.A and III.B), and like ones for other data."""

from __future__ import annotations

from typing import Any

from qnnw.training.config import TrainConfig
from qnnw.training.optimizers import Cobyla
from qnnw.training.presets import register_paper

__all__ = ["PRESETS"]

# The map of its equations, and the gamma of its text.
_MAP: dict[str, Any] = {"mapping": "paper", "scale": "none", "gamma": 0.3}

PRESETS: dict[str, TrainConfig] = {
    # Figure 2b: one layer, 32 angles, 21 periods of at most 100 + 10 evaluations.
    "iris": TrainConfig(
        "iris", Cobyla(periods=21, angle_evals=100, gamma_evals=10), reps=1, **_MAP
    ),
    # Figure 2a: the paper's 728 angles are reps = 27 (its text says 26 layers, which gives 702).
    # What it leaves open was chosen by what trains: with ReLU, or with first steps of 3, the loss
    # stays on the plateau where it starts (docs/reproduction.md).
    "mnist": TrainConfig(
        "mnist",
        Cobyla(periods=100, angle_evals=2000, gamma_evals=200, rhobeg=10.0),
        reps=27,
        activation="identity",
        **_MAP,
    ),
}
# The same protocol for data that the paper does not have.
_OTHERS = {
    "digits": TrainConfig(
        "digits", Cobyla(periods=20, angle_evals=500, gamma_evals=20), reps=10, **_MAP
    ),
    "fashion-mnist": PRESETS["mnist"].changed(dataset="fashion-mnist"),
}
register_paper({**PRESETS, **_OTHERS})

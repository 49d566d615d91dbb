"""The settings of a run, checked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from qnnw import networks
from qnnw.evaluation import LOSSES

__all__ = ["NETWORKS", "TrainConfig", "one_of"]

NETWORKS = {"iris": networks.iris, "mnist": networks.mnist}


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; everything but ``threads`` and ``device`` decides its numbers.

    Attributes
    ----------
    dataset
        ``"iris"`` or ``"mnist"``; it also names the network.
    reps, entanglement
        The circuit; see :class:`qnnw.EfficientSU2`.
    signs, mapping
        The map; see :class:`qnnw.WeightMap`.
    gamma
        Initial scale.
    activation, loss
        See :mod:`qnnw.networks` and :class:`qnnw.evaluation.Evaluator`.
    periods, angle_evals, gamma_evals
        N_train, N_phi and N_gamma; ``gamma_evals`` may be 0.
    rhobeg, rhobeg_decay
        COBYLA's first step, radians: ``rhobeg`` in the first period, falling geometrically to
        ``rhobeg * rhobeg_decay`` in the last. Turned, a step is the length of a change of all
        angles; else it is the change of a single one.
    rotate
        Whether COBYLA works in coordinates that are turned at random, anew in each period.
    gamma_step
        Edge of Nelder-Mead's first simplex relative to gamma: it starts from gamma and
        ``(1 + gamma_step) * gamma``.
    shots
        Measurements per evaluation, drawn afresh each time; ``None`` is exact.
    seed
        Of the split, the initial angles, the map and the shots.
    train_samples
        Train on a stratified subset; ``None`` is the whole training set.
    data_dir
        See :func:`qnnw.datasets.load`.
    device, threads
        Where the network runs, and on how many threads.
    """

    dataset: str
    reps: int
    periods: int
    angle_evals: int
    gamma_evals: int
    rhobeg: float = 3.0
    rhobeg_decay: float = 0.1
    rotate: bool = True
    gamma_step: float = 3.0
    entanglement: str = "linear"
    signs: str = "parity"
    mapping: str = "paper"
    gamma: float = 0.3
    activation: str = "relu"
    loss: str = "cross-entropy"
    shots: int | None = None
    seed: int = 0
    train_samples: int | None = None
    data_dir: str | None = None
    device: str = "cpu"
    threads: int | None = None

    def __post_init__(self) -> None:
        one_of("dataset", self.dataset, NETWORKS)
        one_of("activation", self.activation, networks.ACTIVATIONS)
        one_of("loss", self.loss, LOSSES)
        for name, least in (("periods", 1), ("angle_evals", 1), ("gamma_evals", 0), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"`{name}` is {value}; it must be at least {least}")
        if self.seed >= 2**64:
            raise ValueError(f"`seed` is {self.seed}; it must be below 2**64")
        for name in ("rhobeg", "rhobeg_decay", "gamma_step", "gamma"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"`{name}` is {value}; it must be positive and finite")
        if self.shots is not None and not 1 <= self.shots <= 2**40:
            raise ValueError(f"`shots` is {self.shots}; it must be from 1 to 2**40")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"`threads` is {self.threads}; it must be at least 1")


def one_of(name: str, value: str, known: Iterable[str]) -> None:
    """Raise a ``ValueError`` that names the argument unless ``value`` is among ``known``."""
    if value not in known:
        options = ", ".join(map(repr, known))
        raise ValueError(f"`{name}` is {value!r}; it must be one of {options}")

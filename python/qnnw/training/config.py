"""The settings of a run, checked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from qnnw.data import networks, registry
from qnnw.training.evaluation import LOSSES
from qnnw.weights.targets import SCALES

__all__ = ["OPTIMIZERS", "WEIGHTS_FROM", "TrainConfig", "one_of"]

OPTIMIZERS = ("cobyla", "cobyla-fast", "spsa", "adam")
PRECONDITIONING = ("full", "diagonal")
WEIGHTS_FROM = ("circuit", "frozen", "haar", "subspace", "direct")


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; everything but ``threads`` and ``device`` decides its numbers.

    Attributes
    ----------
    dataset
        A registered name, a file, a folder or a function; see :func:`qnnw.data.registry.load`.
    network
        ``None``: the data set's own; else see :func:`qnnw.data.registry.network`.
    label, task
        See :func:`qnnw.data.registry.load`.
    reps, entanglement
        The circuit; see :class:`qnnw.EfficientSU2`. ``"none"`` is a circuit without CNOTs.
    optimizer
        ``"cobyla"``: the paper's periods, see :class:`qnnw.training.periods.PeriodTrainer`;
        ``"cobyla-fast"``: the same with :func:`qnnw.optim.derivative_free.minimize_cobyla` instead of SciPy's
        COBYLA, for many angles; ``"spsa"``: the same with SPSA on the angles, for shots;
        ``"adam"``: exact gradients, see :class:`qnnw.training.epochs.EpochTrainer`.
    signs, mapping
        The map; see :class:`qnnw.WeightMap`.
    scale
        ``"none"`` or ``"fan_in"``; see :func:`qnnw.weights.targets.scale_of`.
    gamma
        Initial scale of the map.
    activation, loss
        See :mod:`qnnw.data.networks` and :class:`qnnw.training.evaluation.Evaluator`.
    periods, angle_evals, gamma_evals
        N_train, N_phi and N_gamma, for COBYLA and SPSA; ``gamma_evals`` may be 0.
    rhobeg, rhobeg_decay
        First step of COBYLA and SPSA, radians: ``rhobeg`` in the first period, falling
        geometrically to ``rhobeg * rhobeg_decay`` in the last. It is the length of a change of all
        angles; with COBYLA not turned, the change of a single one.
    rotate
        Whether COBYLA works in coordinates that are turned at random, anew in each period.
    gamma_step
        Edge of Nelder-Mead's first simplex relative to gamma: it starts from gamma and
        ``(1 + gamma_step) * gamma``.
    epochs, batch_size, lr, warmup
        For Adam: passes over the training set, samples of a step, peak learning rate (radians a
        step, about; ``None``: 15 / number of angles, at most 0.1), and the share of the run after
        which it is reached.
    preconditioning
        For Adam: ``"full"``, in the eigenbasis of the gradients (:class:`qnnw.optim.eigen_adam.EigenAdam`), or
        ``"diagonal"``, Adam itself.
    weights_from
        ``"circuit"``, or one of the controls in :mod:`qnnw.weights.rivals`.
    shots
        Measurements per evaluation or step, drawn afresh each time; ``None`` is exact.
    seed
        Of the split, the initial angles, the map, the order of the samples and the shots.
    train_samples
        Train on a stratified subset; ``None`` is the whole training set.
    validation_samples
        Measure on this many samples held out of the training set, instead of on the test set.
    data_dir
        See :func:`qnnw.data.datasets.load`.
    device, threads
        Where the network runs, and on how many threads.
    """

    dataset: str
    reps: int
    optimizer: str = "cobyla"
    periods: int = 21
    angle_evals: int = 100
    gamma_evals: int = 10
    rhobeg: float = 2.0
    rhobeg_decay: float = 0.1
    rotate: bool = True
    gamma_step: float = 3.0
    epochs: int = 20
    batch_size: int = 128
    lr: float | None = None
    warmup: float = 0.05
    preconditioning: str = "full"
    weights_from: str = "circuit"
    entanglement: str = "linear"
    signs: str = "parity"
    mapping: str = "paper"
    scale: str = "none"
    gamma: float = 0.3
    activation: str = "relu"
    loss: str | None = None
    shots: int | None = None
    seed: int = 0
    train_samples: int | None = None
    validation_samples: int | None = None
    data_dir: str | None = None
    device: str = "cpu"
    threads: int | None = None
    network: str | None = None
    label: str | None = None
    task: str = "auto"

    def __post_init__(self) -> None:
        if not self.dataset.startswith("<"):
            try:
                registry.kind_of(self.dataset)
            except ValueError as error:
                raise ValueError(str(error).replace("`name`", "`dataset`", 1)) from None
        one_of("task", self.task, registry.TASKS)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("preconditioning", self.preconditioning, PRECONDITIONING)
        one_of("weights_from", self.weights_from, WEIGHTS_FROM)
        one_of("scale", self.scale, SCALES)
        one_of("activation", self.activation, networks.ACTIVATIONS)
        if self.loss is not None:
            one_of("loss", self.loss, LOSSES)
        least_values = {
            "periods": 1,
            "angle_evals": 1,
            "gamma_evals": 0,
            "epochs": 1,
            "batch_size": 1,
            "seed": 0,
        }
        for name, least in least_values.items():
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"`{name}` is {value}; it must be at least {least}")
        if self.seed >= 2**64:
            raise ValueError(f"`seed` is {self.seed}; it must be below 2**64")
        for name in ("rhobeg", "rhobeg_decay", "gamma_step", "gamma", "lr"):
            value = getattr(self, name)
            if value is None and name == "lr":
                continue
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"`{name}` is {value}; it must be positive and finite")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"`warmup` is {self.warmup}; it must be from 0 to below 1")
        if self.shots is not None and not 1 <= self.shots <= 2**40:
            raise ValueError(f"`shots` is {self.shots}; it must be from 1 to 2**40")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"`threads` is {self.threads}; it must be at least 1")

    @property
    def pairs(self) -> str | tuple[()]:
        """The circuit's entanglement as :class:`qnnw.EfficientSU2` takes it."""
        return () if self.entanglement == "none" else self.entanglement


def one_of(name: str, value: str, known: Iterable[str]) -> None:
    """Raise a ``ValueError`` that names the argument unless ``value`` is among ``known``."""
    if value not in known:
        options = ", ".join(map(repr, known))
        raise ValueError(f"`{name}` is {value!r}; it must be one of {options}")

"""The optimisers of a run: each with its own settings, rounds and units. No torch until they build.

``eigen-adam`` and ``adam`` go by exact gradients, in epochs of steps; the others by values of the
loss alone, in periods of evaluations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from qnnw._common.checks import one_of
from qnnw.optim import derivative_free
from qnnw.training.settings import checked, setting, settings_of

if TYPE_CHECKING:
    import torch

# The default peak learning rate: a step moves every number by about that much, and the fewer there
# are, the less it moves the weights. Measured on MNIST (docs/results.md).
LR_TIMES_NUMBERS, LARGEST_LR = 15.0, 0.1


@dataclass(frozen=True)
class OptimizerConfig:
    """What all optimisers declare."""

    #: In settings and records.
    name: ClassVar[str]
    #: For a person.
    title: ClassVar[str]
    #: What a round is called; the key of its number in a history.
    round_name: ClassVar[str]
    #: What is counted within a round; a key in a history.
    unit_name: ClassVar[str]

    def __post_init__(self) -> None:
        checked(self)

    @property
    def rounds(self) -> int:
        """Rounds of a whole run."""
        return int(getattr(self, f"{self.round_name}s"))

    @property
    def settings(self) -> dict[str, Any]:
        """Its settings as JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class EigenAdam(OptimizerConfig):
    """Adam in the eigenbasis of the gradients; see :class:`qnnw.optim.EigenAdam`."""

    name: ClassVar[str] = "eigen-adam"
    title: ClassVar[str] = "Adam in the gradients' eigenbasis,"
    round_name: ClassVar[str] = "epoch"
    unit_name: ClassVar[str] = "steps"

    epochs: int = setting(20, "Passes over the training set.", least=1)
    batch_size: int = setting(128, "Samples of a step.", least=1)
    lr: float | None = setting(
        None, "Peak learning rate; none: 15 / trained numbers, at most 0.1.", above=0
    )
    warmup: float = setting(0.05, "Share of the run until that peak.", least=0, below=1)
    gamma_lr: float | None = setting(
        None, "Peak learning rate of gamma; none: that of the others.", above=0
    )
    label_smoothing: float = setting(
        0.0, "Share of a label that a step's cross-entropy gives all classes.", least=0, below=1
    )
    shift: int = setting(
        0, "A step's images are moved by up to so many pixels, anew each epoch.", least=0
    )
    mirror: bool = setting(False, "Half of the images are mirrored, drawn anew each epoch.")

    def peak_lr(self, count: int) -> float:
        """The peak learning rate for so many trained numbers (a circuit's angles)."""
        return self.lr or min(LARGEST_LR, LR_TIMES_NUMBERS / max(1, count))

    def build(self, numbers: Iterable[Any], lr: float) -> torch.optim.Optimizer:
        """The optimiser of these tensors or groups of them."""
        from qnnw.optim.eigen_adam import EigenAdam as Method

        return Method(numbers, lr=lr)


@dataclass(frozen=True)
class Adam(EigenAdam):
    """torch's Adam."""

    name: ClassVar[str] = "adam"
    title: ClassVar[str] = "Adam"

    def build(self, numbers: Iterable[Any], lr: float) -> torch.optim.Optimizer:
        """The optimiser of these tensors or groups of them."""
        import torch

        return torch.optim.Adam(numbers, lr=lr)


@dataclass(frozen=True)
class Spsa(OptimizerConfig):
    """SPSA, for shots; see :class:`qnnw.optim.Spsa`."""

    name: ClassVar[str] = "spsa"
    title: ClassVar[str] = "spsa"
    round_name: ClassVar[str] = "period"
    unit_name: ClassVar[str] = "evaluations"

    periods: int = setting(21, "Training periods, N_train.", least=1)
    angle_evals: int = setting(100, "Evaluations a period on the angles, N_phi.", least=1)
    gamma_evals: int = setting(10, "Nelder-Mead's evaluations a period on gamma.", least=0)
    rhobeg: float = setting(2.0, "First step in the first period, radians.", above=0)
    rhobeg_decay: float = setting(
        0.1, "That step in the last period, relative to the first.", above=0
    )
    gamma_step: float = setting(
        3.0, "Edge of Nelder-Mead's first simplex, relative to gamma.", above=0
    )

    def method(self, step: float, seed: int) -> derivative_free.Optimizer:
        """The optimiser of the many numbers in a period."""
        return derivative_free.Spsa(step=step, seed=seed)


@dataclass(frozen=True)
class Cobyla(Spsa):
    """SciPy's COBYLA, the paper's; see :class:`qnnw.optim.Cobyla`."""

    name: ClassVar[str] = "cobyla"
    title: ClassVar[str] = "COBYLA"

    rotate: bool = setting(True, "Turn the coordinates at random in each period.")

    def method(self, step: float, seed: int) -> derivative_free.Optimizer:
        """The optimiser of the many numbers in a period."""
        return derivative_free.Cobyla(rhobeg=step, rotation=seed if self.rotate else None)


@dataclass(frozen=True)
class CobylaFast(Cobyla):
    """The same method in O(n^2) steps per evaluation, for many angles."""

    name: ClassVar[str] = "cobyla-fast"
    title: ClassVar[str] = "COBYLA (O(n^2) steps)"

    def method(self, step: float, seed: int) -> derivative_free.Optimizer:
        """The optimiser of the many numbers in a period."""
        return derivative_free.FastCobyla(rhobeg=step, rotation=seed if self.rotate else None)


#: By name, in the order in which they are told.
OPTIMIZERS: dict[str, type[OptimizerConfig]] = {
    kind.name: kind for kind in (EigenAdam, Adam, Cobyla, CobylaFast, Spsa)
}


def optimizer_of(names: Iterable[str]) -> str | None:
    """The first optimiser that has all those of these settings that are an optimiser's.

    ``None`` where EigenAdam has them, which is everybody's default, or where no optimiser has.
    """
    every = {name for kind in OPTIMIZERS.values() for name in settings_of(kind)}
    own = every & set(names)
    found = (name for name, kind in OPTIMIZERS.items() if own <= set(settings_of(kind)))
    name = next(found, None)
    return None if name == EigenAdam.name else name


def optimizer_named(name: str, settings: dict[str, Any] | None = None) -> OptimizerConfig:
    """An optimiser by its name, with some of its settings.

    Raises
    ------
    TypeError, ValueError
        There is none of that name, or it has no such setting; the message names it.
    """
    kind = OPTIMIZERS[one_of("optimizer", name, OPTIMIZERS)]
    known = settings_of(kind)
    for given in settings or {}:
        if given not in known:
            raise ValueError(
                f"`{given}` is no setting of the optimizer {name!r}; it has {', '.join(known)}"
            )
    return kind(**(settings or {}))

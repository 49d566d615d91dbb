"""The optimisers of a run, a class each with its own settings. No torch until one is made."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qnnw._common.checks import kind_of, one_of
from qnnw.optim.derivative_free import Cobyla as ScipyCobyla
from qnnw.optim.derivative_free import FastCobyla
from qnnw.optim.derivative_free import Optimizer as Minimizer
from qnnw.optim.derivative_free import Spsa as ScheduledSpsa
from qnnw.training.settings import Settings, declared, setting

if TYPE_CHECKING:
    import torch

__all__ = [
    "OPTIMIZERS",
    "Adam",
    "Cobyla",
    "CobylaFast",
    "EigenAdam",
    "Epochs",
    "Optimizer",
    "Periods",
    "Spsa",
    "as_optimizer",
]

# The default peak learning rate: a step moves every number by about that much, and the fewer there
# are, the less it moves the weights. Measured on MNIST (docs/results.md).
LR_TIMES_NUMBERS, LARGEST_LR = 15.0, 0.1


class Optimizer(Settings):
    """What every optimiser says of itself."""

    #: In settings, records and tables.
    name: ClassVar[str]
    #: For a person.
    words: ClassVar[str]
    #: What a round is called; the key of its number in the history.
    round_name: ClassVar[str]
    #: What is counted within a round; a key in the history.
    unit_name: ClassVar[str]
    #: Name of the setting that holds the number of rounds.
    rounds_setting: ClassVar[str]

    @property
    def rounds(self) -> int:
        """Rounds of the whole run."""
        return int(getattr(self, self.rounds_setting))

    def to_dict(self) -> dict[str, Any]:
        """Name and settings; JSON."""
        return {"name": self.name, **asdict(self)}  # type: ignore[call-overload]

    def as_kind(self, name: str) -> Optimizer:
        """The optimiser of this name; settings that both have, and mean the same, are kept."""
        kind = OPTIMIZERS[one_of("optimizer", name, OPTIMIZERS)]
        if kind.round_name != self.round_name:
            return kind()
        mine = declared(type(self))
        return kind(**{key: getattr(self, key) for key in declared(kind) if key in mine})


@dataclass(frozen=True)
class Epochs(Optimizer):
    """Training by exact gradients, over batches: see :class:`qnnw.training.epochs.EpochTrainer`."""

    round_name: ClassVar[str] = "epoch"
    unit_name: ClassVar[str] = "steps"
    rounds_setting: ClassVar[str] = "epochs"

    epochs: int = setting(20, "Passes over the training set.", least=1)
    batch_size: int = setting(128, "Samples of a step.", least=1)
    lr: float | None = setting(
        None,
        "Peak learning rate, about the change of a number in a step; not set: 15 / number of "
        "trained numbers, at most 0.1.",
        above=0.0,
    )
    warmup: float = setting(0.05, "Share of the run until that peak.", least=0.0, below=1.0)

    def peak_lr(self, num_trained: int) -> float:
        """The peak learning rate for so many numbers, groups of one aside."""
        return self.lr or min(LARGEST_LR, LR_TIMES_NUMBERS / max(1, num_trained))

    @abstractmethod
    def make(self, groups: Sequence[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """The torch optimiser of these parameter groups."""


@dataclass(frozen=True)
class EigenAdam(Epochs):
    """:class:`qnnw.optim.eigen_adam.EigenAdam`: Adam in the eigenbasis of the gradients."""

    name: ClassVar[str] = "eigen-adam"
    words: ClassVar[str] = "Adam in the gradients' eigenbasis,"

    def make(self, groups: Sequence[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Raises a ValueError for a group of more numbers than its matrix can be held for."""
        from qnnw.optim import eigen_adam

        most = int(getattr(eigen_adam.EigenAdam, "MOST", 8192))
        largest = max(parameter.numel() for group in groups for parameter in group["params"])
        if largest > most:
            raise ValueError(
                f"`optimizer` is 'eigen-adam', whose matrix of {largest} x {largest} numbers is "
                f"too large: it takes at most {most} in a group; take 'adam'"
            )
        return eigen_adam.EigenAdam(groups, lr=lr)


@dataclass(frozen=True)
class Adam(Epochs):
    """torch's Adam."""

    name: ClassVar[str] = "adam"
    words: ClassVar[str] = "Adam"

    def make(self, groups: Sequence[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """:class:`torch.optim.Adam`."""
        import torch

        return torch.optim.Adam(list(groups), lr=lr)


@dataclass(frozen=True)
class Periods(Optimizer):
    """The paper's periods: see :class:`qnnw.training.periods.PeriodTrainer`."""

    round_name: ClassVar[str] = "period"
    unit_name: ClassVar[str] = "evaluations"
    rounds_setting: ClassVar[str] = "periods"

    periods: int = setting(21, "Training periods, N_train.", least=1)
    angle_evals: int = setting(100, "Evaluations a period, N_phi.", least=1)
    gamma_evals: int = setting(10, "Nelder-Mead evaluations a period, N_gamma.", least=0)
    rhobeg: float = setting(
        2.0, "Length of the first step in the first period, radians.", above=0.0
    )
    rhobeg_decay: float = setting(
        0.1, "That step in the last period, relative to the first; it falls geometrically.",
        above=0.0,
    )  # fmt: skip
    gamma_step: float = setting(
        3.0,
        "Edge of Nelder-Mead's first simplex, relative: from gamma and (1 + this) gamma.",
        above=0.0,
    )

    @abstractmethod
    def method(self, step: float, seed: int) -> Minimizer:
        """What minimises within a period: its first step, and the seed of its random choices."""

    def step_of(self, period: int) -> float:
        """First step of a period, counted from 1."""
        share = (period - 1) / max(self.periods - 1, 1)
        return self.rhobeg * float(self.rhobeg_decay) ** share

    def note(self, num_trained: int) -> list[str]:  # noqa: ARG002
        """What a person should know of a budget for so many numbers."""
        return []

    def own_seconds(self, num_trained: int) -> float:  # noqa: ARG002
        """Seconds that the method itself takes in a period, measured."""
        return 0.0


@dataclass(frozen=True)
class Cobyla(Periods):
    """SciPy's COBYLA, :class:`qnnw.optim.derivative_free.Cobyla`."""

    name: ClassVar[str] = "cobyla"
    words: ClassVar[str] = "COBYLA"
    implementation: ClassVar[type[ScipyCobyla]] = ScipyCobyla

    rotate: bool = setting(True, "Turn the coordinates at random, anew in each period.")

    def method(self, step: float, seed: int) -> ScipyCobyla:
        """COBYLA in turned coordinates."""
        return self.implementation(rhobeg=step, rotation=seed if self.rotate else None)

    def note(self, num_trained: int) -> list[str]:
        """Openly what a budget below COBYLA's simplex means."""
        simplex = num_trained + 2
        if self.angle_evals >= simplex:
            return []
        return [
            f"note: {self.angle_evals} evaluations are fewer than the {simplex} that COBYLA needs "
            "for a first model; each period walks along one direction after another"
        ]

    def own_seconds(self, num_trained: int) -> float:
        """Of the evaluations past the simplex."""
        past = max(0, self.angle_evals - num_trained)
        return past * self.method(self.rhobeg, 0).overhead(num_trained)


@dataclass(frozen=True)
class CobylaFast(Cobyla):
    """The same in O(n^2) an evaluation, :func:`qnnw.optim.cobyla.minimize_cobyla`."""

    name: ClassVar[str] = "cobyla-fast"
    words: ClassVar[str] = "COBYLA (O(n^2) steps)"
    implementation: ClassVar[type[ScipyCobyla]] = FastCobyla


@dataclass(frozen=True)
class Spsa(Periods):
    """:class:`qnnw.optim.derivative_free.Spsa`, for shots."""

    name: ClassVar[str] = "spsa"
    words: ClassVar[str] = "SPSA"

    def method(self, step: float, seed: int) -> Minimizer:
        """SPSA."""
        return ScheduledSpsa(step=step, seed=seed)


OPTIMIZERS: dict[str, type[Any]] = {
    kind.name: kind for kind in (EigenAdam, Adam, Cobyla, CobylaFast, Spsa)
}


def as_optimizer(value: Any) -> Optimizer:
    """An optimiser from itself, from its name (with its defaults), or from its ``to_dict``.

    Raises
    ------
    TypeError, ValueError
        It is none of them; the message names what is wrong.
    """
    if isinstance(value, Optimizer):
        return value
    if not isinstance(value, dict):
        if not isinstance(value, str):
            raise TypeError(
                f"`optimizer` is {kind_of(value)}; it must be a name or an optimizer's settings"
            )
        return OPTIMIZERS[one_of("optimizer", value, OPTIMIZERS)]()
    settings = dict(value)
    kind = OPTIMIZERS[one_of("optimizer", settings.pop("name", ""), OPTIMIZERS)]
    same_keys(settings, set(declared(kind)), f"settings of the optimizer {kind.name!r}")
    made: Optimizer = kind(**settings)
    return made


def same_keys(settings: dict[str, Any], known: set[str], what: str) -> None:
    """Refuse a record with unknown or missing keys, naming them."""
    for problem, names in (("unknown", set(settings) - known), ("missing", known - set(settings))):
        if names:
            listed = ", ".join(map(repr, sorted(names)))
            raise ValueError(f"{what}: {listed} {problem}")

"""What each of the paper's figures runs, and what the paper found (Liu et al. 2024, section III).

A figure is a sweep: settings along its horizontal axis, times seeds. It runs in the paper's
protocol unless another optimiser is asked for. The paper's points are what its text says and, where
marked, what can be read off its plots; where it gives a layer count, that is ``reps`` here, but for
figure 2a, whose 728 angles are ``reps=27``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from qnnw._common.checks import one_of
from qnnw.paper.presets import compared
from qnnw.sweep.ledger import Trial
from qnnw.training.config import TrainConfig
from qnnw.training.optimizers import Cobyla, CobylaFast, EigenAdam

BUDGETS = ("quick", "half", "full")

# The paper's figure 3: measurement shots in multiples of 2^N, and exact probabilities.
MULTIPLES = (1, 4, 7, 10, 13)


@dataclass(frozen=True)
class Figure:
    """One figure of the paper.

    Attributes
    ----------
    dataset
        What is learned.
    along
        The setting along the horizontal axis, ``None`` where that is the training periods.
    values
        Its values.
    reps
        Of the circuit, where they are not what varies.
    paper
        The paper's points: curve (``"test"``, ``"train"``, ``"loss"``) to pairs of place and value;
        accuracies in percent. The place of exact probabilities is ``None``.
    source
        Where these are from.
    seeds
        How many, unless asked otherwise, by budget.
    """

    dataset: str
    along: str | None
    values: tuple[Any, ...]
    reps: int | None
    paper: dict[str, list[tuple[float | None, float]]]
    source: str
    seeds: dict[str, int]

    @property
    def title(self) -> str:
        """What it shows."""
        name = {"mnist": "MNIST", "iris": "Iris"}[self.dataset]
        layers = "1 rep" if self.reps == 1 else f"{self.reps} reps"
        kind = {None: f"training, {layers}", "reps": "layers", "shots": "measurement shots"}
        return f"{name}: {kind[self.along]}"


_IRIS_SEEDS = {"quick": 3, "half": 10, "full": 10}
_MNIST_SEEDS = {"quick": 1, "half": 1, "full": 1}


def _shots(num_qubits: int) -> tuple[int | None, ...]:
    return (*(multiple * 2**num_qubits for multiple in MULTIPLES), None)


FIGURES: dict[str, Figure] = {
    "fig2a": Figure(
        "mnist", None, (), 27, {"loss": [(1, 1.50), (100, 1.15)], "test": [(100, 80.21)]},
        "accuracy from its text, loss read off figure 2a", _MNIST_SEEDS,
    ),
    "fig2b": Figure(
        "iris", None, (), 1, {"test": [(21, 95.0)]}, "its text: above 95 %", _IRIS_SEEDS
    ),
    "fig2c": Figure(
        "mnist", "reps", (1, 4, 7, 10, 13, 26), None, {"test": [(13, 74.6), (26, 80.21)]},
        "its text", _MNIST_SEEDS,
    ),
    "fig2d": Figure(
        "iris", "reps", (1, 2, 3, 4, 5, 6), None, {"test": [(1, 95.0), (6, 98.0)]},
        "its text: above 95 %, nearly 98 %", _IRIS_SEEDS,
    ),
    "fig3a": Figure(
        "mnist", "shots", _shots(13), 27, {"test": [(8192, 20.0), (13 * 8192, 70.0)]},
        "read off figure 3a: about 20 to 70 %", _MNIST_SEEDS,
    ),
    "fig3b": Figure(
        "iris", "shots", _shots(8), 1, {"test": [(256, 88.0), (None, 98.0)]},
        "read off figure 3b: about 88 to 98 %", _IRIS_SEEDS,
    ),
}  # fmt: skip


def figure_trials(
    name: str,
    budget: str = "full",
    seeds: int | None = None,
    optimizer: str = "cobyla",
    periods: int | None = None,
    **place: Any,
) -> list[Trial]:
    """The runs of a figure.

    Parameters
    ----------
    name
        A key of :data:`FIGURES`.
    budget
        ``"full"``: the paper's. ``"half"``: half of its periods or epochs. ``"quick"``: what ten
        minutes on two cores allow; see :func:`about` for what that leaves out.
    seeds
        How many, from 0 on; ``None``: the figure's own number.
    optimizer
        ``"cobyla"`` is the paper's; others draw the same figure.
    periods
        As many instead of the budget's, over which the first steps fall.
    place
        ``data_dir`` and ``device`` of the runs, and what measures their circuit: ``backend``,
        ``noise`` and the like. With a backend, which measures, exact probabilities are left out.

    Raises
    ------
    ValueError
        An argument is none of these.
    """
    figure = _checked(name, budget)
    count = seed_count(seeds, figure.seeds[budget])
    base = _base(figure, budget, optimizer, periods)
    trials = []
    for value in figure.values or (None,):
        axes = {} if figure.along is None else {figure.along: value}
        if figure.along == "shots" and value is None and "backend" in place:
            continue
        for seed in range(count):
            config = base.changed(**axes, seed=seed, **place)
            word = "exact" if value is None else value
            spot = "" if figure.along is None else f"{figure.along}{word}-"
            trial = Trial(f"{spot}seed{seed}", {**axes, "seed": seed}, config.to_dict())
            trials.append(trial)
    return trials


def about(
    name: str,
    budget: str = "full",
    optimizer: str = "cobyla",
    periods: int | None = None,
    measured: str = "",
) -> dict[str, Any]:
    """What a picture says of a figure's runs, and the paper's points beside them."""
    figure = _checked(name, budget)
    return {
        "figure": name,
        "dataset": figure.dataset,
        "budget": budget,
        "optimizer": optimizer,
        "along": figure.along,
        "title": f"{figure.title}, {measured}" if measured else figure.title,
        "paper": figure.paper,
        "source": figure.source,
        "left_out": _left_out(figure, budget, optimizer, periods),
    }


def seed_count(seeds: int | None, usual: int) -> int:
    """How many seeds: those asked for, or the usual number."""
    count = usual if seeds is None else seeds
    if count < 1:
        raise ValueError(f"`seeds` is {count}; it must be at least 1")
    return count


def _checked(name: str, budget: str) -> Figure:
    one_of("figure", name, FIGURES)
    one_of("budget", budget, BUDGETS)
    return FIGURES[name]


def _base(figure: Figure, budget: str, optimizer: str, periods: int | None) -> TrainConfig:
    base = budgeted(_whole(figure, optimizer), budget)
    if periods is None:
        return base
    if isinstance(base.optimizer, EigenAdam):
        raise ValueError(f"`periods` is {periods}; with {optimizer!r} there are none, only epochs")
    return base.changed(periods=periods)


def budgeted(whole: TrainConfig, budget: str) -> TrainConfig:
    """The settings of a smaller budget."""
    one_of("budget", budget, BUDGETS)
    optimizer = whole.optimizer
    if budget == "half":
        return whole.changed(**{f"{optimizer.round_name}s": math.ceil(optimizer.rounds / 2)})
    if budget == "full" or whole.dataset == "iris":
        return whole
    if isinstance(optimizer, EigenAdam):
        return whole.changed(epochs=3)
    # COBYLA's own work would take most of ten minutes: the same method in fewer steps.
    if isinstance(optimizer, Cobyla):
        whole = whole.by(CobylaFast.name)
    return whole.changed(**_QUICK)


# MNIST in ten minutes on two cores.
_QUICK: dict[str, Any] = {"train_samples": 500, "periods": 8}


def _whole(figure: Figure, optimizer: str) -> TrainConfig:
    whole = compared(figure.dataset, optimizer)
    return whole if figure.reps is None else whole.changed(reps=figure.reps)


def _left_out(figure: Figure, budget: str, optimizer: str, periods: int | None) -> str:
    """What a budget lacks of the paper's, in words; empty for all of it."""
    whole, base = _whole(figure, optimizer), _base(figure, budget, optimizer, periods)
    parts = []
    if base.optimizer.rounds != whole.optimizer.rounds:
        rounds = f"{base.optimizer.rounds} of {whole.optimizer.rounds}"
        parts.append(f"{rounds} {base.optimizer.round_name}s")
    if base.train_samples is not None:
        parts.append(f"{base.train_samples} of 60000 training images")
    if type(base.optimizer) is not type(whole.optimizer):
        parts.append(f"{base.optimizer.name} for {whole.optimizer.name}")
    return ", ".join(parts)

"""The record: accuracy against trained numbers, and which runs it is made of.

Everybody who makes weights from few numbers is a contender: the circuit, by its default map and by
the paper's, and the strongest classical rivals. All have the circuit's own settings at their count,
its epochs above all; each has its own learning rate, that of a search on held-out images
(:mod:`qnnw.paper.rates`). Search and record are two sweeps: the record's lies in a folder, the
search's in ``search`` in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qnnw._common.checks import integer, one_of
from qnnw.paper.figures import budgeted, seed_count
from qnnw.sweep.ledger import Trial
from qnnw.training.config import TrainConfig
from qnnw.training.presets import preset
from qnnw.training.settings import settings_of
from qnnw.weights.settings import PAPER, PER_TENSOR

#: By name, and what a table calls them.
DATASETS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
COUNTS = (52, 130, 364, 702, 1500)
SEEDS = 5
#: The folder of the search within that of the record.
SEARCH = "search"
HELD_OUT = 10_000
# Of the networks of 6690 weights: four layers' weights and biases.
TENSORS = 8
SEARCH_SEED = 0

# The same for all, so that nobody is searched more closely than another.
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
# A step moves all of the network's weights.
DIRECT_RATES = (0.0003, 0.001, 0.003, 0.01)


@dataclass(frozen=True)
class Contender:
    """Something that makes weights.

    Attributes
    ----------
    title
        Its name in words.
    kind
        ``"circuit"``; ``"rival"``: without a circuit, what it has to beat; ``"learned"``: a circuit
        whose map is learned, or that map alone; ``"direct"``: the network's own weights, of which
        there is one number.
    settings
        What differs from the circuit's.
    rates
        The learning rates that its search tries.
    most
        The most numbers that it has; it has no place at larger counts.
    """

    title: str
    kind: str = "rival"
    settings: Mapping[str, Any] = field(default_factory=dict)
    rates: tuple[float, ...] = RATES
    most: int | None = None


def _learned(source: str, map_inputs: str = "circuit") -> dict[str, Any]:
    own = {name: settings_of(TrainConfig)[name].default for name in ("mapping", "gammas")}
    return {"source": source, "map_inputs": map_inputs, **own}


#: In the order of the tables. The control of a learned map trains the map's numbers alone.
CONTENDERS: dict[str, Contender] = {
    "circuit": Contender("the circuit", "circuit"),
    "paper": Contender("the circuit, the paper's map", "circuit", {**PAPER, "gammas": "one"}),
    "subspace": Contender("random subspace", settings={"source": "subspace"}),
    "fastfood": Contender("Fastfood subspace", settings={"source": "fastfood"}),
    "hashed": Contender("hashed weights", settings={"source": "hashed"}),
    "networks": Contender("random networks combined", settings={"source": "networks"}),
    "mcnc": Contender("random manifold (MCNC)", settings={"source": "mcnc"}),
    "affine": Contender("learned affine map (Quantum-Train)", "learned", _learned("affine")),
    "affine-control": Contender(
        "the same, fed with fixed random numbers", "learned", _learned("affine", "random"), most=249
    ),
    "mps": Contender("learned matrix product state", "learned", _learned("mps")),
    "mps-control": Contender(
        "the same, fed with fixed random numbers", "learned", _learned("mps", "random"), most=360
    ),
    "direct": Contender(
        "the network's own weights", "direct", {"source": "direct", "trained": None}, DIRECT_RATES
    ),
}


@dataclass(frozen=True)
class Published:
    """What others have reported of networks whose weights a circuit makes.

    Attributes
    ----------
    source
        Who, and where.
    dataset
        A key of :data:`DATASETS`.
    points
        Pairs of trained numbers and test accuracy in percent.
    """

    source: str
    dataset: str
    points: tuple[tuple[int, float], ...]


_QUANTUM_TRAIN = "Quantum-Train, a learned map (arXiv:2405.11304)"
PUBLISHED = (
    Published("Liu et al. 2024, the paper", "mnist", ((728, 80.21),)),
    Published(_QUANTUM_TRAIN, "mnist", ((1497, 91.8),)),
    Published(_QUANTUM_TRAIN, "fashion-mnist", ((1497, 79.5),)),
    # Of its bond dimensions the one that its abstract names; on the images of Quandela's challenge.
    Published(
        "Chen et al. 2025, photons and an MPS, on part of MNIST (arXiv:2505.08474)",
        "mnist",
        ((3292, 95.50),),
    ),
)

#: A data set, a contender, and a count; ``None`` for who has but one.
Cell = tuple[str, str, int | None]


@dataclass(frozen=True)
class Selection:
    """Which part of the record is run.

    Parameters
    ----------
    datasets, counts, contenders
        Of each one or more, none twice: keys of :data:`DATASETS` and :data:`CONTENDERS`, and
        whole numbers of at least 2.

    Raises
    ------
    TypeError, ValueError
        One of them is no such thing; the message names it.
    """

    datasets: Sequence[str] = tuple(DATASETS)
    counts: Sequence[int] = COUNTS
    contenders: Sequence[str] = field(default_factory=lambda: tuple(CONTENDERS))

    def __post_init__(self) -> None:
        for name in self.datasets:
            one_of("datasets", name, DATASETS)
        for name in self.contenders:
            one_of("contenders", name, CONTENDERS)
        for count in self.counts:
            integer("counts", count, 2)
        for name in ("datasets", "counts", "contenders"):
            values = list(getattr(self, name))
            if not values:
                raise ValueError(f"`{name}` is empty; it must have one or more")
            twice = [value for value in values if values.count(value) > 1]
            if twice:
                raise ValueError(f"`{name}` has {twice[0]!r} twice; name each once")

    def cells(self) -> list[Cell]:
        """The places of the table, in its order."""
        return [
            (dataset, name, count)
            for dataset in self.datasets
            for name in self.contenders
            for count in ((None,) if CONTENDERS[name].kind == "direct" else self.counts)
            if count is None or count <= (CONTENDERS[name].most or count)
        ]


def config_of(cell: Cell) -> TrainConfig:
    """A contender's settings, with the learning rate that it takes without a search.

    Its numbers are as many as the count in all: of a circuit they are angles and gammas.
    """
    dataset, name, count = cell
    contender = CONTENDERS[name]
    base = preset(dataset, trained=COUNTS[-1] if count is None else count)
    if contender.kind == "direct":  # so many numbers have no eigenbasis that could be held
        base = base.by("adam")
    # A rate that suits the circuit's own map is nobody else's.
    own = {} if name == "circuit" else {"lr": None}
    config = base.changed(**own, **contender.settings)
    if config.source != "circuit":
        return config.changed(gammas="one", gamma_lr=None)
    gammas = TENSORS if config.gammas == PER_TENSOR else 1
    return config.changed(trained=max(1, (config.trained or 0) - gammas))


def search_trials(selection: Selection, budget: str = "full", **place: Any) -> list[Trial]:
    """The runs of the search: every cell at every rate, one seed, measured on held-out images.

    Parameters
    ----------
    selection
        The cells.
    budget, place
        As for :func:`qnnw.paper.figures.figure_trials`.

    Raises
    ------
    ValueError
        An argument is out of range.
    """
    trials = []
    for cell in selection.cells():
        base = budgeted(config_of(cell), budget)
        for rate in CONTENDERS[cell[1]].rates:
            changed = {"lr": rate, "seed": SEARCH_SEED, "validation_samples": HELD_OUT, **place}
            trials.append(_trial(cell, {"lr": rate}, SEARCH_SEED, base.changed(**changed)))
    return trials


def record_trials(
    selection: Selection,
    budget: str = "full",
    seeds: int | None = None,
    rates: Mapping[Cell, float] | None = None,
    **place: Any,
) -> list[Trial]:
    """The runs of the record, measured on the test set.

    Parameters
    ----------
    selection
        The cells.
    budget, seeds, place
        As for :func:`qnnw.paper.figures.figure_trials`; five seeds unless asked otherwise.
    rates
        Learning rates by cell; those without one take their contender's own.

    Raises
    ------
    ValueError
        An argument is out of range.
    """
    number = seed_count(seeds, SEEDS)
    trials = []
    for cell in selection.cells():
        base = budgeted(config_of(cell), budget).changed(**place)
        if rates is not None and cell in rates:
            base = base.changed(lr=rates[cell])
        trials += [_trial(cell, {}, seed, base.changed(seed=seed)) for seed in range(number)]
    return trials


def _trial(cell: Cell, more: dict[str, float], seed: int, config: TrainConfig) -> Trial:
    dataset, contender, count = cell
    axes = {"dataset": dataset, "contender": contender, "count": count, **more, "seed": seed}
    words = [dataset, contender, *([] if count is None else [str(count)])]
    words += [f"{name}{value:g}" for name, value in more.items()]
    return Trial("-".join([*words, f"seed{seed}"]), axes, config.to_dict())


def about_records(budget: str, figure: str = "records") -> dict[str, Any]:
    """What a picture says of the record; its search is the figure ``"records-search"``."""
    return {"figure": figure, "budget": budget}


def cell_of(place: Mapping[str, Any]) -> Cell:
    """The cell of a trial's axes, or of a group's place."""
    return place["dataset"], place["contender"], place["count"]
